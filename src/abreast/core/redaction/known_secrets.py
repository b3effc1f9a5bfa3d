"""Finds known secrets, however they are written.

A text is decoded only where a trace of a secret is seen in it: a run of its letters and digits, which most encodings
leave alone, or the beginning of one with each letter encoded.
"""

import base64
import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import compress
from typing import NamedTuple

from abreast.core.redaction.automaton import LiteralSearch
from abreast.core.redaction.decoding import (
    NOISE,
    decode_in_place,
    has_escapes,
    noise_to_nul,
    squeeze,
    without_noise,
    without_terminal_codes,
)
from abreast.core.secrets import url_credentials

Span = tuple[int, int]

Suspects = Mapping[int, Span]
"""The numbers of forms, each with the places between which its first trace in a text ends."""

MIN_LENGTH = 3
"""Minimum length of a secret. Shorter ones would match in any text."""

MIN_ENCODED_LENGTH = 6
"""Minimum length of a secret that is also found encoded, and with noise between its letters."""

MIN_PREFIX_LENGTH = 4
"""Length of a secret's prefix from which on it is held back until the rest arrives."""

MIN_WRAPPED_PREFIX_LENGTH = 8
"""The same at the end of a line, where a secret may be wrapped. Of a shorter secret, half is enough."""

SECTION_BYTES = 1 << 10
"""Bytes that are decoded together after a trace, and after the next one four times as many."""

LONGEST_ESCAPE = 8
"""Bytes that an encoded letter usually takes at most."""


class _Form(NamedTuple):
    """What a secret may look like in a decoded text, and the lower-case traces of which one occurs wherever it does."""

    spellings: frozenset[bytes]
    traces: tuple[bytes, ...]
    with_noise: frozenset[bytes] = frozenset()
    """As a program writes the secret that has noise in itself, such as quotes. Noise is NUL."""

    @property
    def as_written(self) -> frozenset[bytes]:
        """What to look for before anything is left out."""
        return self.spellings | self.with_noise


class KnownSecrets:
    """The secrets to redact, ready to be searched for."""

    def __init__(self, secrets: Iterable[str]) -> None:
        texts = sorted({text for secret in secrets for text in _texts(secret)})
        self._forms = [form for text in texts for form in _forms(text)]
        self._traces = tuple((trace, number) for number, form in enumerate(self._forms) for trace in form.traces)
        self._prefixes = sorted({spelling for form in self._forms for spelling in form.spellings})
        self.longest = self._longest(range(len(self._forms)))
        """Bytes that an encoded secret usually takes at most."""

    def suspects(self, text: bytes, *, automaton: bool) -> Suspects:
        """Return the forms of which there is a trace in a text."""
        return self._seen(text, automaton=automaton) if self._forms else {}

    def spans(self, text: bytes, suspects: Suspects, *, automaton: bool) -> list[Span]:
        """Return where these forms are in a text. Decoding is slow, so it is decoded around traces only.

        What the end of a decoded section may cut begins after ``at``, and is in the next one.
        """
        spans: list[Span] = []
        if not suspects:
            return spans
        forms = [self._forms[number] for number in suspects]
        reach = self._longest(suspects)
        at, size = 0, max(SECTION_BYTES, 2 * reach)
        trace: Span | None = min(suspects.values())
        while trace:
            begin, end = max(0, at + trace[0] - reach), at + trace[1] + size
            found = _form_spans(text[begin:end], forms)
            spans += [(begin + start, begin + stop) for start, stop in found] if begin else found
            at, size = at + trace[0] + size - reach, 4 * size
            trace = self._first_trace(text[at:], suspects, automaton=automaton)
        return spans

    def wrapped_start(self, text: bytes, suspects: Collection[int], end: int) -> int:
        """Return where one of these forms begins that a line's end at ``end`` cuts, or ``end``."""
        if not suspects:
            return end
        begin = max(0, end - self._longest(suspects))
        decoded = decode_in_place(text[begin:end])
        tail = squeeze(decoded)
        starts = [at for spelling in self._spellings(suspects) if (at := _cut_start(spelling, tail)) >= 0]
        return begin + _positions(decoded)[min(starts)] if starts else end

    def partial_start(self, text: bytes) -> int:
        """Return where a secret begins that the end of a text cuts, within its last line, or the length of the text."""
        begin = max(text.rfind(b"\n") + 1, len(text) - self.longest)
        decoded = decode_in_place(text[begin:])
        tail, positions = squeeze(decoded), _positions(decoded)
        for start in range(len(tail) - MIN_PREFIX_LENGTH + 1):
            rest = tail[start:]
            at = bisect_right(self._prefixes, rest)
            if at < len(self._prefixes) and self._prefixes[at].startswith(rest):
                return begin + positions[start]
        return len(text)

    def _seen(self, text: bytes, *, automaton: bool) -> Suspects:
        """Return of which forms there is a trace in a text."""
        view = without_terminal_codes(text)
        removed = len(text) - len(view)
        if automaton:
            return {number: (end, end + removed) for number, end in self._search.first_ends(view).items()}
        small = view.lower()
        ends = ((number, small.find(trace) + len(trace)) for trace, number in self._traces if trace in small)
        seen: dict[int, Span] = {}
        for number, end in ends:
            seen[number] = min(seen.get(number, (end, end + removed)), (end, end + removed))
        return seen

    def _first_trace(self, text: bytes, suspects: Suspects, *, automaton: bool) -> Span | None:
        """Return between which places the first trace of one of these forms ends."""
        if not automaton:
            seen = self._seen(text, automaton=False)
            return min((seen[number] for number in suspects if number in seen), default=None)
        view = without_terminal_codes(text)
        first = self._search.first_end(view)
        return None if first is None else (first, first + len(text) - len(view))

    @cached_property
    def _search(self) -> LiteralSearch:
        return _trace_automaton(self._traces)

    def _spellings(self, suspects: Iterable[int]) -> list[bytes]:
        return [spelling for number in suspects for spelling in self._forms[number].spellings]

    def _longest(self, suspects: Iterable[int]) -> int:
        """Return how many bytes these forms usually take at most."""
        return LONGEST_ESCAPE * max(map(len, self._spellings(suspects)), default=0)


# ── searching ───────────────────────────────────────────────────────────────────────────────────


def _form_spans(text: bytes, forms: Sequence[_Form]) -> list[Span]:
    """Return where forms are in a text as it is, and in the decoded text. What looks like an escape may be none."""
    plain = noise_to_nul(text)
    spans = _view_spans(text, plain, forms)
    if has_escapes(text) and (decoded := decode_in_place(text)) != plain:
        spans += _view_spans(text, decoded, forms)
    return spans


def _view_spans(text: bytes, view: bytes, forms: Sequence[_Form]) -> list[Span]:
    """Return where forms are in a view of a text, without and with noise between their letters."""
    whole = [spelling for form in forms for spelling in form.as_written if spelling in view]
    spans = [span for spelling in whole for span in _with_escape_ends(text, view, _occurrences(spelling, view))]
    for spelling in whole:
        view = view.replace(spelling, b"\xff" * len(spelling))
    squeezed = squeeze(view)
    broken = [spelling for form in forms for spelling in form.spellings if spelling in squeezed]
    return spans + _broken_spans(text, view, squeezed, broken) if broken else spans


def _broken_spans(text: bytes, view: bytes, squeezed: bytes, spellings: Sequence[bytes]) -> list[Span]:
    """Return where spellings with noise between their letters are."""
    positions = _positions(view)
    return [
        line
        for spelling in spellings
        for start, end in _occurrences(spelling, squeezed)
        for line in _lines(text, positions[start], _escape_end(text, view, positions[end - 1] + 1))
    ]


def _positions(decoded: bytes) -> list[int]:
    """Return where each byte of the squeezed text is in the decoded one."""
    return list(compress(range(len(decoded)), decoded))


def _occurrences(spelling: bytes, text: bytes) -> list[Span]:
    return [found.span() for found in re.finditer(re.escape(spelling), text)]


def _with_escape_ends(text: bytes, view: bytes, spans: list[Span]) -> list[Span]:
    """Return the spans with the rest of the escape sequences that their last letters were decoded from."""
    if not has_escapes(text):
        return spans
    return [(start, _escape_end(text, view, end)) for start, end in spans]


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
def _trace_automaton(traces: tuple[tuple[bytes, int], ...]) -> LiteralSearch:
    return LiteralSearch(traces)


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
    with_noise = frozenset({noise_to_nul(raw)}) - spellings
    yield _Form(spellings, _lower({raw[:6], raw[-6:], *_pieces(raw), *_encoded_letters(raw)}), with_noise)
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
