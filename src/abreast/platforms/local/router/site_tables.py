"""A site as tables of Lua, which the script `serve_site.lua` answers from."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from abreast.core.site_rules.path_patterns import PathPattern, Wildcard, canonical_path
from abreast.core.site_rules.redirects import Redirect, is_url
from abreast.core.site_rules.site import DEFAULT_STATUS, RedirectRoute, StaticSite

PROXY_HEADER = "x-abreast-proxy"
"""The header with the cluster that a request is passed on to. The listener removes it from requests of clients."""

SCRIPT = Path(__file__).with_name("serve_site.lua")

_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?")
_FORMS = {
    Wildcard.SEGMENT: (("([^/]+)", 1),),
    Wildcard.ANY: (("(.*)", 1),),
    Wildcard.REST: (("/(.*)", 1), ("", 0)),
    Wildcard.SLASH: (("/?", 0),),
}
"""Each wildcard as patterns of Lua, the greediest first, and how many captures each has."""


def site_tables(
    site: StaticSite, etag: str, encodings: Mapping[str, Sequence[str]], hashed: Sequence[str]
) -> dict[str, Any]:
    """Return the tables of a site. ``encodings``: those of each file; ``hashed``: files that never change."""
    single, several = site.redirect_positions
    return {
        "etag": etag,
        "pages": {path: _url(page.file) for path, page in site.pages.items()},
        "moved": {path: page.moved_to for path, page in site.pages.items() if page.moved_to},
        "error_page": _url(site.error_page) if site.error_page else None,
        "redirects": [_redirect(route) for route in site.redirects],
        "single": {path: [position + 1 for position in positions] for path, positions in single.items()},
        "several": [position + 1 for position in several],
        "headers": [
            {"pattern": form, "values": values} for pattern, values in site.headers for form, _ in _forms(pattern)
        ],
        "encodings": {_url(file): list(names) for file, names in encodings.items()},
        "hashed": dict.fromkeys(map(_url, hashed), True),
        "proxy_header": PROXY_HEADER,
        "proxies": {
            origin: proxy_cluster(origin) for route in site.redirects for origin in proxy_origins([route.rule])
        },
    }


def proxy_origins(redirects: Iterable[Redirect]) -> frozenset[str]:
    """Return the scheme and host of each server that redirects pass requests on to. A host has no placeholders."""
    rules = (rule for rule in redirects if is_url(rule.to) and not 300 <= (rule.status or DEFAULT_STATUS) < 400)
    urls = (urlsplit(rule.to) for rule in rules)
    return frozenset(f"{url.scheme}://{url.netloc}" for url in urls if _HOST.fullmatch(url.netloc))


def proxy_cluster(origin: str) -> str:
    """Return the name of the cluster of a server that sites pass requests on to."""
    return f"proxy-{origin}"


def lua_literal(value: object) -> str:
    """Return a value as an expression of Lua. A list or mapping is a table, and None is nil."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"[{lua_literal(key)}]={lua_literal(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "{" + ",".join(map(lua_literal, value)) + "}"
    if isinstance(value, str):
        return '"' + "".join(_lua_character(character) for character in value) + '"'
    return "nil" if value is None else str(value).lower()


def _lua_character(character: str) -> str:
    if character in '\\"' or character < " ":
        return f"\\{ord(character):03d}"
    return character


def _url(file: str) -> str:
    return canonical_path(f"/{file}")


def _redirect(route: RedirectRoute) -> dict[str, Any]:
    rule, names = route.rule, route.pattern.names
    return {
        "forms": [{"pattern": form, "captures": captures} for form, captures in _forms(route.pattern)],
        "names": [{"capture": names.index(name) + 1, "text": _escape(f":{name}")} for name in dict.fromkeys(names)],
        "to": rule.to,
        "status": route.status,
        "force": rule.force,
        "query": [_parameter(name, value) for name, value in rule.query.items()],
        "languages": [name.lower() for name in rule.conditions.get("Language", ())] or None,
        "cookies": list(rule.conditions.get("Cookie", ())) or None,
        "host": rule.host or None,
        "scheme": rule.scheme,
        "headers": rule.headers,
    }


def _parameter(name: str, value: str) -> dict[str, str]:
    return {"name": name, **({"placeholder": _escape(value)} if value.startswith(":") else {"value": value})}


def _forms(pattern: PathPattern) -> Iterator[tuple[str, list[int]]]:
    """Yield the patterns of Lua that together match what a pattern matches, each with the numbers of its captures."""
    choices = [_FORMS[part] if isinstance(part, Wildcard) else ((_escape(part), 0),) for part in pattern.parts]
    numbers, number = [], 0
    for part in pattern.parts:
        number += isinstance(part, Wildcard) and part is not Wildcard.SLASH
        numbers.append(number)
    for chosen in product(*choices):
        captures = [number for number, (_, captured) in zip(numbers, chosen, strict=True) if captured]
        yield f"^{''.join(text for text, _ in chosen)}$", captures


def _escape(text: str) -> str:
    return "".join(character if character.isalnum() else f"%{character}" for character in text)
