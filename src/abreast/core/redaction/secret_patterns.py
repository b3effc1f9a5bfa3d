"""Patterns of unknown secrets: what has a token's shape, and what stands where secrets stand."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import NamedTuple

from abreast.core.redaction.token_shapes import MANY, TOKEN_SHAPES, TokenShape

Match = re.Match[bytes]


class SecretPattern(NamedTuple):
    """One kind of secret. The secret is the last group of a match of ``regex``, or all of it, if ``is_secret`` agrees.

    Every text that contains one contains one of the lower-case ``markers``.
    """

    markers: tuple[str, ...]
    regex: str
    is_secret: Callable[[Match], bool]
    beginning: str = ""
    """What the automaton looks for: how every match begins. Without one, it is derived from ``regex``."""


# ── judging a match ─────────────────────────────────────────────────────────────────────────────

_ESCAPE_BEFORE = re.compile(rb"(?:\\[nrt]|\x1b\[[0-9;]*[mK]|%[0-9A-Fa-f]{2}|\\u00[0-9a-f]{2}|\\x[0-9a-f]{2})\Z")
_NAME = re.compile(rb"(?:[A-Za-z]{0,20}|[0-9]+)(?:[._:/@#+-]+(?:[A-Za-z]{1,20}|[0-9]+))*[._:/@#+-]*")
_NO_VALUE = re.compile(
    rb"[$%*]|process\.env|os\.environ|sha\d+[:-]|[a-z]+(?:\.[A-Za-z]\w*){2,}|\.{0,2}/|[A-Za-z]:[/\\]|https?:"
)
_RANDOM = re.compile(rb"[A-Za-z0-9_+/=.~!@#^*-]{12,}")
_UNBROKEN = re.compile(
    rb"(?=[A-Za-z]{0,30}[0-9])(?=[0-9]{0,30}[A-Za-z])[A-Za-z0-9]{6,}|-[0-9A-Za-z]{4}-[0-9A-Za-z]{4}-"
)
_MIX = re.compile(rb"[A-Za-z].*[0-9]|[0-9].*[A-Za-z]", re.DOTALL)
_PASSWORD = re.compile(rb"pass|pwd|secret", re.IGNORECASE)
_SECRET_NAME = re.compile(rb"pass|pwd|secret|token|credential|(?:api|access|private)_?key", re.IGNORECASE)


def _anything(_found: Match) -> bool:
    return True


def _begins_token(found: Match) -> bool:
    """Return whether a token begins here, not in the middle of a word. An escape sequence is no part of a word."""
    start, text = found.start(), found.string
    before = text[start - 1 : start] if start else b""
    return not (before.isalnum() or before == b"_") or bool(_ESCAPE_BEFORE.search(text, max(0, start - 20), start))


def _is_assigned_secret(found: Match) -> bool:
    """Return whether an assigned value is a secret. The less its name says, the more random it must look."""
    name, value = found.string[found.start() : found.start(2)], found[2].rstrip(b".:")
    if not _SECRET_NAME.search(name):
        return _is_random(value)
    if _is_unbroken(value):
        return True
    least = 8 if name[-1:] in b"\"'`=" or _PASSWORD.search(name) else 12
    return len(value) >= least and _is_mixed(value, 5) and not _NO_VALUE.match(value) and not _NAME.fullmatch(value)


def _is_random_value(found: Match) -> bool:
    value = found[2].rstrip(b".:")
    return _is_random(value) or (bool(_SECRET_NAME.match(found[1])) and _is_unbroken(value))


def _is_random(value: bytes) -> bool:
    return bool(
        len(value) >= 12
        and _is_mixed(value, 8)
        and _RANDOM.fullmatch(value)
        and _UNBROKEN.search(value)
        and sum(map(value.count, b"0123456789")) >= (2 if len(value) >= 20 else 3)
        and not _NO_VALUE.match(value)
        and not _NAME.fullmatch(value)
    )


def _is_unbroken(value: bytes) -> bool:
    """Return whether a value is one run of digits or of letters that is too long for a number or a word."""
    if value.isdigit():
        return len(value) >= 15
    return len(value) >= 20 and value.isalpha() and (value.islower() or value.isupper())


def _is_mixed(value: bytes, distinct: int) -> bool:
    return len(set(value)) >= distinct and bool(_MIX.search(value))


def _is_curl_password(found: Match) -> bool:
    return b"curl" in found.string[max(0, found.start() - 300) : found.start()]


_BEFORE_PASSWORD = re.compile(rb"://[^\s:/@\x22']{0,60}\Z")


def _is_password_in_url(found: Match) -> bool:
    return bool(_BEFORE_PASSWORD.search(found.string, max(0, found.start() - 64), found.start()))


# ── what stands where secrets stand ─────────────────────────────────────────────────────────────

PRIVATE_KEY = "private-key"
KEY_END = re.compile(rb"-----END[A-Z0-9 _-]{0,60}PRIVATE KEY(?: BLOCK)?-----")

_KEYWORDS = ("pass", "pwd", "secret", "token", "credential", "auth", "private", "access", "_pat", "key")
_KEYWORD = r"(?i)(pass(?:word|wd|phrase|wort)|pwd|secret|token|credential|auth|private|access|_pat|key)"
_QUOTE = r"[\x22'`\\\s]"
_STOP = r"\s\x22'`,;(){}<>\\&|"
_MIXED = rf"(?:[a-z][^0-9{_STOP}]{{0,40}}[0-9]|[0-9][^a-z{_STOP}]{{0,40}}[a-z]|[0-9]{{15}}|[a-z]{{20}})"
"""How a value begins that mixes letters and digits, or is a long run of either."""

_ASSIGNED = (
    rf"{_KEYWORD}[\w.-]{{0,20}}(?:\sstring)?"
    rf"{_QUOTE}{{0,4}}(?:=>|:{{0,3}}=|[?.]=|\|\||[:>,]){_QUOTE}{{0,12}}(?:bearer\s|basic\s)?"
)
_AFTER_KEYWORD = rf"{_KEYWORD}(?:_?key)?[\s:._-]{{1,3}}(?:key|token|code|tok)?[\s:._-]{{0,3}}"
_SCHEME = r"(?i)authorization(?:\\?[\x22'])?\s{0,3}[:=]\s{0,3}(?:\\?[\x22'])?(?:basic|bearer|token|ssws|apikey|digest)"

_IN_CONTEXT: Mapping[str, SecretPattern] = {
    "authorization": SecretPattern(
        ("authorization",), rf"{_SCHEME}\s{{1,3}}([A-Za-z0-9._~+/=-]{{8,}})", _anything
    ),
    "azure-client-secret": SecretPattern(("q~",), r"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,}", _begins_token),
    "azure-key": SecretPattern(
        ("accountkey=", "sharedaccesskey="), r"(?i)(?:AccountKey|SharedAccessKey)=([A-Za-z0-9+/=]{40,})", _anything
    ),
    "azure-signature": SecretPattern(("sig=",), r"(?i)[?&]sig=([A-Za-z0-9%+/=]{30,})", _anything),
    "bearer-token": SecretPattern(("bearer",), r"(?i)\bbearer\s{1,3}([A-Za-z0-9._~+/=-]{12,})", _anything),
    "curl-password": SecretPattern(
        ("-u", "--user"), r"\s(?:-u|--user)[\s=]{0,3}[\x22']?[^\s:\x22']{0,60}:([^\s\x22'@]{3,})", _is_curl_password,
        r"\s(?:-u|--user)[\s=]{0,3}[\x22']?[^\s:\x22']{0,60}:[^\s\x22'@]",
    ),
    "discord-bot-token": SecretPattern(
        (".",), r"[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}", _begins_token,
        r"[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{8}",
    ),
    "discord-webhook": SecretPattern(
        ("/api/webhooks/",), r"(?i)discord(?:app)?\.com/api/webhooks/\d{6,20}/([A-Za-z0-9_-]{20,})", _anything
    ),
    "facebook-app-token": SecretPattern(("|", "%"), r"[0-9]{15,16}(?:\||%)[0-9a-z_-]{27,}", _begins_token),
    "mailchimp-key": SecretPattern(
        ("-us",), r"[0-9a-f]{32}-us[0-9]{1,2}", _begins_token, r"[0-9a-f]{32}-us[0-9]"
    ),
    "maxmind-key": SecretPattern(
        ("_mmk",), r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk", _begins_token, r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk"
    ),
    "npm-registry-token": SecretPattern(
        (":_authtoken=", ":_password="), r":_(?:authToken|password)=([A-Za-z0-9_=-]{20,})", _anything
    ),
    "secret-after-keyword": SecretPattern(
        _KEYWORDS, rf"{_AFTER_KEYWORD}([A-Za-z0-9][^{_STOP}]{{11,}})", _is_random_value, rf"{_AFTER_KEYWORD}{_MIXED}"
    ),
    "secret-in-assignment": SecretPattern(
        _KEYWORDS, rf"{_ASSIGNED}([^{_STOP}]{{8,}})", _is_assigned_secret,
        rf"{_ASSIGNED}[^a-z0-9{_STOP}]{{0,4}}{_MIXED}",
    ),
    "secret-in-url": SecretPattern(
        ("://",), r":([^\s/\x22'${<]{3,100})@", _is_password_in_url, r":[^\s/@\x22'${<]{3,100}@"
    ),
    "slack-webhook": SecretPattern(
        ("hooks.slack.com",), r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/_-]{20,})", _anything
    ),
    "teams-webhook": SecretPattern(
        (".office.com/webhook",), r"\.office\.com/webhook[a-z0-9]{0,3}/([A-Za-z0-9@/-]{40,})", _anything
    ),
    "telegram-token": SecretPattern((":aa",), r"[0-9]{8,10}:AA[A-Za-z0-9_-]{32,}", _begins_token),
    "terraform-token": SecretPattern((".atlasv1.",), r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}", _begins_token),
    PRIVATE_KEY: SecretPattern(("-----begin",), r"-----BEGIN[A-Z0-9 _-]{0,60}PRIVATE KEY(?: BLOCK)?-----", _anything),
}  # fmt: skip


def _of_shape(shape: TokenShape) -> SecretPattern:
    prefixes = shape.prefixes.split()
    regex = f"(?:{'|'.join(map(re.escape, prefixes))}){shape.rest}"
    return SecretPattern(tuple(prefix.lower() for prefix in prefixes), regex, _begins_token)


SECRET_PATTERNS: Mapping[str, SecretPattern] = {
    **{shape.name: _of_shape(shape) for shape in TOKEN_SHAPES},
    **_IN_CONTEXT,
}
"""By name. A private key extends to its end line."""


@cache
def compiled_pattern(name: str) -> re.Pattern[bytes]:
    """Return a pattern, compiled."""
    return re.compile(SECRET_PATTERNS[name].regex.encode())


_LONG_REPEAT = re.compile(r"(?<=\])\{(?:1[6-9]|[2-9]\d|\d{3})(?:,\d*)?\}")
_OPEN_REPEAT = re.compile(r"\{(\d+),\d*\}(?=\)?$)|(?:\(\?:[^()]*\)(?:\?|\{0,\d\}))$")


def beginning(pattern: SecretPattern) -> str:
    """Return how every match of a pattern begins, cut where it tells enough. Short expressions make small automata."""
    if pattern.beginning:
        return pattern.beginning
    regex = pattern.regex.replace(MANY, "")
    if long := _LONG_REPEAT.search(regex):
        cut = regex[: long.start()] + "{16}"
        return cut + ")" * (cut.count("(") - cut.count(")"))
    return _OPEN_REPEAT.sub(lambda found: f"{{{found[1]}}}" if found[1] else "", regex)
