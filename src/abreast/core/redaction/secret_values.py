"""Tells values that a machine made, or a person chose as a password, from words, names, numbers and digests."""

import re

_NAME = re.compile(rb"(?:[A-Za-z]{0,20}|[0-9]+)(?:[._:/@#+-]+(?:[A-Za-z]{1,20}|[0-9]+))*[._:/@#+-]*")
_REFERENCE = re.compile(
    rb"[$%*]|process\.env|os\.environ|sha\d+[:-]|[a-z]+(?:\.[A-Za-z]\w{0,23}(?!\w)){2,}|\.{0,2}/|[A-Za-z]:[/\\]|https?:"
)
_NO_PASSWORD = re.compile(
    rb"[#<({\[*.x?-]+|(?:an?|the|is|was|not|no|yes|on|off|true|false|null|none|nil|undefined|required|optional|empty|"
    rb"string|str|text|hidden|redacted|masked|invalid|incorrect|wrong|missing|changed|expired|os|env|self|this|config)\b",
    re.IGNORECASE,
)
_MIX = re.compile(rb"[A-Za-z].*[0-9]|[0-9].*[A-Za-z]", re.DOTALL)
_RANDOM = re.compile(rb"[A-Za-z0-9_+/=.~!@#^*-]{12,}")
_MIXED_RUN = re.compile(
    rb"(?=[A-Za-z]{0,30}[0-9])(?=[0-9]{0,30}[A-Za-z])[A-Za-z0-9]{6,}|-[0-9A-Za-z]{4}-[0-9A-Za-z]{4}-"
)
_UUID = re.compile(rb"[0-9A-Za-z]{8}(?:-[0-9A-Za-z]{4}){3}-[0-9A-Za-z]{12}")
_HEX = re.compile(rb"(?:0x)?(?:[0-9a-f]+|[0-9A-F]+)")
_KEY = re.compile(rb"[A-Za-z0-9_+/=:-]+")
_LONG_WITH_DIGIT = re.compile(rb"(?=.*[0-9])[A-Za-z0-9_=-]{32,}")
_WORD_IN_CAMEL_CASE = re.compile(rb"(?<![a-z])[a-z]{4,15}(?![a-z])")

DIGITS = b"0123456789"
ENOUGH = 200
"""Letters of a word that tell whether a machine made it."""

FEW_DIGITS, MANY_DIGITS = 15, 20
"""Digits from which on a number is a secret, by what its name says. A time in nanoseconds has 19."""


def is_telling(value: bytes, least: int) -> bool:
    """Return whether a value with the name of a secret is one: mixed, and no reference to something else."""
    least = min(least, 10) if _KEY.fullmatch(value) else least
    return len(value) >= least and _is_mixed(value, 5) and not _is_name(value)


def is_long(value: bytes) -> bool:
    """Return whether a value with the name of a secret is one for its length alone, or for its shape."""
    return bool(_has_unbroken_part(value) or _UUID.fullmatch(value) or _LONG_WITH_DIGIT.fullmatch(value))


def is_key(value: bytes) -> bool:
    """Return whether a value with the name of a key, such as ``shop_key``, is a secret."""
    if _has_unbroken_part(value) or _UUID.fullmatch(value):
        return True
    return len(value) >= 16 and _is_mixed(value, 8) and bool(_KEY.fullmatch(value)) and not _is_name(value)


def is_random(value: bytes) -> bool:
    """Return whether letters and digits are mixed as in no name and no word. Hexadecimal numbers are."""
    return bool(
        len(value) >= 12
        and _is_mixed(value, 8)
        and _RANDOM.fullmatch(value)
        and _MIXED_RUN.search(value)
        and sum(map(value.count, DIGITS)) >= (2 if len(value) >= 20 else 3)
        and not _is_name(value)
    )


def is_machine_made(word: bytes) -> bool:
    """Return whether a word needs no name to be a secret: letters and digits mixed as in no name, and no digest."""
    word = word[:ENOUGH]
    letters = word.strip(DIGITS)
    if len(set(word)) < 8 or len(word) - len(word.translate(None, DIGITS)) < 2 or not letters:
        return False
    has_number = letters.isalpha() and not is_unbroken(letters)
    return not (has_number or _has_words(word) or is_hex(word))


def is_hex(value: bytes) -> bool:
    """Return whether a value is a hexadecimal number, such as a commit or a digest."""
    return bool(_HEX.fullmatch(value))


def is_digest(value: bytes) -> bool:
    """Return whether a value has the length of a commit or of a SHA-256."""
    return len(value) in (40, 64) and is_hex(value)


def is_unbroken(value: bytes, digits: int = FEW_DIGITS) -> bool:
    """Return whether a value is one run of digits or of letters, too long or too mixed for a number or a word."""
    value = value.strip(b"=-_")
    if value.isdigit():
        return len(value) >= digits
    return value.isalpha() and (len(value) >= 32 or (len(value) >= 20 and not _has_words(value)))


def _has_unbroken_part(value: bytes) -> bool:
    """Return whether a value is unbroken, or letters without words after a prefix, such as ``shop_``."""
    last = value.strip(b"=-_").rpartition(b"_")[2]
    return is_unbroken(value) or (last.isalpha() and len(last) >= 32 and not _has_words(last))


def is_password(value: bytes) -> bool:
    """Return whether what is assigned to a password may be one: no word of a message, no type, no reference."""
    counted = len(value) < 6 and value.isdigit()
    return not (counted or _REFERENCE.match(value) or _NO_PASSWORD.match(value))


def _is_mixed(value: bytes, distinct: int) -> bool:
    return len(set(value)) >= distinct and bool(_MIX.search(value))


def _is_name(value: bytes) -> bool:
    """Return whether a value names something: words and numbers between separators, a path, a variable."""
    return bool(_REFERENCE.match(value) or _NAME.fullmatch(value))


def _has_words(value: bytes) -> bool:
    """Return whether a value is made of words in camel case."""
    if value.islower() or value.isupper():
        return False
    return sum(map(len, _WORD_IN_CAMEL_CASE.findall(value))) > 0.4 * len(value)
