"""Masks secrets in streamed output: known values, and whatever matches a secret pattern."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import chain
from operator import itemgetter, lt

from abreast.core.redaction.known_secrets import KnownSecrets
from abreast.core.redaction.pattern_search import MAX_KEY_BYTES, PatternSearch
from abreast.core.redaction.secret_patterns import KEY_END, PRIVATE_KEY, compiled_pattern
from abreast.core.secrets import MASK

HAS_HYPERSCAN = find_spec("hyperscan") is not None
"""Whether hyperscan runs on this machine. Without it, the same secrets are found, more slowly."""

FLUSH_DELAY = 0.1
"""Seconds from the first buffered byte after which the caller should flush a redactor."""

MAX_LINE_BYTES = 64 << 10
"""Bytes of an unfinished line that are buffered."""

AUTOMATON_THRESHOLD = 32 << 10
"""Bytes of input after which compiling the automaton of known secrets pays off, and reading that of patterns."""

CONTEXT_BYTES = 8 << 10
"""Bytes of a released line that are searched again together with what follows."""

MAX_KEY_END_BYTES = 80
"""Maximum length of the line that ends a private key."""

_MASK = MASK.encode()
_TOKEN = re.compile(rb"[A-Za-z0-9+/=_.~%-]*")
_OPEN_URL = re.compile(rb"://[^\s:/@\x22']{0,60}:(?![0-9]{1,5}\Z)([^\s/@\x22'${<]{1,100})\Z")
"""A URL that may go on with ``@``, so that what it ends with is a password."""

Span = tuple[int, int]


class Redactor:
    """Masks secrets in one stream of bytes, also if a secret is split across chunks.

    A line is buffered until it ends. The caller flushes ``FLUSH_DELAY`` seconds after the first buffered byte; the
    released part is still searched together with what follows. A line that never ends is released piece by piece.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known = KnownSecrets(secrets)
        self._context = self._buffer = b""
        self._chunks: list[bytes] = []
        self._buffered_bytes = 0
        self._open_key_bytes = 0
        self._in_token = False
        self._bytes_seen = 0
        self._patterns = PatternSearch()

    @property
    def has_buffered(self) -> bool:
        """Whether part of a line is buffered."""
        return bool(self._buffer or self._chunks)

    def feed(self, chunk: bytes) -> bytes:
        """Add a chunk, and return what is safe to show."""
        self._chunks.append(chunk)
        self._buffered_bytes += len(chunk)
        if b"\n" not in chunk and self._buffered_bytes <= MAX_LINE_BYTES:
            return b""
        self._join_chunks()
        cut = self._buffer.rfind(b"\n") + 1
        if len(self._buffer) - cut > MAX_LINE_BYTES:
            cut = max(cut, len(self._buffer) - max(self._known.longest, CONTEXT_BYTES // 2))
        return self._release(cut) if cut else b""

    def flush(self) -> bytes:
        """Return the buffer, masked, after a pause or at the end of the stream."""
        self._join_chunks()
        return self._release(len(self._buffer), paused=True)

    def redact_text(self, value: str) -> str:
        """Return a complete text with every secret masked. Does not touch the stream."""
        if not value:
            return value
        raw = value.encode(errors="surrogateescape")
        automaton = _pays_off(len(raw))
        suspects = self._known.suspects(raw, automaton=automaton)
        spans = PatternSearch().spans(raw, automaton=automaton)
        if spans != [(0, len(raw))]:
            spans += self._known.spans(raw, suspects, automaton=automaton)
        return _mask_spans(raw, _merge_spans(spans), 0, len(raw)).decode(errors="surrogateescape") if spans else value

    def redact_value(self, given: object) -> object:
        """Return a JSON value with the secrets in all its strings masked."""
        if isinstance(given, str):
            return self.redact_text(given)
        if isinstance(given, dict):
            return {key: self.redact_value(item) for key, item in given.items()}
        return [self.redact_value(item) for item in given] if isinstance(given, list | tuple) else given

    def _join_chunks(self) -> None:
        self._buffer = b"".join([self._buffer, *self._chunks] if self._buffer else self._chunks)
        self._chunks.clear()

    def _release(self, cut: int, *, paused: bool = False) -> bytes:
        text, begin = self._context + self._buffer, len(self._context)
        self._bytes_seen += cut
        automaton = _pays_off(self._bytes_seen)
        suspects = self._known.suspects(text, automaton=automaton)
        end = begin + cut
        if not paused:
            end = max(begin, self._known.wrapped_start(text, suspects, end))
        if end == begin:
            return b""
        spans = self._patterns.spans(text, automaton=automaton)
        if spans != [(0, len(text))]:
            spans += [*self._continued_spans(text, begin), *self._known.spans(text, suspects, automaton=automaton)]
        if paused and (start := self._cut_secret_start(text)) < end:
            spans.append((start, end))
        merged = _merge_spans(spans)
        out = _mask_spans(text, merged, begin, end)
        self._track_open_secrets(text, merged, begin, end)
        line = max(text.rfind(b"\n", 0, end) + 1, end - CONTEXT_BYTES)
        self._context, self._buffer = text[line:end], text[end:]
        self._buffered_bytes = len(self._buffer)
        return out

    def _cut_secret_start(self, text: bytes) -> int:
        """Return where a secret begins that a pause cuts, or the length of the text."""
        open_url = _OPEN_URL.search(text, max(text.rfind(b"\n") + 1, len(text) - 200))
        return min(self._known.partial_start(text), open_url.start(1) if open_url else len(text))

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
        before = bisect_left(spans, (end,))
        touching = before > 0 and spans[before - 1][1] >= end
        self._open_key_bytes = self._remaining_key_bytes(text, begin, end) if touching else 0
        self._in_token = touching and not self._open_key_bytes and text[end - 1 : end] != b"\n"

    def _remaining_key_bytes(self, text: bytes, begin: int, end: int) -> int:
        """Return how many more bytes of an open private key to mask, 0 if none is open."""
        if self._open_key_bytes and not KEY_END.search(text, max(0, begin - MAX_KEY_END_BYTES), end):
            return max(0, self._open_key_bytes - (end - begin))
        last = text.rfind(b"-----BEGIN", 0, end)
        begins = compiled_pattern(PRIVATE_KEY).match(text, last, end) if last >= 0 else None
        return MAX_KEY_BYTES if begins and not KEY_END.search(text, last, end) else 0


def _pays_off(size: int) -> bool:
    """Return whether automata pay off for so many bytes."""
    return HAS_HYPERSCAN and size > AUTOMATON_THRESHOLD


def _merge_spans(spans: list[Span]) -> list[Span]:
    """Return the spans in order, with touching ones merged."""
    bounds = list(chain.from_iterable(spans))
    if all(map(lt, bounds, bounds[1:])):
        return spans
    merged: list[Span] = []
    last = -1
    for start, end in sorted(spans):
        if start > last:
            if end > start:
                merged.append((start, end))
                last = end
        elif end > last:
            merged[-1] = merged[-1][0], end
            last = end
    return merged


def _mask_spans(text: bytes, spans: Sequence[Span], begin: int, end: int) -> bytes:
    """Return part of a text with its spans masked. A secret that began earlier is masked once, where it continues."""
    masked = spans[bisect_right(spans, begin, key=itemgetter(1)) : bisect_left(spans, end, key=itemgetter(0))]
    bounds = [begin, *chain.from_iterable(masked), end]
    return _MASK.join(map(text.__getitem__, map(slice, bounds[::2], bounds[1::2])))
