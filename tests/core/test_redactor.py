"""Secrets do not pass, however they are written, and however the stream is cut; by both engines alike."""

import base64
import json
import random
import re
import shlex
import string
import subprocess
import urllib.parse
import xml.sax.saxutils
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abreast.core.redaction import redactor as engine
from abreast.core.redaction.known_secrets import MIN_PREFIX_LENGTH
from abreast.core.redaction.pattern_search import MAX_KEY_BYTES
from abreast.core.redaction.redactor import CONTEXT_BYTES, MAX_LINE_BYTES, Redactor
from abreast.core.secrets import MASK

KEY = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + "\n".join("MIIE" + "ab1/" * 15 for _ in range(20))
    + "\n-----END RSA PRIVATE KEY-----"
)

ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str, "in a sentence": lambda text: f"the value is {text}.", "trimmed": str.strip,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 after one": lambda text: base64.b64encode(b"a" + text.encode()).decode(),
    "base64 after two": lambda text: base64.b64encode(b"ab" + text.encode() + b"more").decode(),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(b"user:" + text.encode()).decode(),
    "URL": lambda text: urllib.parse.quote(text, safe=""), "URL path": urllib.parse.quote,
    "URL form": urllib.parse.quote_plus, "URL in small": lambda text: re.sub("%..", lambda one: one[0].lower(), urllib.parse.quote(text, safe="")),
    "JSON": json.dumps, "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "JSON with slashes": lambda text: json.dumps(text).replace("/", "\\/"), "JSON unicode": lambda text: json.dumps(text, ensure_ascii=False),
    "XML": xml.sax.saxutils.escape, "XML attribute": lambda text: xml.sax.saxutils.escape(text, {'"': "&quot;", "'": "&#39;"}),
    "shell": shlex.quote, "shell double": lambda text: '"' + "".join(f"\\{c}" if c in '\\"$`' else c for c in text) + '"',
    "Python": repr, "hexadecimal": lambda text: text.encode().hex(),
    "base64 in lines": lambda text: base64.encodebytes(b"user=app and also " * 4 + text.encode() + b" and more" * 4).decode().strip(),
    "base64 of UTF-16": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "URL, each letter": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "URL, twice": lambda text: urllib.parse.quote(urllib.parse.quote(text, safe=""), safe=""),
    "JSON, each letter": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text),
    "JSON, letters but no digits": lambda text: "".join(letter if letter.isdigit() else f"\\u{ord(letter):04X}" for letter in text),
    "Python, each letter": lambda text: "".join(f"\\x{ord(letter):02x}" for letter in text),
    "entities": lambda text: "".join(f"&#{ord(letter)};" for letter in text),
    "entities in hexadecimal": lambda text: "".join(f"&#x{ord(letter):X};" for letter in text),
    "UTF-16": lambda text: "".join(f"{letter}\0" for letter in text),
    "colored inside": lambda text: f"{text[: len(text) // 2]}\x1b[1;31m{text[len(text) // 2 :]}\x1b[0m",
    "each letter colored": lambda text: "".join(f"\x1b[38;5;{number % 200}m{letter}" for number, letter in enumerate(text)),
    "wrapped": lambda text: f"{text[: len(text) * 2 // 3]}\n    {text[len(text) * 2 // 3 :]}" if len(text) >= 16 else text,
    "wrapped by a terminal": lambda text: f"{text[: len(text) // 2]}\r\n{text[len(text) // 2 :]}" if len(text) >= 16 else text,
    "quotes doubled": lambda text: text.replace('"', '""').replace("'", "''"), "shell history": lambda text: text.replace("'", "'\\''"),
}  # fmt: skip

SECRETS = [
    "hunter2-correct-horse", "pa$$w0rd'with\"quotes", "a/b+c==&<tag>", "émile-ünïcode-9", "  spaces around it 7 ",
    "x" * 300 + "1", "postgres://app:s3cr3t%21@db/shop?x=1", "back\\slash\\n4711", "tab\there 12", "AbCdEf0123456789+/AbC=",
]  # fmt: skip


def use_automata_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "AUTOMATON_THRESHOLD", 0)


def planted(seed: int) -> tuple[str, list[str]]:
    """A log in which every secret stands in every encoding, among lines that are none."""
    chance = random.Random(seed)
    lines, forms = [], []
    for secret in SECRETS:
        for name, encode in ENCODINGS.items():
            form = encode(secret)
            forms.append(form.strip())
            noise = "".join(chance.choices(string.ascii_lowercase + " ", k=chance.randrange(60)))
            lines.append(f"[{name}] {noise} {form} {noise[::-1]}")
    chance.shuffle(lines)
    return "\n".join(lines) + "\n", forms


def cut(text: bytes, seed: int, longest: int = 40) -> list[bytes]:
    chance = random.Random(seed)
    pieces, at = [], 0
    while at < len(text):
        size = chance.randint(1, longest)
        pieces.append(text[at : at + size])
        at += size
    return pieces


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("seed", range(6))
def test_known_secrets_do_not_pass_in_any_encoding(monkeypatch: pytest.MonkeyPatch, seed: int, fast: bool) -> None:
    monkeypatch.setattr(engine, "HAS_HYPERSCAN", fast)
    if seed % 2:
        use_automata_at_once(monkeypatch)
    log, forms = planted(seed)
    assert len(forms) >= 200
    assert all(form in log for form in forms)
    redactor = Redactor(SECRETS)
    shown = b"".join([*map(redactor.feed, cut(log.encode(), seed)), redactor.flush()]).decode()
    cores = [form.strip("'\"=") for form in forms]
    assert not [core for core in cores if core in shown]
    assert not [secret for secret in SECRETS if secret.strip() in shown]
    assert shown.count("\n") == log.count("\n"), "lines stay lines"


@pytest.mark.parametrize("pause", [1, 7, 40])
def test_nor_where_the_stream_pauses(pause: int) -> None:
    secret = "correct-horse-battery-1"
    text = f"before {secret} between {secret} after\n".encode()
    redactor = Redactor([secret])
    shown = b""
    for at in range(0, len(text), pause):
        shown += redactor.feed(text[at : at + pause]) + redactor.flush()
    longest = max(
        len(secret[i:j])
        for i in range(len(secret))
        for j in range(i + 1, len(secret) + 1)
        if secret[i:j].encode() in shown
    )
    assert longest <= MIN_PREFIX_LENGTH
    assert shown.startswith(b"before ")
    assert shown.endswith(b" after\n")


def test_each_line_of_a_secret_is_one() -> None:
    redactor = Redactor(["first line of it\n  second one, indented  \nshort\n}"])
    shown = redactor.feed(b"x second one, indented y\nfirst line of it\nshort }\n")
    assert shown.decode() == f"x {MASK} y\n{MASK}\nshort }}\n"


@pytest.mark.parametrize(
    "tool",
    [
        "base64 --wrap=76",
        "od -An -v -tx1 -w30 | tr -d ' '",
        "iconv -t UTF-16LE",
        "iconv -t UTF-16LE | base64",
        "fold -w 30",
        r"sed 's/./&\x1b[0m/g'",
    ],
)
def test_what_tools_make_of_a_secret_is_it_still(tool: str) -> None:
    secret = "correct-horse-battery-staple-1742-and-more-of-it"
    said = subprocess.run(
        ["sh", "-c", tool], input=f"user=app {secret} for all".encode(), stdout=subprocess.PIPE, check=True
    )

    def hidden_bytes(known: str) -> int:
        redactor = Redactor([known])
        shown = b"".join([*map(redactor.feed, cut(said.stdout, 3)), redactor.flush()])
        return len(said.stdout) - len(shown.replace(MASK.encode(), b""))

    assert hidden_bytes(secret) >= len(secret)
    assert hidden_bytes("another-secret-of-the-same-length-and-more-of-it") == 0


def test_the_password_of_a_url_is_a_secret_alone() -> None:
    redactor = Redactor(["postgres://app:s3cr3t%21word@db.example.com/shop", "redis://cache:cache1@cache1.example.com"])
    assert redactor.redact_text("role app, s3cr3t%21word or s3cr3t!word") == f"role app, {MASK} or {MASK}"
    assert redactor.redact_text("host cache1, user app at example.com") == "host cache1, user app at example.com"


def test_nor_does_the_password_of_a_url_where_the_stream_pauses() -> None:
    redactor = Redactor()
    shown = [redactor.feed(b"to postgres://app:hunter2"), redactor.flush(), redactor.feed(b"!word@db/shop\n")]
    assert b"".join(shown).replace(MASK.encode(), b"") == b"to postgres://app:@db/shop\n"
    assert redactor.feed(b"at http://localhost:80") + redactor.flush() == b"at http://localhost:80"


@settings(derandomize=True, deadline=None)
@given(
    st.text(string.ascii_letters + string.digits + "!#$()*+,-./:<=>?@[]^_{|}~'\"", min_size=16, max_size=60),
    st.sampled_from(sorted(ENCODINGS)),
    st.integers(),
)
def test_any_secret_in_any_encoding_however_cut(secret: str, encoding: str, seed: int) -> None:
    form = ENCODINGS[encoding](secret)
    redactor = Redactor([secret])
    shown = b"".join([*map(redactor.feed, cut(f"before {form} after\n".encode(), seed)), redactor.flush()]).decode()
    assert form.strip("'\"=") not in shown
    assert secret not in shown


WRITTEN: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "each letter colored": lambda text: "".join(f"\x1b[38;5;{n % 200}m{letter}" for n, letter in enumerate(text)),
    "wrapped": lambda text: f"{text[:20]}\n   {text[20:]}",
    "JSON, each letter": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text),
    "entities": lambda text: "".join(f"&#x{ord(letter):X};" for letter in text),
}


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_known_secrets_do_not_pass_wherever_in_a_long_text(
    monkeypatch: pytest.MonkeyPatch, seed: int, fast: bool
) -> None:
    monkeypatch.setattr(engine, "HAS_HYPERSCAN", fast)
    use_automata_at_once(monkeypatch)
    chance = random.Random(seed)
    secret = "".join(chance.choices(string.ascii_lowercase + string.digits, k=40))
    pieces: list[str] = []
    size = chance.choice((1, 400, 3000))
    while sum(map(len, pieces)) < 60_000:
        pieces += [chance.choice(list(WRITTEN.values()))(secret), "\n", "x y z " * chance.randint(1, size), "\n"]
    shown = Redactor([secret]).redact_text("".join(pieces))
    for name, write in WRITTEN.items():
        written = write(secret)
        assert not [at for at in range(0, len(written) - 60, 20) if written[at : at + 60] in shown], name
    assert secret not in re.sub("\x1b\\[[0-9;]*m", "", shown)
    assert secret not in shown


@pytest.mark.parametrize("size", [7, 100, 5000])
def test_a_private_key_is_taken_out_over_its_lines(size: int) -> None:
    redactor = Redactor()
    text = f"before\n{KEY}\nafter\n".encode()
    shown = b"".join([redactor.feed(text[at : at + size]) + redactor.flush() for at in range(0, len(text), size)])
    assert b"MIIE" not in shown
    assert b"ab1/" not in shown
    assert shown.startswith(b"before\n")
    assert shown.endswith(b"after\n")


def test_a_private_key_without_end_does_not_take_all_that_follows() -> None:
    redactor = Redactor()
    shown = redactor.feed(b"-----BEGIN PRIVATE KEY-----\n")
    for _ in range(MAX_KEY_BYTES // 50 + 10):
        shown += redactor.feed(b"x" * 49 + b"\n")
    assert shown.endswith(b"x" * 49 + b"\n")
    assert shown.count(b"x") < 1000


def test_memory_is_bounded_on_a_line_without_end_and_secrets_in_it_are_caught() -> None:
    secret = "correct-horse-battery-1"
    redactor = Redactor([secret])
    shown = b""
    for number in range(200):
        shown += redactor.feed(b"y" * (5000 + number) + secret.encode())
        assert redactor._buffered_bytes + len(redactor._context) <= MAX_LINE_BYTES + CONTEXT_BYTES + 6000
    shown += redactor.flush()
    assert secret.encode() not in shown
    assert shown.replace(MASK.encode(), b"") == b"y" * sum(5000 + number for number in range(200))


def test_a_token_longer_than_what_is_held_is_caught_whole() -> None:
    redactor = Redactor()
    text = b"Bearer " + b"a1b2" * 50_000 + b" end\n"
    shown = b"".join(map(redactor.feed, cut(text, 1, 9000)))
    assert shown.replace(MASK.encode(), b"") == b"Bearer  end\n"


@settings(deadline=None)
@given(st.binary(max_size=2000), st.integers())
def test_a_stream_is_what_its_whole_would_be(noise: bytes, seed: int) -> None:
    redactor = Redactor(["known-secret-1"])
    text = noise + b" known-secret-1 " + noise[::-1]
    shown = b"".join([*map(redactor.feed, cut(text, seed)), redactor.flush()])
    assert shown == Redactor(["known-secret-1"]).redact_text(text.decode(errors="surrogateescape")).encode(
        errors="surrogateescape"
    )


@pytest.mark.exhaustive
@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_values_keep_their_shape(value: object) -> None:
    assert Redactor(["no such secret"]).redact_value(value) == value
