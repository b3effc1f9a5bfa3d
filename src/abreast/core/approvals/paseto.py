"""Signed tokens in the format PASETO v4.public: Ed25519, and nothing in a token that chooses another algorithm.

https://github.com/paseto-standard/paseto-spec/blob/master/docs/01-Protocol-Versions/Version4.md
"""

import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

HEADER = "v4.public."
SIGNATURE_SIZE = 64


def sign(private: "Ed25519PrivateKey", message: bytes, implicit: bytes = b"") -> str:
    """Return the token of a message. ``implicit`` is signed too, and not part of the token."""
    return HEADER + _encode(message + private.sign(signed_bytes(message, implicit)))


def verify(public: bytes, token: str, implicit: bytes = b"") -> bytes:
    """Return the message of a token that this key signed, byte for byte as it was made. Raises ValueError for others.

    ``public`` is the key in 32 bytes. A token with a footer is none of ours.
    """
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 (slow, and seldom needed)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 (as above)

    message, signature = _split(token)
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, signed_bytes(message, implicit))
    except InvalidSignature as error:
        raise ValueError("the signature is not of this token and key") from error
    return message


def unverified_message(token: str) -> bytes:
    """Return what a token claims, whoever signed it. Raises ValueError for a text that is no token."""
    return _split(token)[0]


def signed_bytes(message: bytes, implicit: bytes) -> bytes:
    """Return what is signed: the pre-authentication encoding of header, message, empty footer and implicit assertion.

    https://github.com/paseto-standard/paseto-spec/blob/master/docs/01-Protocol-Versions/Common.md
    """
    pieces = (HEADER.encode(), message, b"", implicit)
    return _length(len(pieces)) + b"".join(_length(len(piece)) + piece for piece in pieces)


def _length(number: int) -> bytes:
    return number.to_bytes(8, "little")


def _split(token: str) -> tuple[bytes, bytes]:
    """Return the message and the signature of a token in its one spelling."""
    text = token.removeprefix(HEADER)
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        data = b""
    if not token.startswith(HEADER) or len(data) <= SIGNATURE_SIZE or _encode(data) != text:
        raise ValueError("not a token in the format v4.public")
    return data[:-SIGNATURE_SIZE], data[-SIGNATURE_SIZE:]


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
