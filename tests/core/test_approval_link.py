"""Approval links: the format is PASETO's, OpenSSL verifies the signature, and a link with any change is none."""

import base64
import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from abreast.core.approvals import paseto
from abreast.core.approvals.link import LinkClaims, clock_refusal, is_link, link_id, link_token, make_link, read_link
from sample_project import require_programs

KEY = Ed25519PrivateKey.from_private_bytes(b"abreast signs this with 32 bytes")
PUBLIC = KEY.public_key().public_bytes_raw()
CLAIMS = LinkClaims("shop", "maria", "01M8E2R7R1ESNQ199HN2HXBFEJ", "pKk0Tf3mCqfLqHjOGDqv1g", "2026-11-28T04:12:07Z")
LINK = make_link(KEY, CLAIMS, "https://deploy.example.com/").reveal()

VECTOR_KEY = "b4cbfb43df4ce210727d953e4a713307fa19bb7d9f85041438d9e11b942a3774"
VECTOR_MESSAGE = b'{"data":"this is a signed message","exp":"2022-01-01T00:00:00+00:00"}'
VECTOR_TOKEN = (
    "v4.public.eyJkYXRhIjoidGhpcyBpcyBhIHNpZ25lZCBtZXNzYWdlIiwiZXhwIjoiMjAyMi0wMS0wMVQwMDowMDowMCswMDowMCJ9"
    "bg_XBBzds8lTZShVlwwKSgeKpLT3yukTw6JUz3W4h_ExsQV-P0V54zemZDcAxFaSeef1QlXEFtkqxT1ciiQEDA"
)
"""The vector 4-S-1 of https://github.com/paseto-standard/test-vectors/blob/master/v4.json."""


def test_it_makes_the_token_of_the_published_vector() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(VECTOR_KEY))
    assert paseto.sign(key, VECTOR_MESSAGE) == VECTOR_TOKEN
    assert paseto.verify(key.public_key().public_bytes_raw(), VECTOR_TOKEN) == VECTOR_MESSAGE


def test_openssl_verifies_a_link(tmp_path: Path) -> None:
    """The signed bytes are put together here by the documented format alone."""
    require_programs("openssl")
    token = LINK.partition("#")[2].removeprefix("v4.public.")
    data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    message, signature = data[:-64], data[-64:]
    pieces = [b"v4.public.", message, b"", b"abreast approval link 1"]
    signed = b"".join(len(piece).to_bytes(8, "little") + piece for piece in pieces)
    (tmp_path / "signed").write_bytes(len(pieces).to_bytes(8, "little") + signed)
    (tmp_path / "signature").write_bytes(signature)
    (tmp_path / "key.pem").write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "signed"]
    done = subprocess.run([*command, "-sigfile", "signature"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "Signature Verified Successfully" in done.stdout
    assert json.loads(message) == {
        "aud": "abreast/shop", "sub": "maria", "deployment": CLAIMS.deployment, "plan": CLAIMS.plan,
        "exp": "2026-11-28T04:12:07Z",
    }  # fmt: skip


def test_a_link_is_small_and_tells_no_server_anything() -> None:
    assert LINK.startswith("https://deploy.example.com/approve#v4.public.")
    assert len(LINK) < 400
    assert set(LINK.partition("#")[2]) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
    assert make_link(KEY, CLAIMS).reveal() == f"abreast:approve#{link_token(LINK)}"
    assert read_link(LINK, PUBLIC) == read_link(link_token(LINK), PUBLIC) == CLAIMS
    named = LinkClaims("shop", 'Mária "M" 🚀', CLAIMS.deployment, CLAIMS.plan, CLAIMS.expires)
    assert read_link(make_link(KEY, named).reveal(), PUBLIC) == named
    assert "v4.public" not in f"{make_link(KEY, CLAIMS)} {make_link(KEY, CLAIMS)!r}"


def test_any_changed_character_makes_it_void() -> None:
    token = link_token(LINK)
    for place, character in enumerate(token):
        for other in {"A", "B", "-", chr(ord(character) ^ 1)} - {character}:
            with pytest.raises(ValueError):
                read_link(token[:place] + other + token[place + 1 :], PUBLIC)
    for broken in ("", token[:-1], token + "A", f"{token}.{token}", token.replace("v4", "v3"), "x" * 5000):
        with pytest.raises(ValueError):
            read_link(broken, PUBLIC)


def test_another_key_another_algorithm_and_another_purpose_are_refused() -> None:
    other = Ed25519PrivateKey.generate()
    with pytest.raises(ValueError):
        read_link(make_link(other, CLAIMS).reveal(), PUBLIC)
    with pytest.raises(ValueError):
        read_link(paseto.sign(KEY, CLAIMS.message), PUBLIC)
    head = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    body = base64.urlsafe_b64encode(CLAIMS.message).rstrip(b"=").decode()
    for unsigned in (f"{head}.{body}.", f"v4.public.{body}", f"v4.local.{body}"):
        with pytest.raises(ValueError):
            read_link(unsigned, PUBLIC)


@pytest.mark.parametrize(
    "message",
    [
        b"[]", b"{}", b"\xff", b'"x"', CLAIMS.message + b" ", CLAIMS.message.replace(b'"maria"', b'["maria"]'),
        CLAIMS.message.replace(b"maria", b"ma\\u0072ia"), CLAIMS.message.replace(b"Z", b""),
        CLAIMS.message.replace(b"2026-11-28T04:12:07Z", b"never"), CLAIMS.message.replace(b"abreast/", b""),
        CLAIMS.message.replace(b"}", b',"admin":"1"}'),
    ],
)  # fmt: skip
def test_claims_have_one_spelling(message: bytes) -> None:
    with pytest.raises(ValueError):
        read_link(paseto.sign(KEY, message, b"abreast approval link 1"), PUBLIC)


@pytest.mark.parametrize(
    ("now", "refusal"),
    [
        ("2026-11-27T04:12:08.000Z", ""),
        ("2026-11-27T06:55:01.000Z", ""),
        ("2026-11-28T04:12:07.000Z", ""),
        ("2026-11-28T04:12:08.000Z", "the link of maria expired at 2026-11-28T04:12:07Z; it is 2026-11-28T04:12:08"),
        ("2030-01-01T00:00:00.000Z", "expired"),
        ("2026-11-27T06:54:00.000Z", "it is 2026-11-27T06:54:00.000Z by the clock of this machine, and the record"),
        ("2020-01-01T00:00:00.000Z", "the record of the deployment goes on to 2026-11-27T07:00:00.000Z"),
    ],
)
def test_a_clock_that_is_wrong_does_not_make_it_hold(now: str, refusal: str) -> None:
    requested, latest = "2026-11-27T04:12:07.000Z", "2026-11-27T07:00:00.000Z"
    if now < latest and not refusal:
        latest = requested if now < "2026-11-27T06" else latest
    found = clock_refusal(CLAIMS, requested, latest, now)
    assert refusal in found
    assert bool(found) == bool(refusal)


def test_what_is_meant_as_a_link_is_no_name_of_a_deployment() -> None:
    assert all(map(is_link, (LINK, link_token(LINK), "abreast:approve", "https://deploy.example.com/approve#")))
    assert not any(map(is_link, ("01M8E2R7R1ESNQ199HN2HXBFEJ", "v7", "XBFEJ")))
    assert link_id(LINK) == link_id(link_token(LINK)) != link_id(make_link(KEY, CLAIMS, "").reveal()[:-1])
    assert link_id(LINK) not in LINK
