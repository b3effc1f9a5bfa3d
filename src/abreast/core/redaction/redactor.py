"""Masks secrets in streamed output: known values, and whatever matches a secret pattern."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec

from abreast.core.redaction.encodings import secret_forms
from abreast.core.redaction.secret_patterns import KEY_END, PRIVATE_KEY, SECRET_PATTERNS, compiled_pattern
from abreast.core.secrets import MASK

HAS_HYPERSCAN = find_spec("hyperscan") is not None
"""Whether hyperscan runs on this machine. Without it, the same secrets are found, more slowly."""

FLUSH_DELAY = 0.1
"""Seconds after which the caller should flush a redactor."""

MAX_LINE_BYTES = 64 << 10
"""Bytes of an unfinished line that are buffered."""

AUTOMATON_THRESHOLD = 256 << 10
"""Bytes of input after which compiling an automaton pays off."""

CONTEXT_BYTES = 8 << 10
"""Bytes of a released line that are searched again together with what follows."""

MAX_KEY_BYTES = 64 << 10
"""Bytes that are masked after the start of a private key without an end."""

MAX_KEY_END_BYTES = 60
"""Maximum length of the line that ends a private key."""

MIN_PREFIX_LENGTH = 4
"""Length of a known secret's prefix from which on it is held back until the rest arrives."""

_MASK = MASK.encode()
_TOKEN = re.compile(rb"[A-Za-z0-9+/=_.~%-]*")

_PATTERN_NAMES = tuple(SECRET_PATTERNS)

Span = tuple[int, int]
CandidateSearch = Callable[[bytes], list[int]]


class Redactor:
    """Masks secrets in one stream of bytes, also if a secret is split across chunks.

    A line is buffered until it ends. The caller flushes after ``FLUSH_DELAY`` seconds; the released part is still
    searched together with what follows. A line that never ends is released piece by piece.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._needles = sorted({form for secret in secrets for form in secret_forms(secret)})
        self._longest_needle = max(map(len, self._needles), default=0)
        self._context = self._buffer = b""
        self._open_key_bytes = 0
        self._in_token = False
        self._finder = _CandidateFinder(self._needles)

    @property
    def has_buffered(self) -> bool:
        """Whether part of a line is buffered."""
        return bool(self._buffer)

    def feed(self, chunk: bytes) -> bytes:
        """Add a chunk, and return what is safe to show."""
        self._buffer += chunk
        cut = self._buffer.rfind(b"\n") + 1
        if len(self._buffer) - cut > MAX_LINE_BYTES:
            cut = len(self._buffer) - max(self._longest_needle, CONTEXT_BYTES // 2)
        return self._release(cut) if cut else b""

    def flush(self) -> bytes:
        """Return the buffer, masked, after a pause or at the end of the stream."""
        return self._release(len(self._buffer), paused=True)

    def redact_text(self, value: str) -> str:
        """Return a complete text with every secret masked. Does not touch the stream."""
        if not value:
            return value
        raw = value.encode(errors="surrogateescape")
        spans = _merge_spans(self._secret_spans(raw))
        return _mask_spans(raw, spans, 0, len(raw)).decode(errors="surrogateescape") if spans else value

    def redact_value(self, given: object) -> object:
        """Return a JSON value with the secrets in all its strings masked."""
        if isinstance(given, str):
            return self.redact_text(given)
        if isinstance(given, dict):
            return {key: self.redact_value(item) for key, item in given.items()}
        return [self.redact_value(item) for item in given] if isinstance(given, list | tuple) else given

    def _release(self, cut: int, *, paused: bool = False) -> bytes:
        text, begin = self._context + self._buffer, len(self._context)
        end = begin + cut
        spans = [*self._continued_spans(text, begin), *self._secret_spans(text)]
        if paused and (start := self._partial_secret_start(text)) < end:
            spans.append((start, end))
        merged = _merge_spans(spans)
        out = _mask_spans(text, merged, begin, end)
        self._track_open_secrets(text, merged, begin, end)
        line = max(text.rfind(b"\n", 0, end) + 1, end - CONTEXT_BYTES)
        self._context, self._buffer = text[line:end], text[end:]
        return out

    def _continued_spans(self, text: bytes, begin: int) -> Iterator[Span]:
        """Yield the spans that continue a secret from the part already released."""
        if self._in_token:
            found = _TOKEN.match(text, begin)
            yield begin, found.end() if found else begin
        if self._open_key_bytes:
            ends = KEY_END.search(text, max(0, begin - MAX_KEY_END_BYTES))
            yield begin, ends.end() if ends else min(len(text), begin + self._open_key_bytes)

    def _track_open_secrets(self, text: bytes, spans: Sequence[Span], begin: int, end: int) -> None:
        """Remember whether a secret continues in the next chunk."""
        self._open_key_bytes = self._remaining_key_bytes(text, begin, end)
        touching = any(start < end <= stop for start, stop in spans)
        self._in_token = touching and not self._open_key_bytes and text[end - 1 : end] != b"\n"

    def _remaining_key_bytes(self, text: bytes, begin: int, end: int) -> int:
        """Return how many more bytes of an open private key to mask, 0 if none is open."""
        if self._open_key_bytes and not KEY_END.search(text, max(0, begin - MAX_KEY_END_BYTES), end):
            return max(0, self._open_key_bytes - (end - begin))
        last = None
        if b"-----BEGIN " in text:
            last = next((match for match in reversed(list(compiled_pattern(PRIVATE_KEY).finditer(text, 0, end)))), None)
        return MAX_KEY_BYTES if last and not KEY_END.search(text, last.end(), end) else 0

    def _secret_spans(self, text: bytes) -> Iterator[Span]:
        """Yield the spans of secrets in a text. A private key without an end extends to the end of the text."""
        for number in self._finder(text):
            if number >= len(_PATTERN_NAMES):
                yield from _occurrences(self._needles[number - len(_PATTERN_NAMES)], text)
            else:
                yield from _pattern_spans(_PATTERN_NAMES[number], text)

    def _partial_secret_start(self, text: bytes) -> int:
        """Return where a known secret's prefix starts at the end of a text, or the length of the text."""
        line = text.rfind(b"\n") + 1
        for start in range(max(line, len(text) - self._longest_needle + 1), len(text) - MIN_PREFIX_LENGTH + 1):
            rest = text[start:]
            at = bisect_left(self._needles, rest)
            if at < len(self._needles) and self._needles[at].startswith(rest):
                return start
        return len(text)


def _occurrences(needle: bytes, text: bytes) -> Iterator[Span]:
    at = text.find(needle)
    while at >= 0:
        yield at, at + len(needle)
        at = text.find(needle, at + 1)


def _pattern_spans(name: str, text: bytes) -> Iterator[Span]:
    for found in compiled_pattern(name).finditer(text):
        if name == PRIVATE_KEY:
            ends = KEY_END.search(text, found.end())
            yield found.start(), ends.end() if ends else min(len(text), found.end() + MAX_KEY_BYTES)
        else:
            yield found.span(found.lastindex or 0)


def _merge_spans(spans: Iterable[Span]) -> list[Span]:
    """Return the spans in order, with touching ones merged."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        elif end > start:
            merged.append((start, end))
    return merged


def _mask_spans(text: bytes, spans: Sequence[Span], begin: int, end: int) -> bytes:
    """Return part of a text with its spans masked. A secret that began earlier is masked once, where it continues."""
    pieces, at = [], begin
    for start, stop in spans:
        if stop > at and start < end:
            pieces += [text[at : max(at, start)], _MASK]
            at = stop
    pieces.append(text[at:end] if at < end else b"")
    return b"".join(pieces)


# ── which may be there at all ───────────────────────────────────────────────────────────────────


class _CandidateFinder:
    """Finds which secret patterns, and which known secrets, may occur in a text, by their numbers.

    Small inputs are searched one by one. After ``AUTOMATON_THRESHOLD`` bytes an automaton is compiled.
    """

    def __init__(self, known: Sequence[bytes]) -> None:
        self._known = tuple(known)
        self._bytes_seen = 0

    def __call__(self, text: bytes) -> list[int]:
        self._bytes_seen += len(text)
        if self._bytes_seen > AUTOMATON_THRESHOLD:
            return _candidate_search(self._known)(text)
        return [
            *_patterns_by_marker(text),
            *(number for number, needle in enumerate(self._known, len(_PATTERN_NAMES)) if needle in text),
        ]


def _patterns_by_marker(text: bytes) -> Iterator[int]:
    small = text.lower()
    for number, marks in enumerate(_MARKERS):
        if any(mark in small for mark in marks):
            yield number


_MARKERS = tuple(tuple(leak.markers.encode().split(b" ")) for leak in SECRET_PATTERNS.values())


@lru_cache(maxsize=8)
def _candidate_search(known: tuple[bytes, ...]) -> CandidateSearch:
    return _hyperscan_search(known) if HAS_HYPERSCAN else _regex_search(known)


def _hyperscan_search(known: Sequence[bytes]) -> CandidateSearch:
    import hyperscan  # noqa: PLC0415 (slow, and only much output needs it)

    # What it finds is only looked for again, so that it need not tell where, nor how often, nor be exact.
    flags = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_PREFILTER
    expressions = [*(leak.regex.encode() for leak in SECRET_PATTERNS.values()), *map(re.escape, known)]
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    count = len(expressions)
    database.compile(expressions=expressions, ids=list(range(count)), flags=[flags] * count)

    def find(text: bytes) -> list[int]:
        found: list[int] = []
        if text:
            database.scan(text, match_event_handler=lambda number, *_: found.append(number))
        return found

    return find


def _regex_search(known: Sequence[bytes]) -> CandidateSearch:
    combined = re.compile(_prefix_regex(known)) if known else None

    def find(text: bytes) -> list[int]:
        found = list(_patterns_by_marker(text))
        if combined and combined.search(text):
            found += [number for number, needle in enumerate(known, len(_PATTERN_NAMES)) if needle in text]
        return found

    return find


def _prefix_regex(known: Sequence[bytes]) -> bytes:
    """Return sorted texts as one regular expression that shares common prefixes."""
    groups: dict[bytes, list[bytes]] = {}
    for needle in known:
        groups.setdefault(needle[:1], []).append(needle)
    return b"|".join(_shared_prefix_regex(group) for group in groups.values())


def _shared_prefix_regex(group: Sequence[bytes]) -> bytes:
    shared = group[0][: next((at for at, (a, b) in enumerate(zip(group[0], group[-1], strict=False)) if a != b), None)]
    rest = [needle[len(shared) :] for needle in group]
    if shared == group[0] or b"" in rest:
        return re.escape(group[0])
    return re.escape(shared) + b"(?:" + _prefix_regex(rest) + b")"
