"""Patterns of unknown secrets: what has a token's shape, and what stands where secrets stand."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import NamedTuple

from abreast.core.redaction.secret_values import (
    MANY_DIGITS,
    is_digest,
    is_key,
    is_long,
    is_machine_made,
    is_password,
    is_random,
    is_telling,
    is_unbroken,
)
from abreast.core.redaction.token_shapes import MANY, TOKEN_SHAPES, TokenShape

Match = re.Match[bytes]


class SecretPattern(NamedTuple):
    """One kind of secret. The secret is the last group of a match of ``regex``, or all of it, if ``is_secret`` agrees.

    Every match begins with one of the ``markers``, or has one somewhere if they are ``floating``. They are in lower
    case if the regex ignores case.
    """

    markers: tuple[str, ...]
    regex: str
    is_secret: Callable[[Match], bool]
    beginning: str = ""
    """What the automaton looks for: how every match begins. Without one, it is derived from ``regex``.

    Patterns may share it. Then a match begins where a marker is.
    """
    floating: bool = False
    may_begin: Callable[[bytes, int], bool] = lambda _text, _start: True
    """Whether a match may begin at a place in a text."""
    longest_word: int = 0
    """Letters and digits in a row that every match has at least. A text without such a word is not searched."""


# ── judging a match ─────────────────────────────────────────────────────────────────────────────

ESCAPE = rb"(?:\\[nrt]|\x1b\[[0-9;]*[mK]|%[0-9A-Fa-f]{2}|\\u00[0-9a-f]{2}|\\x[0-9a-f]{2})"
"""An escape sequence, which is no part of the word that follows it."""
_ESCAPE_BEFORE = re.compile(ESCAPE + rb"\Z")
_ESCAPE_ENDS = b"nrtmK0123456789abcdefABCDEF"
_PASSWORD = re.compile(rb"pass|pwd|secret", re.IGNORECASE)
BASE64_LINES = (64, 76)
"""Lengths of lines in base64: PEM's and MIME's."""
_DIGIT = re.compile(rb"[0-9]")
_PORT_OR_PATH = re.compile(rb"[\d.:]+|[$%<].*|[A-Za-z_/.]*/.*")
_DIGEST_BEFORE = re.compile(rb"(?:sha[0-9]{1,3}|h1|md5)[:=-]\Z", re.IGNORECASE)
_WORD_BEFORE = re.compile(rb"[A-Za-z0-9_-]{1,40}\Z")
_SECRET_NAME = re.compile(rb"pass|pwd|secret|token|credential|(?:api|access|private)_?key", re.IGNORECASE)
_KEY_NAME = re.compile(rb"[A-Za-z0-9][_-](?:key|pat)\b", re.IGNORECASE)
_SERVICE_NAME = re.compile(rb"\bauth[\s:]{1,3}\Z")
_PUBLIC_KEY_NAME = re.compile(
    rb"cache[ \w.-]{0,30}key|(?:public|primary|foreign|partition|sort|idempotency|host|object)[_. -]?key", re.IGNORECASE
)


def _anything(_found: Match) -> bool:
    return True


def _begins_token(text: bytes, start: int) -> bool:
    """Return whether a token begins here, not in the middle of a word. An escape sequence is no part of a word."""
    before = text[start - 1 : start] if start else b""
    if not (before.isalnum() or before == b"_"):
        return True
    return before in _ESCAPE_ENDS and bool(_ESCAPE_BEFORE.search(text, max(0, start - 20), start))


def _is_assigned_secret(found: Match) -> bool:
    """Return whether an assigned value is a secret. The less its name says, the more random it must look."""
    begin, value = found.start(), found[2].rstrip(b".:")
    before = _WORD_BEFORE.search(found.string, max(0, begin - 40), begin)
    name = found.string[before.start() if before else begin : found.start(2)]
    if _SECRET_NAME.search(name):
        return is_long(value) or is_telling(value, 8 if name[-1:] in b"\"'`=" or _PASSWORD.search(name) else 12)
    if _has_public_name(found):
        return False
    return is_random(value) or is_unbroken(value, MANY_DIGITS) or bool(_KEY_NAME.search(name) and is_key(value))


def _is_value_after_keyword(found: Match) -> bool:
    value = found[2].rstrip(b".:")
    if _SECRET_NAME.match(found[1]):
        return is_long(value) or is_random(value)
    return not _has_public_name(found) and (is_random(value) or is_unbroken(value, MANY_DIGITS))


def _has_public_name(found: Match) -> bool:
    """Return whether a value is a key that anybody may read, or the commit or digest of a service called ``auth``."""
    before = found.string[max(0, found.start() - 40) : found.start(2)].rpartition(b"\n")[2]
    if _SERVICE_NAME.search(before) and is_digest(found[2].rstrip(b".:")):
        return True
    return bool(_PUBLIC_KEY_NAME.search(before))


def _is_machine_made(found: Match) -> bool:
    """Return whether a word is a secret for its letters and digits alone."""
    before = found.string[max(0, found.start(1) - 8) : found.start(1)]
    return is_machine_made(found[1]) and not _is_base64_line(found) and not _DIGEST_BEFORE.search(before)


def _is_base64_line(found: Match) -> bool:
    """Return whether a word is a line of a block in base64, such as a certificate."""
    around = found.string[max(0, found.start(1) - 1) : found.end(1) + 1]
    return len(found[1]) in BASE64_LINES and around.strip(b"\r\n") == found[1]


def _has_digit(text: bytes, start: int) -> bool:
    """Return whether there is a digit at the beginning of a long word."""
    return bool(_DIGIT.search(text, start, start + 2 * MACHINE_MADE))


def _is_password(found: Match) -> bool:
    return is_password(found[found.lastindex or 0])


def _is_word_for_password(found: Match) -> bool:
    """Return whether the one word that is assigned to a password is no other variable."""
    return is_password(found[1]) and not _SECRET_NAME.search(found[1])


def _begins_password(text: bytes, start: int) -> bool:
    """Return whether a name begins here, not in the middle of "bypass"."""
    return not text[start - 1 : start].isalpha() or text[start : start + 5].lower() == b"passw"


def _is_curl_password(found: Match) -> bool:
    return b"curl" in found.string[max(0, found.start() - 300) : found.start()]


def _is_login_password(found: Match) -> bool:
    """Return whether what follows ``-p`` may be a password: no port, and no reference."""
    return not _PORT_OR_PATH.fullmatch(found[1])


def any_of(words: Iterable[str]) -> str:
    """Return an expression that matches any of these words, grouped by their first letters, which is quick."""
    rests = defaultdict[str, set[str]](set)
    for word in words:
        rests[word[0]].add(re.escape(word[1:]))
    return "|".join(f"{re.escape(first)}(?:{'|'.join(sorted(rests[first]))})" for first in sorted(rests))


# ── what stands where secrets stand ─────────────────────────────────────────────────────────────

PRIVATE_KEY = "private-key"
KEY_END = re.compile(rb"-----END[A-Z0-9 _-]{0,60}PRIVATE KEY(?: BLOCK)?-----")

_KEYWORDS = (
    "pass",
    "pwd",
    "secret",
    "token",
    "credential",
    "auth",
    "private",
    "access",
    "_pat",
    "key",
    "login",
    "crumb",
)
_KEYWORD = r"(?i)(pass(?:word|wd|phrase|wort)|pwd|secret|token|credential|auth|private|access|_pat|key|login|crumb)"
_QUOTE = r"[\x22'`\\\s]"
_STOP = r"\s\x22'`,;(){}<>\\&|"
_MIXED = rf"(?:[a-z][^0-9{_STOP}]*[0-9]|[0-9][^a-z{_STOP}]*[a-z]|[0-9]{{15}}|(?:[a-z]+_)?[a-z]{{20}})"
"""How a value begins that mixes letters and digits, or is a long run of either."""

_TO_ASSIGNED = (
    r"[\w.-]{0,40}(?:\sstring)?"
    rf"{_QUOTE}{{0,4}}(?:=>|:{{0,3}}=|[?.]=|\|\||[:>,])[ \t]{{0,40}}{_QUOTE}{{0,12}}(?:bearer\s|basic\s)?"
)
_PASSWORD_NAME = r"(?i)(?:pass(?:word|wd|phrase)?|pwd)"  # noqa: S105 (an expression)
_UP_TO = re.compile(r"\{([01]),\d+\}")
"""Makes an automaton larger and slower than a repetition without an upper bound does."""

_TO_NEXT = r"(?:_?key)?[\s:._-]{1,3}(?:key|token|code|tok)?[\s:._\x22'-]{0,3}"
_NEAR_KEYWORD = _UP_TO.sub(
    lambda found: "*+"[int(found[1])], rf"{_KEYWORD}(?:{_TO_ASSIGNED}[^a-z0-9{_STOP}]{{0,4}}|{_TO_NEXT}){_MIXED}"
)
"""How a value begins that is assigned to a name with a keyword, or follows the keyword."""

_SCHEME = r"(?i)authorization(?:\\?[\x22'])?\s{0,3}[:=]\s{0,3}(?:\\?[\x22'])?(?:basic|bearer|token|ssws|apikey|digest)"

MACHINE_MADE = 28
"""Letters and digits from which on a word needs no name to be a secret."""
_NO_HEX = "[0-9a-f]{0,19}[g-zA-Z]"
_LONG_NO_HEX = "|".join("[0-9a-f]" * at + f"[g-zA-Z][A-Za-z0-9]{{{MACHINE_MADE - 1 - at}}}" for at in range(20))
"""How a long word begins that is no commit and no digest: an automaton does not even see those."""

_IN_CONTEXT: Mapping[str, SecretPattern] = {
    "authorization": SecretPattern(
        ("authorization",), rf"{_SCHEME}\s{{1,3}}([A-Za-z0-9._~+/=-]{{8,}})", _anything
    ),
    "azure-client-secret": SecretPattern(
        ("Q~",), r"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,}", _anything, floating=True, may_begin=_begins_token
    ),
    "azure-key": SecretPattern(
        ("accountkey=", "sharedaccesskey="), r"(?i)(?:AccountKey|SharedAccessKey)=([A-Za-z0-9+/=]{40,})", _anything
    ),
    "azure-signature": SecretPattern(("?sig=", "&sig="), r"(?i)[?&]sig=([A-Za-z0-9%+/=]{30,})", _anything),
    "api-key": SecretPattern(
        ("api",), r"(?i)api[\x22']?\s?=\s?[\x22']?([0-9a-f]{32})(?![\w-])", _anything
    ),
    "bearer-token": SecretPattern(("bearer",), r"(?i)\bbearer\s{1,3}([A-Za-z0-9._~+/=-]{12,})", _anything),
    "code-climate-id": SecretPattern(
        ("cc_test_reporter_id",), r"(?i)CC_TEST_REPORTER_ID[\x22']?\s{0,3}[:=]\s{0,3}[\x22']?([0-9a-f]{64})", _anything
    ),
    "curl-password": SecretPattern(
        ("-u", "--user"), r"\s(?:-u|--user)[\s=]{0,3}[\x22']?[^\s:\x22']{0,60}:([^\s\x22'@]{3,})", _is_curl_password,
        r"\s(?:-u|--user)[\s=]{0,3}[\x22']?[^\s:\x22']{0,60}:[^\s\x22'@]", floating=True,
    ),
    "discord-webhook": SecretPattern(
        ("discord",), r"(?i)discord(?:app)?\.com/api/webhooks/\d{6,20}/([A-Za-z0-9_-]{20,})", _anything
    ),
    "docker-password": SecretPattern(
        ("-u", "--user"),
        r"\s(?:-u|--username)[\s=](?!and\b|or\b)[^\s-]\S{0,60}\s(?:-p|--password)[\s=]{1,3}([^\s-]\S{2,100})",
        _is_login_password,
        r"\s(?:-u|--username)[\s=][^\s-]\S{0,60}\s(?:-p|--password)[\s=]", floating=True,
    ),
    "facebook-app-token": SecretPattern(
        ("|", "%"), r"[0-9]{15,16}(?:\||%)[0-9a-z_-]{27,}", _anything, floating=True, may_begin=_begins_token
    ),
    "machine-made-word": SecretPattern(
        ("",), rf"(?:^|[^A-Za-z0-9+/.])((?={_NO_HEX})[A-Za-z0-9]{{28,}})={{0,2}}(?![A-Za-z0-9+/_(-]|\.\w)",
        _is_machine_made,
        rf"(?:^|[^A-Za-z0-9+/.])(?:{_LONG_NO_HEX})", floating=True, longest_word=MACHINE_MADE,
        may_begin=_has_digit,
    ),
    "mailchimp-key": SecretPattern(
        ("-us",), r"[0-9a-f]{32}-us[0-9]{1,2}", _anything, r"[0-9a-f]{32}-us[0-9]", floating=True,
        may_begin=_begins_token,
    ),
    "maxmind-key": SecretPattern(
        ("_mmk",), r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk", _anything, r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk",
        floating=True, may_begin=_begins_token,
    ),
    "netrc-password": SecretPattern(
        ("login",), r"\blogin\s{1,9}\S{1,60}\s{1,9}password\s{1,9}(\S{3,100})", _anything,
        r"login\s{1,9}\S{1,60}\s{1,9}password\s",
    ),
    "npm-registry-token": SecretPattern(
        (":_authToken=", ":_password="), r":_(?:authToken|password)=([A-Za-z0-9_=-]{20,})", _anything
    ),
    "password-alone-in-assignment": SecretPattern(
        ("pass", "pwd"), rf"{_PASSWORD_NAME}\s{{0,3}}=\s{{0,3}}([a-z0-9_]{{6,60}})(?=\s*(?:;|\n|\Z))",
        _is_word_for_password,
        rf"{_PASSWORD_NAME}\s*=\s*[a-z0-9_]{{6}}", may_begin=_begins_password,
    ),
    "password": SecretPattern(
        ("pass", "pwd"),
        rf"{_PASSWORD_NAME}(?:[\x22']?\s{{0,3}}(?:=>|:=|[=:])\s{{0,3}}(?:\x22([^\x22\s]{{3,60}}(?:\s[^\x22\s]{{1,60}})?)\x22"
        r"|'([^'\s]{3,60}(?:\s[^'\s]{1,60})?)')|=([^\s\x22'`,;&|)]{3,400}))",
        _is_password,
        rf"{_PASSWORD_NAME}(?:[\x22']?\s{{0,3}}(?:=>|:=|[=:])\s{{0,3}}[\x22'][^\x22'\s]{{3}}|=[^\s\x22'`,;&|)]{{3}})",
        may_begin=_begins_password,
    ),
    "secret-after-keyword": SecretPattern(
        _KEYWORDS, rf"{_KEYWORD}{_TO_NEXT}([A-Za-z0-9][^{_STOP}]{{11,}})", _is_value_after_keyword,
        _NEAR_KEYWORD,
    ),
    "secret-in-assignment": SecretPattern(
        _KEYWORDS, rf"{_KEYWORD}{_TO_ASSIGNED}([^{_STOP}]{{8,}})", _is_assigned_secret,
        _NEAR_KEYWORD,
    ),
    "secret-in-url": SecretPattern(
        ("://",), r"://[^\s:/@\x22']{0,60}:([^\s/\x22'${<]{3,100})@", _anything,
        r"://[^\s:/@\x22']*:[^\s/@\x22'${<]+@",
    ),
    "slack-webhook": SecretPattern(
        ("hooks.slack.com",), r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9/_-]{20,})", _anything
    ),
    "teams-webhook": SecretPattern(
        (".office.com/webhook",), r"\.office\.com/webhook[a-z0-9]{0,3}/([A-Za-z0-9@/-]{40,})", _anything
    ),
    "telegram-token": SecretPattern(
        (":AA",), r"[0-9]{8,10}:AA[A-Za-z0-9_-]{32,}", _anything, floating=True, may_begin=_begins_token
    ),
    "telegram-token-after-name": SecretPattern(
        ("gram",), r"(?i)gram[\w.\s:/=\x22'-]{1,20}?(?<![0-9])([0-9]{8,10}:[A-Za-z0-9_-]{35})(?![A-Za-z0-9_-])",
        _anything,
        r"(?i)gram[\w.\s:/=\x22'-]{1,20}[0-9]{8}:[A-Za-z0-9_-]{35}",
    ),
    "thingsboard-token": SecretPattern(
        ("/api/v1/",), r"/api/v1/([A-Za-z0-9]{20})/(?:telemetry|attributes|rpc|claim|provision|firmware)", _anything
    ),
    "tines-webhook": SecretPattern(
        (".tines.com/webhook/",), r"\.tines\.com/webhook/([0-9a-f]{32}/[0-9a-f]{32})", _anything
    ),
    "terraform-token": SecretPattern(
        (".atlasv1.",), r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}", _anything, floating=True,
        may_begin=_begins_token,
    ),
    "zapier-webhook": SecretPattern(
        ("hooks.zapier.com/hooks/catch/",), r"hooks\.zapier\.com/hooks/catch/([A-Za-z0-9/]{7,})", _anything
    ),
    PRIVATE_KEY: SecretPattern(
        ("-----BEGIN",), r"-----BEGIN[A-Z0-9 _-]{0,60}PRIVATE KEY(?: BLOCK)?-----", _anything, "-----BEGIN"
    ),
}  # fmt: skip


def _of_shape(shape: TokenShape) -> SecretPattern:
    prefixes = shape.prefixes.split()
    regex = f"(?:{'|'.join(map(re.escape, prefixes))}){shape.rest}"
    return SecretPattern(tuple(prefixes), regex, _anything, may_begin=_begins_token)


SECRET_PATTERNS: Mapping[str, SecretPattern] = {
    **{shape.name: _of_shape(shape) for shape in TOKEN_SHAPES},
    **_IN_CONTEXT,
}
"""By name. A private key extends to its end line."""


@cache
def compiled_pattern(name: str) -> re.Pattern[bytes]:
    """Return a pattern, compiled."""
    return re.compile(SECRET_PATTERNS[name].regex.encode())


_TELLING_REPEAT = re.compile(r"(?<=\])\{(?:(\d+),|(1[6-9]|[2-9]\d|\d{3})(?:,\d*)?)\}")
"""A repetition after which the rest of an expression tells nothing: an open one, or a long one."""
_ENOUGH = 16
_OPTIONAL_END = re.compile(r"\(\?:[^()]*\)(?:\?|\{0,\d\})$")


def beginning(pattern: SecretPattern) -> str:
    """Return how every match of a pattern begins, cut where it tells enough. Short expressions make small automata."""
    if pattern.beginning:
        return pattern.beginning
    regex = pattern.regex.replace(MANY, "")
    telling = _TELLING_REPEAT.search(regex)
    if not telling:
        return _OPTIONAL_END.sub("", regex)
    count = min(_ENOUGH, int(telling[1] or telling[2]))
    cut = f"{regex[: telling.start()]}{{{count}}}"
    return cut + ")" * (cut.count("(") - cut.count(")"))
