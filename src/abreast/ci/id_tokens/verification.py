"""Verifies ID tokens: signature, issuer, audience and times (RFC 7519, and the advice of RFC 8725)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from abreast.ci.id_tokens.interface import AUDIENCE, Claims, RejectedTokenError
from abreast.machine.lazy_modules import lazy_module

if TYPE_CHECKING:
    import jwt
else:
    jwt = lazy_module("jwt")  # slow, and only jobs that may have a token need it

ALGORITHMS = ("RS256", "ES256")
"""What signs, by a key that only the issuer has. Never ``none``, nor an HMAC, whose key would be the public one."""

LEEWAY = 60
"""Seconds that the clocks of the issuer and of this machine may differ."""

Jwk = Mapping[str, Any]


def verify(token: str, issuer: str, keys: Sequence[Jwk]) -> Claims:
    """Return the claims of a token that ``issuer``, whose public ``keys`` these are, signed for abreast.

    Raises RejectedTokenError for any other.
    """
    try:
        return jwt.decode(
            token, _signing_key(jwt.get_unverified_header(token), issuer, keys), ALGORITHMS,
            audience=AUDIENCE, issuer=issuer, leeway=LEEWAY,
            options={"require": ["iss", "aud", "sub", "exp", "iat"], "enforce_minimum_key_length": True},
        )  # fmt: skip
    except (jwt.PyJWTError, ValueError) as error:
        raise rejected(str(error)) from error


def rejected(reason: str) -> RejectedTokenError:
    """Return the refusal of a token."""
    return RejectedTokenError(
        f"the ID token of this run is not accepted: {reason}",
        need=f"a token that the CI system signed for this run, with the audience {AUDIENCE}",
        next="start the job again; if it is refused again, see docs/audit.md#id-tokens",
    )


def _signing_key(header: Mapping[str, Any], issuer: str, keys: Sequence[Jwk]) -> "jwt.PyJWK":
    """Return the key that a token names; only where there is one key, it need not (OpenID Connect Core 1.0, 10.1).

    A token cannot bring its own: ``jwk``, ``jku`` and ``x5c`` are not read.
    """
    signing = [key for key in keys if key.get("use", "sig") == "sig"]
    named = [key for key in signing if key.get("kid") == header.get("kid")] if "kid" in header else signing
    if len(named) != 1:
        raise rejected(f"no key of {issuer} signed it")
    return jwt.PyJWK(dict(named[0]))
