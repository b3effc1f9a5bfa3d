"""All rules of a site, from the files that hold them."""

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from abreast.core.frozen_dataclass import dataclass
from abreast.core.site_rules.headers import HEADERS_FILE, HeaderRule, parse_header_tables, parse_headers_file
from abreast.core.site_rules.redirects import (
    REDIRECTS_FILE,
    Redirect,
    parse_redirect_tables,
    parse_redirects_file,
    without_earlier_duplicates,
)

CONFIG_FILE = "netlify.toml"
RULE_FILES = (REDIRECTS_FILE, HEADERS_FILE, CONFIG_FILE)
"""Files that say how a site is served, and are not served."""

LOCAL_CONDITIONS = frozenset({"Language", "Cookie"})
"""Conditions that depend on nothing but the request."""


@dataclass(frozen=True, slots=True)
class SiteRules:
    """The rules of a site, in order of precedence, and what is wrong with those that are skipped.

    ``pretty_urls``: each page has one path, and others are redirected to it.
    """

    redirects: tuple[Redirect, ...] = ()
    headers: tuple[HeaderRule, ...] = ()
    pretty_urls: bool = True
    faults: tuple[str, ...] = ()


def parse_rules(files: Mapping[str, str]) -> SiteRules:
    """Return the rules in RULE_FILES, by name of the file. Those of ``_redirects`` and ``_headers`` come first."""
    config, faults = _parse_config(files.get(CONFIG_FILE, ""))
    redirects, wrong_lines = parse_redirects_file(files.get(REDIRECTS_FILE, ""))
    more_redirects, wrong_redirects = parse_redirect_tables(config.get("redirects", []), CONFIG_FILE)
    headers, wrong_header_lines = parse_headers_file(files.get(HEADERS_FILE, ""))
    more_headers, wrong_headers = parse_header_tables(config.get("headers", []), CONFIG_FILE)
    return SiteRules(
        tuple(without_earlier_duplicates([*redirects, *more_redirects])),
        tuple(without_earlier_duplicates([*headers, *more_headers])),
        _nested(config, "build", "processing", "html").get("pretty_urls") is not False,
        (*faults, *wrong_lines, *wrong_redirects, *wrong_header_lines, *wrong_headers),
    )


def unsupported_rules(rules: SiteRules) -> Iterator[str]:
    """Yield what a server other than Netlify's own cannot do of the rules: they never apply there."""
    for rule in rules.redirects:
        if unknown := rule.conditions.keys() - LOCAL_CONDITIONS:
            yield f"{rule.origin} depends on {', '.join(sorted(unknown))}"
        elif rule.signed:
            yield f"{rule.origin} is signed"


def _parse_config(text: str) -> tuple[dict[str, Any], list[str]]:
    try:
        return tomllib.loads(text), []
    except tomllib.TOMLDecodeError as error:
        return {}, [f"{CONFIG_FILE} is not valid: {error}"]


def _nested(config: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        inner = config.get(name)
        config = inner if isinstance(inner, dict) else {}
    return config
