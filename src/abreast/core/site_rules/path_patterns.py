"""Patterns of paths: literal text, ``:placeholders`` and ``*``. Paths are percent-encoded in one way only."""

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from functools import cache
from urllib.parse import quote, unquote_to_bytes

from abreast.core.frozen_dataclass import dataclass

SPLAT = "splat"
_SAFE = "!$&'()*+,;=:@~"


class Wildcard(Enum):
    """A part of a pattern that stands for many texts, as a regular expression."""

    SEGMENT = "([^/]+)"
    ANY = "(.*)"
    REST = "(?:/(.*))?"
    SLASH = "/?"


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A sequence of texts and wildcards. ``names`` name what SEGMENT, ANY and REST match, in order."""

    parts: tuple[str | Wildcard, ...]
    names: tuple[str, ...] = ()

    @property
    def literal(self) -> str | None:
        """The only path that it matches, without a final slash; None if it matches several."""
        *texts, last = self.parts
        if last is not Wildcard.SLASH or any(isinstance(text, Wildcard) for text in texts):
            return None
        return "".join(str(text) for text in texts)

    def regex(self) -> "re.Pattern[str]":
        """Return a regular expression for whole paths."""
        return _compile(self.parts)


@cache
def _compile(parts: tuple[str | Wildcard, ...]) -> "re.Pattern[str]":
    return re.compile("".join(p.value if isinstance(p, Wildcard) else re.escape(p) for p in parts), re.DOTALL)


def canonical_path(path: str) -> str:
    """Return a path with exactly those characters encoded that must be. An encoded slash stays what it is."""
    return "/".join(quote(unquote_to_bytes(segment), safe=_SAFE) for segment in path.split("/"))


def redirect_pattern(path: str) -> PathPattern:
    """Return the pattern of a redirect's path. Final slashes do not count."""
    parts: list[str | Wildcard] = []
    names: list[str] = []
    for segment in filter(None, path.split("/")):
        if segment == "*":
            parts.append(Wildcard.REST)
            names.append(SPLAT)
        elif segment.startswith(":"):
            parts += ["/", Wildcard.SEGMENT]
            names.append(segment[1:])
        elif "*" in segment:
            before, after = segment.split("*", 1)
            parts += [f"/{canonical_path(before)}", Wildcard.SLASH, Wildcard.ANY, canonical_path(after)]
            names.append(SPLAT)
        else:
            parts.append(f"/{canonical_path(segment)}")
    return PathPattern((*parts, Wildcard.SLASH), tuple(names))


def header_pattern(path: str) -> PathPattern:
    """Return the pattern of a header rule's path, in lower case: it matches paths in lower case."""
    parts: list[str | Wildcard] = []
    for segment in filter(None, (part.rstrip() for part in path.lower().split("/"))):
        if segment == "*":
            parts += [Wildcard.SLASH, Wildcard.ANY]
        elif segment.startswith(":"):
            parts += ["/", Wildcard.SEGMENT]
        else:
            first, *others = segment.split("*")
            parts.append(f"/{first}")
            for text in others:
                parts += [Wildcard.ANY, text]
    return PathPattern((*parts, Wildcard.SLASH))


def fill_in(template: str, names: Sequence[str], values: Sequence[str | None]) -> str:
    """Replace ``:name`` by its value, one name after the other."""
    found: Mapping[str, str] = {name: value or "" for name, value in reversed(list(zip(names, values, strict=True)))}
    for name in dict.fromkeys(names):
        template = template.replace(f":{name}", found[name])
    return template
