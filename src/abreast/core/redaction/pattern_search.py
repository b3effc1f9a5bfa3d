"""Finds what looks like a secret, in time that grows with the text alone."""

import re
from collections.abc import Callable, Iterator
from functools import cache

from abreast.core.redaction.secret_patterns import (
    KEY_END,
    PRIVATE_KEY,
    SECRET_PATTERNS,
    Match,
    beginning,
    compiled_pattern,
)

Span = tuple[int, int]

MAX_KEY_BYTES = 64 << 10
"""Bytes that are masked after the start of a private key without an end."""

MAX_KEYS = 100
"""Private keys that are told apart in one text."""

ALLOWANCE, BYTES_PER_SECRET = 256, 128

_NAMES = tuple(SECRET_PATTERNS)
_JUDGES = tuple(pattern.is_secret for pattern in SECRET_PATTERNS.values())
_PRIVATE_KEY_NUMBER = _NAMES.index(PRIVATE_KEY)
_MARKERS = tuple(tuple(mark.encode() for mark in pattern.markers) for pattern in SECRET_PATTERNS.values())


class PatternSearch:
    """Searches one stream, or one text.

    A stream may contain ``ALLOWANCE`` secrets, and one more in so many bytes. A text that exceeds it counts as one
    secret, so that masking takes no longer than reading.
    """

    def __init__(self) -> None:
        self._secrets_left = float(ALLOWANCE)

    def spans(self, text: bytes, *, automaton: bool) -> list[Span]:
        """Return where a text looks like a secret."""
        if not automaton:
            return list(_spans_by_marker(text))
        self._secrets_left += len(text) / BYTES_PER_SECRET
        candidates = _Candidates(text, int(self._secrets_left))
        complete = not text or _automaton()(text, candidates.report)
        self._secrets_left -= candidates.count
        return candidates.all_spans() if complete else [(0, len(text))]


def _spans_by_marker(text: bytes) -> Iterator[Span]:
    small = text.lower()
    for name, marks in zip(_NAMES, _MARKERS, strict=True):
        if any(mark in small for mark in marks):
            yield from _private_key_spans(text) if name == PRIVATE_KEY else _pattern_spans(name, text)


def _pattern_spans(name: str, text: bytes) -> Iterator[Span]:
    pattern, is_secret = compiled_pattern(name), SECRET_PATTERNS[name].is_secret
    found = pattern.search(text)
    while found:
        secret = is_secret(found)
        if secret:
            yield _secret_span(found)
        found = pattern.search(text, found.end() if secret else found.start() + 1)


def _secret_span(found: Match) -> Span:
    return found.span(found.lastindex or 0)


def _private_key_spans(text: bytes) -> Iterator[Span]:
    """Yield the spans of private keys. What follows very many of them counts as one more."""
    end = 0
    for number in range(MAX_KEYS):
        found = compiled_pattern(PRIVATE_KEY).search(text, end)
        if not found:
            return
        ends = KEY_END.search(text, found.end())
        end = ends.end() if ends else min(len(text), found.end() + MAX_KEY_BYTES)
        yield found.start(), len(text) if number == MAX_KEYS - 1 else end


# ── the automaton ───────────────────────────────────────────────────────────────────────────────

Report = Callable[[int, int, int], bool]


class _Candidates:
    """Looks closer at where the automaton sees the beginning of a match."""

    def __init__(self, text: bytes, most: int) -> None:
        self.spans: list[Span] = []
        self.count = 0
        self._text, self._most = text, most
        self._last_starts = [-1] * len(_NAMES)
        self._secret_ends = [0] * len(_NAMES)
        self._has_private_key = False

    def all_spans(self) -> list[Span]:
        """Return the spans of all secrets."""
        return [*self.spans, *_private_key_spans(self._text)] if self._has_private_key else self.spans

    def report(self, number: int, start: int, _end: int) -> bool:
        """Judge a candidate. Return whether there are too many secrets."""
        if number == _PRIVATE_KEY_NUMBER:
            self._has_private_key = True
        elif start < self._secret_ends[number]:
            self.count += 1
        elif start != self._last_starts[number]:
            self._last_starts[number] = start
            found = _regex(number).match(self._text, start)
            if found and _JUDGES[number](found):
                self.count += 1
                self._secret_ends[number] = found.end()
                self.spans.append(_secret_span(found))
        return self.count > self._most


@cache
def _regex(number: int) -> re.Pattern[bytes]:
    return compiled_pattern(_NAMES[number])


@cache
def _automaton() -> Callable[[bytes, Report], bool]:
    """Return a function that reports each candidate in a text, and returns whether it came to the end."""
    import hyperscan  # noqa: PLC0415 (slow, and only much output needs it)

    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    expressions = [beginning(pattern).encode() for pattern in SECRET_PATTERNS.values()]
    flags = [hyperscan.HS_FLAG_SOM_LEFTMOST] * len(expressions)
    flags[_PRIVATE_KEY_NUMBER] = hyperscan.HS_FLAG_SINGLEMATCH
    database.compile(expressions=expressions, ids=list(range(len(expressions))), flags=flags)

    def search(text: bytes, report: Report) -> bool:
        try:
            database.scan(text, match_event_handler=lambda number, start, end, *_: report(number, start, end))
        except hyperscan.ScanTerminated:
            return False
        return True

    return search
