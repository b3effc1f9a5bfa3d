"""Finds what looks like a secret, in time that grows with the text alone."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import product

from abreast.core.redaction.automaton import ExpressionSearch, Sighting, expression_search
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

SIGHTING, MARKER, WORD = 0.25, 0.25, 0.125
"""The part of a candidate that counts for what an automaton sees, for a marker in that, and for a long word.

A log may be full of long names.
"""

LONGEST_MARKER = 10
"""Letters of a keyword at most."""

HEAD = 2
"""Bytes of a token's prefix by which patterns are told apart: the length of the shortest prefix."""

_LETTERS_AND_DIGITS = bytes(byte if byte < 128 and chr(byte).isalnum() else ord(" ") for byte in range(256))
"""Makes whatever else a space."""

_NAMES = tuple(SECRET_PATTERNS)
_PATTERNS = tuple(SECRET_PATTERNS.values())
_PRIVATE_KEY_NUMBER = _NAMES.index(PRIVATE_KEY)
_LONG_WORD = len(_PATTERNS)
"""What is added to a pattern's number for the long word that it needs."""


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
        spans = list(self._spans_by_automaton(text))
        if self._candidates_left < 0:
            self._candidates_left = 0
            return [(0, len(text))]
        return spans

    def _spans_by_automaton(self, text: bytes) -> Iterator[Span]:
        """Look closer at where the automata see the beginning of a match, unless there are too many."""
        candidates = []
        for number, start in self._sightings(text):
            if _PATTERNS[number].may_begin(text, start):
                candidates.append((number, start))
                self._candidates_left -= MARKER if number in _alike() else 1
                if self._candidates_left < 0:
                    return
        for number, start in candidates:
            if number == _PRIVATE_KEY_NUMBER:
                yield from _private_key_spans(text)
            elif found := _match(number, text, start):
                yield _secret_span(found)

    def _sightings(self, text: bytes) -> set[tuple[int, int]]:
        """Return the numbers of patterns with where a match may begin."""
        seen = self._search(_automaton(), text, SIGHTING)
        for number, end in [(number - _LONG_WORD, end) for number, _, end in seen if number >= _LONG_WORD]:
            word = max(0, end - _PATTERNS[number].longest_word - 1)
            found = self._search(_automaton_of(number), text[word:], WORD)
            seen += [(number, start + word, stop + word) for number, start, stop in found]
        if self._candidates_left < 0:
            return set()
        starts = {(number, start) for number, start, _ in seen if number < _LONG_WORD and number not in _alike()}
        for number in {number for number, _, _ in seen if number in _alike()}:
            starts.update(product(_alike()[number], _marker_starts(number, text, seen)))
        return starts

    def _search(self, automaton: ExpressionSearch, text: bytes, weight: float) -> list[Sighting]:
        """Return what an automaton sees, nothing if that is too much."""
        sightings = automaton(text, int(max(0, self._candidates_left) / weight))
        self._candidates_left = self._candidates_left - weight * len(sightings) if sightings is not None else -1
        return sightings or []


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
            if marker in view and _longest_word(text) >= _PATTERNS[number].longest_word:
                floating = _PATTERNS[number].floating
                yield number, _starts(_regex(number), text) if floating else _finds(marker, view)


def _longest_word(text: bytes) -> int:
    """Return the number of letters and digits in the longest word."""
    return max(map(len, text.translate(_LETTERS_AND_DIGITS).split()), default=0)


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


@cache
def _regex(number: int) -> re.Pattern[bytes]:
    return compiled_pattern(_NAMES[number])


# ── by automata ─────────────────────────────────────────────────────────────────────────────────


def _marker_starts(number: int, text: bytes, sightings: Iterable[Sighting]) -> Iterator[int]:
    """Yield where markers begin within what was seen of this number."""
    at = 0
    for start, end in sorted((start, end) for each, start, end in sightings if each == number):
        found = _marker(number).finditer(text, max(at, start), end + LONGEST_MARKER)
        yield from (marker.start() for marker in found if marker.start() < end)
        at = max(at, end)


@cache
def _marker(number: int) -> re.Pattern[bytes]:
    """Return an expression for each place where a marker begins, also within another one."""
    return re.compile(rf"(?i)(?={any_of(_PATTERNS[number].markers)})".encode())


@cache
def _alike() -> Mapping[int, Sequence[int]]:
    """Return the numbers of patterns that share a beginning, for each of them."""
    numbers = defaultdict[str, list[int]](list)
    for number, pattern in enumerate(_PATTERNS):
        numbers[beginning(pattern)].append(number)
    return {number: group for group in numbers.values() if len(group) > 1 for number in group}


@cache
def _automaton() -> ExpressionSearch:
    """Return what searches for most patterns, and for the long word that others need in a text."""
    expressions = {}
    for number, pattern in enumerate(_PATTERNS):
        if pattern.longest_word:
            expressions[number + _LONG_WORD] = f"[A-Za-z0-9]{{{pattern.longest_word}}}"
        elif number == _alike().get(number, [number])[0]:
            expressions[number] = beginning(pattern)
    once = {number for number in expressions if number >= _LONG_WORD}
    return expression_search(expressions, once={_PRIVATE_KEY_NUMBER, *once})


@cache
def _automaton_of(number: int) -> ExpressionSearch:
    return expression_search({number: beginning(_PATTERNS[number])})
