"""Finds known secrets, however they are written.

A text is decoded only where a trace of a secret is seen in it: a run of its letters and digits, which most encodings
leave alone, or the beginning of one with each letter encoded.
"""

import base64
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from itertools import compress
from typing import NamedTuple

from abreast.core.redaction.decoding import (
    NOISE,
    decode_in_place,
    noise_to_nul,
    squeeze,
    without_noise,
    without_terminal_codes,
)
from abreast.core.secrets import url_credentials

Span = tuple[int, int]
TraceSearch = Callable[[bytes], set[int]]

MIN_LENGTH = 3
"""Minimum length of a secret. Shorter ones would match in any text."""

MIN_ENCODED_LENGTH = 6
"""Minimum length of a secret that is also found encoded, and with noise between its letters."""

MIN_PREFIX_LENGTH = 4
"""Length of a secret's prefix from which on it is held back until the rest arrives."""

MIN_WRAPPED_PREFIX_LENGTH = 8
"""The same at the end of a line, where a secret may be wrapped. Of a shorter secret, half is enough."""

SECTION_BYTES = 8 << 10
"""Bytes that are decoded together around a trace, or four times what a secret may take if that is more."""

LONGEST_ESCAPE = 8
"""Bytes that an encoded letter usually takes at most."""


class _Form(NamedTuple):
    """What a secret may look like in a decoded text, and the lower-case traces of which one occurs wherever it does."""

    spellings: frozenset[bytes]
    traces: tuple[bytes, ...]


class KnownSecrets:
    """The secrets to redact, ready to be searched for."""

    def __init__(self, secrets: Iterable[str]) -> None:
        texts = sorted({text for secret in secrets for text in _texts(secret)})
        self._forms = [form for text in texts for form in _forms(text)]
        self._traces = tuple((trace, number) for number, form in enumerate(self._forms) for trace in form.traces)
        self._find_traces: TraceSearch | None = None
        self._prefixes = sorted({spelling for form in self._forms for spelling in form.spellings})
        self._numbers = frozenset(range(len(self._forms)))
        self.longest = self._longest(self._numbers)
        """Bytes that an encoded secret usually takes at most."""

    def suspects(self, text: bytes, *, automaton: bool) -> AbstractSet[int]:
        """Return the numbers of the forms of which there is a trace in a text."""
        return self._seen(text, self._numbers, automaton=automaton) if self._forms else set()

    def spans(self, text: bytes, suspects: AbstractSet[int], *, automaton: bool) -> list[Span]:
        """Return where these forms are in a text."""
        return list(self._spans_by_section(text, suspects, automaton=automaton)) if suspects else []

    def _spans_by_section(self, text: bytes, suspects: AbstractSet[int], *, automaton: bool) -> Iterator[Span]:
        """Yield where forms are. Decoding is slow, so only the sections with a trace are decoded."""
        overlap = self._longest(suspects)
        size = max(SECTION_BYTES, 4 * overlap)
        for at in range(0, len(text), size):
            begin = max(0, at - overlap)
            section = text[begin : at + size + overlap]
            if seen := self._seen(section, suspects, automaton=automaton):
                for start, end in _spelling_spans(section, self._spellings(seen)):
                    yield begin + start, begin + end

    def wrapped_start(self, text: bytes, suspects: AbstractSet[int], end: int) -> int:
        """Return where one of these forms begins that a line's end at ``end`` cuts, or ``end``."""
        if not suspects:
            return end
        begin = max(0, end - self._longest(suspects))
        tail, positions = _squeezed(text[begin:end])
        starts = [at for spelling in self._spellings(suspects) if (at := _cut_start(spelling, tail)) >= 0]
        return begin + positions[min(starts)] if starts else end

    def partial_start(self, text: bytes) -> int:
        """Return where a secret begins that the end of a text cuts, within its last line, or the length of the text."""
        begin = max(text.rfind(b"\n") + 1, len(text) - self.longest)
        tail, positions = _squeezed(text[begin:])
        for start in range(len(tail) - MIN_PREFIX_LENGTH + 1):
            rest = tail[start:]
            at = bisect_right(self._prefixes, rest)
            if at < len(self._prefixes) and self._prefixes[at].startswith(rest):
                return begin + positions[start]
        return len(text)

    def _seen(self, text: bytes, numbers: AbstractSet[int], *, automaton: bool) -> AbstractSet[int]:
        """Return of which of these forms there is a trace in a text; with the automaton, of which of all forms."""
        view = without_terminal_codes(text)
        if automaton:
            self._find_traces = self._find_traces or _trace_automaton(self._traces)
            return self._find_traces(view)
        small = view.lower()
        return {number for trace, number in self._traces if number in numbers and trace in small}

    def _spellings(self, suspects: AbstractSet[int]) -> list[bytes]:
        return [spelling for number in suspects for spelling in self._forms[number].spellings]

    def _longest(self, suspects: AbstractSet[int]) -> int:
        """Return how many bytes these forms usually take at most."""
        return LONGEST_ESCAPE * max(map(len, self._spellings(suspects)), default=0)


# ── searching ───────────────────────────────────────────────────────────────────────────────────


def _spelling_spans(text: bytes, spellings: Sequence[bytes]) -> Iterator[Span]:
    """Yield where spellings are in a text as it is, and in the decoded text. What looks like an escape may be none."""
    plain, decoded = noise_to_nul(text), decode_in_place(text)
    yield from _view_spans(text, plain, spellings)
    if decoded != plain:
        yield from _view_spans(text, decoded, spellings)


def _view_spans(text: bytes, view: bytes, spellings: Sequence[bytes]) -> Iterator[Span]:
    """Yield where spellings are in a view of a text, without and with noise between their letters."""
    squeezed = squeeze(view)
    present = [spelling for spelling in spellings if spelling in squeezed]
    for spelling in present:
        for start, end in _occurrences(spelling, view):
            yield start, _escape_end(text, view, end)
    for spelling in present:
        view = view.replace(spelling, b"\xff" * len(spelling))
    squeezed = squeeze(view) if present else b""
    if broken := [spelling for spelling in present if spelling in squeezed]:
        positions = list(compress(range(len(view)), view))
        for start, end in (span for spelling in broken for span in _occurrences(spelling, squeezed)):
            yield from _lines(text, positions[start], _escape_end(text, view, positions[end - 1] + 1))


def _squeezed(text: bytes) -> tuple[bytes, list[int]]:
    decoded = decode_in_place(text)
    return squeeze(decoded), list(compress(range(len(decoded)), decoded))


def _occurrences(spelling: bytes, text: bytes) -> Iterator[Span]:
    return (found.span() for found in re.finditer(re.escape(spelling), text))


def _lines(text: bytes, start: int, end: int) -> Iterator[Span]:
    """Yield the parts of a span between line breaks, which stay."""
    while (line_end := text.find(b"\n", start, end)) >= 0:
        yield start, line_end
        start = line_end + 1
    yield start, end


def _escape_end(text: bytes, view: bytes, end: int) -> int:
    """Return where the escape sequence ends of which the decoded letter before ``end`` is the last."""
    while end < len(text) and not view[end] and text[end] not in NOISE and text[end] != 0x1B:
        end += 1
    return end


def _cut_start(spelling: bytes, tail: bytes) -> int:
    """Return where a spelling begins that the end of a squeezed text cuts, or -1."""
    prefix = spelling[: min(MIN_WRAPPED_PREFIX_LENGTH, len(spelling) // 2)]
    at = tail.find(prefix)
    while at >= 0 and (not spelling.startswith(tail[at:]) or tail[at:] == spelling):
        at = tail.find(prefix, at + 1)
    return at


@lru_cache(maxsize=8)
def _trace_automaton(traces: tuple[tuple[bytes, int], ...]) -> TraceSearch:
    import hyperscan  # noqa: PLC0415 (slow, and only much output needs it)

    flags = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_CASELESS
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[trace for trace, _ in traces],
        ids=[number for _, number in traces],
        flags=[flags] * len(traces),
        literal=True,
    )

    def find(text: bytes) -> set[int]:
        found = set[int]()
        if text:
            database.scan(text, match_event_handler=lambda number, *_: found.add(number))
        return found

    return find


# ── forms and traces ────────────────────────────────────────────────────────────────────────────


def _texts(secret: str) -> Iterator[str]:
    """Yield what to redact of a secret: all of it, each of its lines, and the password in it if it is a URL."""
    if len(secret.strip()) >= MIN_LENGTH:
        yield secret.strip()
    lines = (line.strip() for line in secret.splitlines())
    yield from (line for line in lines if len(line) >= MIN_ENCODED_LENGTH)
    for part in url_credentials(secret):
        if len(part) >= MIN_ENCODED_LENGTH and secret.count(part) == 1:
            yield part


def _forms(text: str) -> Iterator[_Form]:
    """Yield the forms of a secret: as it is or with letters encoded, in hexadecimal, and in base64."""
    raw = text.encode(errors="surrogateescape")
    plain = squeeze(decode_in_place(raw))
    if len(plain) < MIN_ENCODED_LENGTH:
        yield _Form(frozenset({raw}), (raw.lower(),))
        return
    wide = [text.encode(f"utf-16-{order}", errors="surrogatepass") for order in ("le", "be")]
    plus = squeeze(decode_in_place(raw.replace(b" ", b"+")))
    spellings = frozenset({plain, plus, without_noise(raw), *map(squeeze, wide)})
    yield _Form(spellings, _lower({raw[:6], raw[-6:], *_pieces(raw), *_encoded_letters(raw)}))
    number = raw.hex().encode()
    yield _Form(frozenset({number, number.upper()}), _lower(_pieces(number)))
    for encoded in (*_base64(raw), *_base64(wide[0])):
        yield _Form(frozenset({encoded, encoded.translate(_TO_URL_ALPHABET)}), _lower(_pieces(encoded)))


def _lower(traces: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(sorted({trace.lower() for trace in traces}))


_TO_URL_ALPHABET = bytes.maketrans(b"+/", b"-_")


def _base64(raw: bytes) -> Iterator[bytes]:
    """Yield the base64 characters that depend on the secret alone, at each of the three possible offsets."""
    for shift in range(3):
        yield base64.b64encode(bytes(shift) + raw)[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]


def _pieces(raw: bytes) -> list[bytes]:
    """Return pieces of a text that encodings leave alone, so many that a line break leaves one whole.

    The longer a piece, the rarer it is by chance.
    """
    runs = sorted(re.findall(rb"[A-Za-z0-9]+", raw), key=len, reverse=True)
    if not runs or len(runs[0]) < 4:
        return runs[:1] or [raw]
    half = max(4, min(8, len(runs[0]) // 2))
    if len(runs[0]) >= 12 or len(runs) == 1 or len(runs[1]) < 4:
        return [runs[0][:half], runs[0][half:][:half]] if len(runs[0]) >= 8 else runs[:1]
    pieces = [run[:8] for run in runs if len(run) >= 4]
    return [piece for piece in pieces if len(piece) >= 6] if len(pieces[1]) >= 6 else pieces


def _encoded_letters(raw: bytes) -> Iterator[bytes]:
    """Yield two or three letters of a secret, encoded one by one in the usual ways."""
    found = re.search(rb"[A-Za-z]{3}", raw) or re.search(rb"[A-Za-z]{2}", raw) or re.match(rb"..", raw, re.DOTALL)
    assert found
    for way in (
        "%{:02x}",
        "%25{:02x}",
        "\\u00{:02x}",
        "\\\\u00{:02x}",
        "\\x{:02x}",
        "\\\\x{:02x}",
        "&#{};",
        "&#x{:x};",
    ):
        yield "".join(map(way.format, found[0])).encode()
