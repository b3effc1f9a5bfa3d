"""Parse redirects as Netlify's own parser does: an invalid one is skipped, and told."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any, TypeVar
from urllib.parse import urlsplit

from abreast.core.frozen_dataclass import dataclass
from abreast.core.site_rules.path_patterns import canonical_path

T = TypeVar("T")
REDIRECTS_FILE = "_redirects"
_SCHEMES = ("http://", "https://")
_LIST_CONDITIONS = ("Role", "Language", "Country")


@dataclass(frozen=True, slots=True)
class Redirect:
    """A rule: a request for ``origin`` gets ``to``. ``scheme`` and ``host`` are set if the origin is a whole URL.

    ``status`` is 301 if it is None. Without ``force``, a file of the same path comes first. ``query`` and
    ``conditions`` must hold, too. ``headers`` are added to a request that is passed on to another server, and
    ``signed`` names the secret to sign it with.
    """

    origin: str
    path: str
    to: str
    status: int | None = None
    force: bool = False
    query: Mapping[str, str] = field(default_factory=dict)
    conditions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    signed: str = ""
    scheme: str = ""
    host: str = ""


def parse_redirects_file(text: str) -> tuple[list[Redirect], list[str]]:
    """Return the redirects of a ``_redirects`` file, and what is wrong with the lines that are skipped."""
    lines = ((f"{REDIRECTS_FILE}, line {number}", line.strip()) for number, line in enumerate(text.split("\n"), 1))
    return parse_each(
        ((place, line) for place, line in lines if line and not line.startswith("#")),
        lambda line: _redirect(_line_fields(line)),
    )


def parse_redirect_tables(tables: object, place: str) -> tuple[list[Redirect], list[str]]:
    """Return the redirects of a ``netlify.toml``'s ``redirects``, and what is wrong with those that are skipped."""
    if not isinstance(tables, list):
        return [], [f"{place}: `redirects` is not a list"]
    return parse_each(((f"{place}, redirect {number}", table) for number, table in enumerate(tables, 1)), _redirect)


def parse_each(items: Iterable[tuple[str, Any]], parse: Callable[[Any], T | None]) -> tuple[list[T], list[str]]:
    """Parse each item with its place. Returns what is valid, and what is wrong with the others."""
    parsed: list[T] = []
    faults: list[str] = []
    for place, item in items:
        try:
            value = parse(item)
        except ValueError as error:
            faults.append(f"{place}: {error}")
        else:
            parsed += [] if value is None else [value]
    return parsed, faults


def without_earlier_duplicates(rules: Iterable[T]) -> list[T]:
    """Return the rules, each once: where it stands last."""
    unique: list[T] = []
    seen: set[str] = set()
    for rule in reversed(list(rules)):
        if repr(rule) not in seen:
            seen.add(repr(rule))
            unique.append(rule)
    return unique[::-1]


def is_url(target: str) -> bool:
    """Whether a destination is on another server."""
    return target.startswith(_SCHEMES)


def _line_fields(line: str) -> dict[str, Any]:
    words = list(_before_comment(line.split()))
    origin, *rest = words
    if not rest:
        raise ValueError("there is no destination")
    if _status(rest[0]) is not None:
        return {"from": origin, **_options(rest)}
    position = next((at for at, word in enumerate(rest) if word.startswith("/") or is_url(word)), None)
    if position is None:
        raise ValueError('the destination does not start with "/", "http:" or "https:"')
    return {
        "from": origin,
        "query": _pairs(rest[:position]),
        "to": rest[position],
        **_options(rest[position + 1 :]),
    }


def _before_comment(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        if word.startswith("#"):
            return
        yield word


def _options(words: list[str]) -> dict[str, Any]:
    """Return what follows the destination: a status, then conditions. An exclamation mark forces the redirect."""
    if not words:
        return {}
    conditions = _pairs(words[1:])
    signed = conditions.pop("Sign", None)
    force = _status(words[0]) is not None and words[0].endswith("!")
    return {
        "status": words[0],
        "force": force,
        "conditions": {name: value for name, value in conditions.items() if name != "signed"},
        "signed": conditions.get("signed", signed),
    }


def _pairs(words: Iterable[str]) -> dict[str, str]:
    """Return the values of ``name=value``. What follows a second equals sign does not count."""
    split = (word.split("=") for word in words)
    return {name: value for name, value, *_ in (parts for parts in split if len(parts) > 1)}


def _status(value: object) -> int | None:
    match = re.match(r"\s*[+-]?\d+", str(value))
    return int(match[0]) if match else None


def _redirect(fields: object) -> Redirect:
    if not isinstance(fields, dict):
        raise ValueError("expected a table")  # noqa: TRY004 (gathered with the others)
    origin = _text(_first(fields, "from", "origin"), "from")
    status = _status_field(fields.get("status"))
    scheme, host, path = _split_origin(origin)
    if path.startswith("/.netlify"):
        raise ValueError("the path must not start with /.netlify")
    return Redirect(
        origin,
        path,
        _destination(fields, origin, status),
        status,
        bool(fields.get("force")),
        _texts(_first(fields, "query", "params", "parameters"), "query"),
        _conditions(fields.get("conditions", {})),
        _texts(fields.get("headers"), "headers"),
        str(_first(fields, "signed", "signing", "sign") or ""),
        scheme,
        host,
    )


def _first(fields: Mapping[str, Any], *names: str) -> Any:  # noqa: ANN401 (any TOML value)
    """Return the value of the first name that is there: names have changed, and old ones still count."""
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"there is no text `{name}`")  # noqa: TRY004 (gathered with the others)
    return value


def _texts(value: object, name: str) -> dict[str, str]:
    if value is not None and not isinstance(value, dict):
        raise ValueError(f"`{name}` is not a table")
    return {str(key): str(text) for key, text in (value or {}).items()}


def _status_field(value: object) -> int | None:
    if value is None:
        return None
    status = _status(value)
    if status is None:
        raise ValueError(f"{value} is not a status")
    return status


def _destination(fields: Mapping[str, Any], origin: str, status: int | None) -> str:
    to = _first(fields, "to", "destination")
    if to is not None:
        return _text(to, "to")
    if not (origin.endswith("/*") and status and 200 <= status < 300):
        raise ValueError("there is no destination")
    return f"{origin.removesuffix('/*')}/:splat"


def _split_origin(origin: str) -> tuple[str, str, str]:
    if not is_url(origin):
        return "", "", origin
    url = urlsplit(origin)
    if not url.netloc:
        raise ValueError(f"{origin} is not a URL")
    return url.scheme, url.netloc.lower(), canonical_path(url.path or "/")


def _conditions(found: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(found, dict):
        raise ValueError("`conditions` is not a table")  # noqa: TRY004 (gathered with the others)
    conditions: dict[str, tuple[str, ...]] = {}
    for name, value in found.items():
        known = name.capitalize() if name.capitalize() in _LIST_CONDITIONS else name
        texts = re.split(r"\s*,\s*", value.strip()) if isinstance(value, str) else value
        conditions[known] = tuple(str(text) for text in (texts if isinstance(texts, list) else [texts]))
    return conditions
