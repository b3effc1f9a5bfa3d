"""The forms in which output may contain a secret: plain, quoted for a shell, URL, JSON or XML, or in base64."""

import base64
import html
import json
import shlex
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

MIN_LENGTH = 3
"""Minimum length of a secret. Shorter ones would match in any text."""

MIN_ENCODED_LENGTH = 6


def secret_forms(secret: str) -> frozenset[bytes]:
    """Return every form of a secret to search for. No form contains a line break."""
    found = set[bytes]()
    for part in {secret, secret.strip(), *(line.strip() for line in secret.splitlines())}:
        if len(part) >= (MIN_LENGTH if part == secret.strip() else MIN_ENCODED_LENGTH):
            found.add(part.encode(errors="surrogateescape"))
        if len(part) >= MIN_ENCODED_LENGTH:
            found.update(_encoded_forms(part))
    return frozenset(form for form in found if b"\n" not in form and b"\r" not in form)


def _encoded_forms(text: str) -> Iterator[bytes]:
    raw = text.encode(errors="surrogateescape")
    yield from _base64(raw)
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for form in (*_for_urls(raw), *_for_json(text), *_for_xml(text), *_for_shells(text), repr(text)[1:-1]):
        yield form.encode(errors="surrogateescape")


def _base64(raw: bytes) -> Iterator[bytes]:
    """Yield the base64 characters that depend on the secret alone, at each of the three possible offsets."""
    for shift in range(3):
        letters = base64.b64encode(bytes(shift) + raw)[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6]
        yield letters
        yield letters.translate(bytes.maketrans(b"+/", b"-_"))


def _for_urls(raw: bytes) -> Iterator[str]:
    for safe in ("", "/", "!'()*~", "-._~!$&'()*+,;=:@/?"):
        for form in (quote(raw, safe=safe), quote_plus(raw, safe=safe)):
            yield form
            yield _lower_hex(form)


def _lower_hex(quoted: str) -> str:
    first, *rest = quoted.split("%")
    return "%".join([first, *(piece[:2].lower() + piece[2:] for piece in rest)])


def _for_json(text: str) -> Iterator[str]:
    for ascii_only in (True, False):
        form = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield form
        yield form.replace("/", "\\/")
        yield json.dumps(form, ensure_ascii=ascii_only)[1:-1]
        yield form.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _for_xml(text: str) -> Iterator[str]:
    escaped = html.escape(text, quote=False)
    yield escaped
    for double in ("&quot;", "&#34;"):
        for single in ("'", "&apos;", "&#39;", "&#x27;"):
            yield escaped.replace('"', double).replace("'", single)


def _for_shells(text: str) -> Iterator[str]:
    yield shlex.quote(text).removeprefix("'").removesuffix("'")
    yield text.replace("'", "'\\''")
    yield "".join(letter if letter.isalnum() or letter in "%+,-./:=@_" else f"\\{letter}" for letter in text)
    yield "".join(f"\\{letter}" if letter in '\\"$`' else letter for letter in text)
    yield "".join(f"\\{letter}" if letter in '\\"$`!' else letter for letter in text)
    yield text.replace("\\", "\\\\").replace("'", "\\'")
