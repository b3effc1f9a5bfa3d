"""Parse the headers of a site as Netlify's own parser does: an invalid rule is skipped, and told."""

import re
from collections.abc import Mapping
from typing import Any

from abreast.core.frozen_dataclass import dataclass
from abreast.core.site_rules.redirects import parse_each

HEADERS_FILE = "_headers"
FIXED_HEADERS = frozenset({
    "accept-ranges", "age", "allow", "alt-svc", "connection", "content-encoding", "content-length", "content-range",
    "date", "server", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
"""Headers that a rule cannot set: they are of the connection, or of the file as it is sent."""


@dataclass(frozen=True, slots=True)
class HeaderRule:
    """The headers of all answers whose path matches ``path``."""

    path: str
    values: Mapping[str, str]


def parse_headers_file(text: str) -> tuple[list[HeaderRule], list[str]]:
    """Return the rules of a ``_headers`` file, and what is wrong with the lines that are skipped."""
    tables: list[dict[str, Any]] = []
    faults: list[str] = []
    for number, line in enumerate(map(str.strip, text.split("\n")), 1):
        if line.startswith("/"):
            tables.append({"for": line, "values": {}})
        elif line and not line.startswith("#") and ":" in line:
            faults += [f"{HEADERS_FILE}, line {number}: {why}" for why in _add_header(tables, line)]
    rules, more = parse_each(((HEADERS_FILE, table) for table in tables), _header_rule)
    return rules, [*faults, *more]


def parse_header_tables(tables: object, place: str) -> tuple[list[HeaderRule], list[str]]:
    """Return the rules of a ``netlify.toml``'s ``headers``, and what is wrong with those that are skipped."""
    if not isinstance(tables, list):
        return [], [f"{place}: `headers` is not a list"]
    return parse_each(((f"{place}, headers {number}", table) for number, table in enumerate(tables, 1)), _header_rule)


def _add_header(tables: list[dict[str, Any]], line: str) -> list[str]:
    """Add a header to the last table. Returns what is wrong with it, if anything."""
    name, value = (part.strip() for part in line.split(":", 1))
    if not name:
        return ["there is no name"]
    if not value:
        return [f"{name} has no value"]
    if not tables:
        return [f"there is no path before {name}"]
    values = tables[-1]["values"]
    values[name] = f"{values[name]}, {value}" if name in values else value
    return []


def _header_rule(table: object) -> HeaderRule | None:
    """Return the rule of a table, None if it sets nothing."""
    if not isinstance(table, dict):
        raise ValueError("expected a table")  # noqa: TRY004 (gathered with the others)
    path = table.get("for")
    if not isinstance(path, str):
        raise ValueError("there is no text `for`")  # noqa: TRY004 (gathered with the others)
    values = table.get("values", {})
    if not isinstance(values, dict):
        raise ValueError("`values` is not a table")  # noqa: TRY004 (gathered with the others)
    named = {str(name).strip(): _value(str(name), value) for name, value in values.items()}
    if "" in named:
        raise ValueError("a header has no name")
    return HeaderRule(path.strip(), named) if named else None


def _value(name: str, value: object) -> str:
    if isinstance(value, str):
        return ", ".join(re.split(r"\s*,\s*", value.strip()))
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"the value of {name} is not a text")
    return ", ".join(text.strip() for text in value)
