"""Decodes escape sequences in place, so that one search finds a secret in all of them."""

import re
from functools import lru_cache

_ANSI_SEQUENCE = re.compile(rb"\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\))")
_ESCAPE = re.compile(
    rb"""
    [%&\\\x1b] (?:
      (?<=\x1b) (?: \[ [0-9;:?]* [ -/]* [@-~] | \] [^\x07\x1b]{0,200} (?: \x07 | \x1b\\ ) )
    | (?<=%) (?:25)* (?P<percent>[0-9A-Fa-f]{2})
    | (?<=&) (?:amp;)* (?:
        [#] (?P<decimal>[0-9]{1,7}) | [#][xX] (?P<entity>[0-9A-Fa-f]{1,6}) | (?P<named>amp|lt|gt|quot|apos)
      ) ;
    | (?<=\\) \\* (?:
        (?: u001[bB] | x1[bB] | 033 | e ) \[ [0-9;]* [A-Za-z]
      | u (?P<high>[dD][89abAB][0-9A-Fa-f]{2}) \\+ u (?P<low>[dD][c-fC-F][0-9A-Fa-f]{2})
      | u (?P<unicode>[0-9A-Fa-f]{4})
      | x (?P<hex>[0-9A-Fa-f]{2})
      | [nrt]
      )
    )
    """,
    re.VERBOSE,
)
_NAMED = {b"amp": b"&", b"lt": b"<", b"gt": b">", b"quot": b'"', b"apos": b"'"}

FEW_SEQUENCES = 12
"""Different control sequences up to which each is replaced at once, everywhere. Programs use few."""

NOISE = b" \t\r\n\x0b\x0c\\'\"`\0"
"""What may stand between the letters of a secret: line breaks, quotes, and the backslashes before them."""

_NOISE_TO_NUL = bytes.maketrans(NOISE, bytes(len(NOISE)))


def decode_in_place(text: bytes) -> bytes:
    """Return a text of the same length, with each escape sequence decoded. Noise, and what is left over, is NUL."""
    if has_escapes(text):
        text = _ESCAPE.sub(lambda escape: _decoded(escape[0]), text)
    return noise_to_nul(text)


def has_escapes(text: bytes) -> bool:
    """Return whether there may be escape sequences in a text."""
    return b"\\" in text or b"%" in text or b"\x1b" in text or b"&" in text


def noise_to_nul(text: bytes) -> bytes:
    """Return a text of the same length in which noise is NUL."""
    return text.translate(_NOISE_TO_NUL)


def squeeze(decoded: bytes) -> bytes:
    """Return a decoded text without its NULs."""
    return decoded.translate(None, b"\0")


def without_noise(text: bytes) -> bytes:
    """Return a text that is not encoded, although it may look so, without its noise."""
    return text.translate(None, NOISE)


def without_terminal_codes(text: bytes) -> bytes:
    """Return a text without terminal control sequences, and without the NULs of UTF-16."""
    for _ in range(FEW_SEQUENCES):
        found = _ANSI_SEQUENCE.search(text) if b"\x1b" in text else None
        if not found:
            break
        text = text.replace(found[0], b"")
    else:
        text = _ANSI_SEQUENCE.sub(b"", text)
    return text.replace(b"\0", b"") if b"\0" in text else text


@lru_cache(maxsize=4096)
def _decoded(escape: bytes) -> bytes:
    found = _ESCAPE.fullmatch(escape)
    letters = _letters(found) if found else b""
    return letters + bytes(len(escape) - len(letters))


def _letters(escape: re.Match[bytes]) -> bytes:
    kind = escape.lastgroup
    if kind is None:
        return b""
    digits = escape[kind]
    match kind:
        case "percent":
            return bytes.fromhex(digits.decode())
        case "named":
            return _NAMED[digits]
        case "low":
            return bytes.fromhex((escape["high"] + digits).decode()).decode("utf-16-be").encode()
        case _:
            return _utf8(int(digits, 10 if kind == "decimal" else 16))


def _utf8(code: int) -> bytes:
    return chr(code).encode(errors="surrogatepass") if code <= 0x10FFFF else b""
