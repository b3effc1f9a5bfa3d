"""Finds what looks like a secret, in time that grows with the text alone."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache

from abreast.core.redaction.secret_patterns import (
    ESCAPE,
    KEY_END,
    PRIVATE_KEY,
    SECRET_PATTERNS,
    Match,
    any_of,
    beginning,
    compiled_pattern,
)
from abreast.core.redaction.token_shapes import TOKEN_SHAPES

Span = tuple[int, int]

MAX_KEY_BYTES = 64 << 10
"""Bytes that are masked after the start of a private key without an end."""

MAX_KEYS = 100
"""Private keys that are told apart in one text."""

ALLOWANCE, BYTES_PER_CANDIDATE = 256, 256

DISMISSED = 0.25
"""What a candidate counts that is dismissed at first sight."""

HEAD = 2
"""Bytes of a token's prefix by which patterns are told apart: the length of the shortest prefix."""

_NAMES = tuple(SECRET_PATTERNS)
_PATTERNS = tuple(SECRET_PATTERNS.values())
_PRIVATE_KEY_NUMBER = _NAMES.index(PRIVATE_KEY)


class PatternSearch:
    """Searches one stream, or one text.

    A stream may contain ``ALLOWANCE`` candidates, which may be secrets, and one more in so many bytes. A text that
    exceeds it counts as one secret, so that masking takes no longer than reading. Logs have a fiftieth of that.
    """

    def __init__(self) -> None:
        self._candidates_left = float(ALLOWANCE)

    def spans(self, text: bytes, *, automaton: bool) -> list[Span]:
        """Return where a text looks like a secret."""
        if not automaton:
            return list(_spans_by_marker(text))
        self._candidates_left += len(text) / BYTES_PER_CANDIDATE
        candidates = _Candidates(text, self._candidates_left)
        complete = not text or _automaton()(text, candidates.report)
        self._candidates_left -= candidates.cost
        return candidates.all_spans() if complete else [(0, len(text))]


# ── by markers ──────────────────────────────────────────────────────────────────────────────────


def _spans_by_marker(text: bytes) -> Iterator[Span]:
    for number, starts in _places(text):
        if number == _PRIVATE_KEY_NUMBER:
            yield from _private_key_spans(text)
        else:
            yield from _spans_at(number, text, starts)


def _places(text: bytes) -> Iterator[tuple[int, Iterable[int]]]:
    """Yield the patterns that may match, with where."""
    for found in _token_beginning().finditer(text):
        start = found.start("prefix")
        yield from ((number, (start,)) for number in _numbers_by_head()[text[start : start + HEAD]])
    exact, any_case = _markers()
    for view, markers in ((text, exact), (text.lower(), any_case)):
        for marker, number in markers:
            if marker in view:
                floating = _PATTERNS[number].floating
                yield number, _starts(_regex(number), text) if floating else _finds(marker, view)


def _finds(marker: bytes, text: bytes) -> Iterator[int]:
    at = text.find(marker)
    while at >= 0:
        yield at
        at = text.find(marker, at + 1)


def _starts(regex: re.Pattern[bytes], text: bytes) -> Iterator[int]:
    """Yield where matches begin, overlapping ones too."""
    found = regex.search(text)
    while found:
        yield found.start()
        found = regex.search(text, found.start() + 1)


def _spans_at(number: int, text: bytes, starts: Iterable[int]) -> Iterator[Span]:
    end = 0
    for start in starts:
        if start >= end and (found := _match(number, text, start)):
            end = found.end()
            yield _secret_span(found)


@cache
def _markers() -> tuple[list[tuple[bytes, int]], list[tuple[bytes, int]]]:
    """Return the markers of what is no token, with the numbers of their patterns: as they are, and in any case."""
    exact, any_case = list[tuple[bytes, int]](), list[tuple[bytes, int]]()
    for number, pattern in list(enumerate(_PATTERNS))[len(TOKEN_SHAPES) :]:
        kind = any_case if pattern.regex.startswith("(?i)") else exact
        kind += [(marker.encode(), number) for marker in pattern.markers]
    return exact, any_case


@cache
def _token_beginning() -> re.Pattern[bytes]:
    """Return an expression that finds each ``prefix`` of a token where a word or an escape sequence ends."""
    prefixes = any_of(marker for pattern in _PATTERNS[: len(TOKEN_SHAPES)] for marker in pattern.markers).encode()
    return re.compile(rb"(?:(?<![A-Za-z0-9_])|" + ESCAPE + rb")(?P<prefix>" + prefixes + b")")


@cache
def _numbers_by_head() -> Mapping[bytes, set[int]]:
    numbers = defaultdict[bytes, set[int]](set)
    for number, pattern in enumerate(_PATTERNS[: len(TOKEN_SHAPES)]):
        for marker in pattern.markers:
            numbers[marker[:HEAD].encode()].add(number)
    return numbers


def _match(number: int, text: bytes, start: int) -> Match | None:
    """Return the match of a pattern that begins at a place, if it is a secret."""
    pattern = _PATTERNS[number]
    found = _regex(number).match(text, start) if pattern.may_begin(text, start) else None
    return found if found and pattern.is_secret(found) else None


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

    def __init__(self, text: bytes, most: float) -> None:
        self.spans: list[Span] = []
        self.cost = 0.0
        self._text, self._most = text, most
        self._last_starts = [-1] * len(_NAMES)
        self._has_private_key = False

    def all_spans(self) -> list[Span]:
        """Return the spans of all secrets."""
        return [*self.spans, *_private_key_spans(self._text)] if self._has_private_key else self.spans

    def report(self, number: int, start: int, _end: int) -> bool:
        """Judge a candidate. Return whether there are too many."""
        if number == _PRIVATE_KEY_NUMBER:
            self._has_private_key = True
        elif start <= self._last_starts[number] or not _PATTERNS[number].may_begin(self._text, start):
            self.cost += DISMISSED
        else:
            self.cost += 1
            self._last_starts[number] = start
            if found := _match(number, self._text, start):
                self._last_starts[number] = found.end() - 1
                self.spans.append(_secret_span(found))
        return self.cost > self._most


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
