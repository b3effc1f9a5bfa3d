"""Takes secrets out of what others print, as it streams by: those that are known, and those that look like one."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from importlib.util import find_spec

from abreast.core.encodings import needles
from abreast.core.leaks import KEY_ENDS, LEAKS, PRIVATE_KEY, pattern
from abreast.core.secrets import MASK

FAST = find_spec("hyperscan") is not None
"""Whether there is an automaton for this machine; without one the same is found, more slowly."""

PAUSE = 0.1
"""Seconds after which whoever feeds the redactor should let go of what it holds."""

LONGEST_LINE = 64 << 10
"""Bytes of a line that are held for its end."""

ENOUGH = 256 << 10
"""Bytes after which it pays to make an automaton of all that is looked for."""

CONTEXT = 8 << 10
"""Bytes of a line, let go already, that are looked at again with what follows."""

LONGEST_KEY = 64 << 10
"""Bytes after the beginning of a private key that are taken out where its end does not come."""

LONGEST_END = 60
"""Bytes of the line that ends a private key, at most."""

TELLING = 4
"""Letters of a known secret's beginning that are not let go, though what follows has yet to come."""

_MASK = MASK.encode()
_TOKEN = re.compile(rb"[A-Za-z0-9+/=_.~%-]*")

_NAMES = tuple(LEAKS)

Span = tuple[int, int]
Find = Callable[[bytes], list[int]]


class Redactor:
    """Masks secrets in a stream of bytes, also where one is split across chunks.

    A line is held until its end; whoever feeds lets go of it with ``flush`` after ``PAUSE`` seconds, and what follows
    is still seen together with it. A line without end is let go piece by piece. Not for several streams at once.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._needles = sorted({form for secret in secrets for form in needles(secret)})
        self._longest = max(map(len, self._needles), default=0)
        self._context = self._held = b""
        self._key = 0
        self._in_token = False
        self._finder = _Finder(self._needles)

    @property
    def holds(self) -> bool:
        """Whether something waits for the end of its line."""
        return bool(self._held)

    def feed(self, chunk: bytes) -> bytes:
        """Return what of the stream so far is safe to show."""
        self._held += chunk
        cut = self._held.rfind(b"\n") + 1
        if len(self._held) - cut > LONGEST_LINE:
            cut = len(self._held) - max(self._longest, CONTEXT // 2)
        return self._let_go(cut) if cut else b""

    def flush(self) -> bytes:
        """Return what was held, at the end of the stream or of a wait."""
        return self._let_go(len(self._held), paused=True)

    def text(self, value: str) -> str:
        """Return one whole text with every secret masked; independent of the stream."""
        if not value:
            return value
        raw = value.encode(errors="surrogateescape")
        spans = _merged(self._spans(raw))
        return _masked(raw, spans, 0, len(raw)).decode(errors="surrogateescape") if spans else value

    def value(self, given: object) -> object:
        """Return a JSON value with every text in it masked."""
        if isinstance(given, str):
            return self.text(given)
        if isinstance(given, dict):
            return {key: self.value(item) for key, item in given.items()}
        return [self.value(item) for item in given] if isinstance(given, list | tuple) else given

    def _let_go(self, cut: int, *, paused: bool = False) -> bytes:
        text, begin = self._context + self._held, len(self._context)
        end = begin + cut
        spans = [*self._going_on(text, begin), *self._spans(text)]
        if paused and (start := self._unfinished(text)) < end:
            spans.append((start, end))
        merged = _merged(spans)
        out = _masked(text, merged, begin, end)
        self._note_open(text, merged, begin, end)
        line = max(text.rfind(b"\n", 0, end) + 1, end - CONTEXT)
        self._context, self._held = text[line:end], text[end:]
        return out

    def _going_on(self, text: bytes, begin: int) -> Iterator[Span]:
        """Yield what follows a secret that had not ended where the last text was let go."""
        if self._in_token:
            found = _TOKEN.match(text, begin)
            yield begin, found.end() if found else begin
        if self._key:
            ends = KEY_ENDS.search(text, max(0, begin - LONGEST_END))
            yield begin, ends.end() if ends else min(len(text), begin + self._key)

    def _note_open(self, text: bytes, spans: Sequence[Span], begin: int, end: int) -> None:
        """Note whether a secret goes on in what is yet to come."""
        self._key = self._key_left(text, begin, end)
        touching = any(start < end <= stop for start, stop in spans)
        self._in_token = touching and not self._key and text[end - 1 : end] != b"\n"

    def _key_left(self, text: bytes, begin: int, end: int) -> int:
        """Return how many bytes of a private key, at most, are yet to come; 0 where none is open."""
        if self._key and not KEY_ENDS.search(text, max(0, begin - LONGEST_END), end):
            return max(0, self._key - (end - begin))
        last = None
        if b"-----BEGIN " in text:
            last = next((one for one in reversed(list(pattern(PRIVATE_KEY).finditer(text, 0, end)))), None)
        return LONGEST_KEY if last and not KEY_ENDS.search(text, last.end(), end) else 0

    def _spans(self, text: bytes) -> Iterator[Span]:
        """Yield where secrets are in a text; a private key without an end goes on to the text's."""
        for number in self._finder(text):
            if number >= len(_NAMES):
                yield from _all_of(self._needles[number - len(_NAMES)], text)
            else:
                yield from _matches(_NAMES[number], text)

    def _unfinished(self, text: bytes) -> int:
        """Return where the beginning of a known secret stands at the end of a text, else the text's end."""
        line = text.rfind(b"\n") + 1
        for start in range(max(line, len(text) - self._longest + 1), len(text) - TELLING + 1):
            rest = text[start:]
            at = bisect_left(self._needles, rest)
            if at < len(self._needles) and self._needles[at].startswith(rest):
                return start
        return len(text)


def _all_of(needle: bytes, text: bytes) -> Iterator[Span]:
    at = text.find(needle)
    while at >= 0:
        yield at, at + len(needle)
        at = text.find(needle, at + 1)


def _matches(name: str, text: bytes) -> Iterator[Span]:
    for found in pattern(name).finditer(text):
        if name == PRIVATE_KEY:
            ends = KEY_ENDS.search(text, found.end())
            yield found.start(), ends.end() if ends else min(len(text), found.end() + LONGEST_KEY)
        else:
            yield found.span(found.lastindex or 0)


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Return spans in order, those that touch as one."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        elif end > start:
            merged.append((start, end))
    return merged


def _masked(text: bytes, spans: Sequence[Span], begin: int, end: int) -> bytes:
    """Return a part of a text; a secret whose beginning was let go before is masked where it goes on, once."""
    pieces, at = [], begin
    for start, stop in spans:
        if stop > at and start < end:
            pieces += [text[at : max(at, start)], _MASK]
            at = stop
    pieces.append(text[at:end] if at < end else b"")
    return b"".join(pieces)


# ── which may be there at all ───────────────────────────────────────────────────────────────────


class _Finder:
    """Tells the numbers of the leaks, and after those of the known secrets, that may be in a text.

    What little is printed is asked for each; what is much is worth the time that an automaton takes to make.
    """

    def __init__(self, known: Sequence[bytes]) -> None:
        self._known = tuple(known)
        self._seen = 0

    def __call__(self, text: bytes) -> list[int]:
        self._seen += len(text)
        if self._seen > ENOUGH:
            return _automaton(self._known)(text)
        return [*_marked(text), *(number for number, needle in enumerate(self._known, len(_NAMES)) if needle in text)]


def _marked(text: bytes) -> Iterator[int]:
    small = text.lower()
    for number, marks in enumerate(_MARKS):
        if any(mark in small for mark in marks):
            yield number


_MARKS = tuple(tuple(leak.marks.encode().split(b" ")) for leak in LEAKS.values())


@lru_cache(maxsize=8)
def _automaton(known: tuple[bytes, ...]) -> Find:
    return _by_hyperscan(known) if FAST else _by_re(known)


def _by_hyperscan(known: Sequence[bytes]) -> Find:
    import hyperscan  # noqa: PLC0415 (slow, and only much output needs it)

    # What it finds is only looked for again, so that it need not tell where, nor how often, nor be exact.
    flags = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_PREFILTER
    expressions = [*(leak.pattern.encode() for leak in LEAKS.values()), *map(re.escape, known)]
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    count = len(expressions)
    database.compile(expressions=expressions, ids=list(range(count)), flags=[flags] * count)

    def find(text: bytes) -> list[int]:
        found: list[int] = []
        if text:
            database.scan(text, match_event_handler=lambda number, *_: found.append(number))
        return found

    return find


def _by_re(known: Sequence[bytes]) -> Find:
    together = re.compile(_factored(known)) if known else None

    def find(text: bytes) -> list[int]:
        found = list(_marked(text))
        if together and together.search(text):
            found += [number for number, needle in enumerate(known, len(_NAMES)) if needle in text]
        return found

    return find


def _factored(known: Sequence[bytes]) -> bytes:
    """Return sorted texts as one expression, in which those that begin alike share their beginning."""
    groups: dict[bytes, list[bytes]] = {}
    for needle in known:
        groups.setdefault(needle[:1], []).append(needle)
    return b"|".join(_beginning_alike(group) for group in groups.values())


def _beginning_alike(group: Sequence[bytes]) -> bytes:
    shared = group[0][: next((at for at, (a, b) in enumerate(zip(group[0], group[-1], strict=False)) if a != b), None)]
    rest = [needle[len(shared) :] for needle in group]
    if shared == group[0] or b"" in rest:
        return re.escape(group[0])
    return re.escape(shared) + b"(?:" + _factored(rest) + b")"
