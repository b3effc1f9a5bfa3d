"""Links by which one person approves or rejects one deployment: a token that the project's key signed.

A link is ``{url}/approve#{token}``, or ``abreast:approve#{token}`` where no server has an address. What follows the
``#`` is sent to no server, so it is in no log of one. The token is PASETO v4.public (``paseto.py``) with the
implicit assertion ``abreast approval link 1``, which holds the version, and a message of five claims in JSON::

    {"aud":"abreast/shop","sub":"maria","deployment":"01M8…","plan":"DIGEST","exp":"2026-11-28T04:12:07Z"}

``plan`` is the digest of the recorded plan (``Ledger.plan_digest``). Its holder may approve or reject, as that person.
"""

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from abreast.core.approvals import paseto
from abreast.core.frozen_dataclass import dataclass
from abreast.core.secrets import Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ASSERTION = b"abreast approval link 1"

CLOCK_TOLERANCE = timedelta(minutes=5)
"""How much the clocks of two machines may differ."""

MAX_LENGTH = 4000
"""Characters of the longest text that is read as a link."""


@dataclass(frozen=True, slots=True)
class LinkClaims:
    """For whom a link is, and for what. ``plan`` is the digest of the plan, ``expires`` ISO 8601 in UTC."""

    project: str
    person: str
    deployment: str
    plan: str
    expires: str

    @property
    def message(self) -> bytes:
        """The claims as they are signed."""
        claims = {
            "aud": f"abreast/{self.project}", "sub": self.person, "deployment": self.deployment, "plan": self.plan,
            "exp": self.expires,
        }  # fmt: skip
        return json.dumps(claims, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, message: bytes) -> "LinkClaims":
        """Return the claims that ``message`` came from. Raises ValueError for any other message."""
        found: Any = json.loads(message)
        names = ("aud", "sub", "deployment", "plan", "exp")
        if (
            not isinstance(found, dict)
            or [*found] != [*names]
            or not all(isinstance(found[each], str) for each in names)
        ):
            raise ValueError("not the claims of an approval link")
        claims = cls(found["aud"].removeprefix("abreast/"), *(found[name] for name in names[1:]))
        if claims.message != message or datetime.fromisoformat(claims.expires).tzinfo is None:
            raise ValueError("not the claims of an approval link")
        return claims


def make_link(private: "Ed25519PrivateKey", claims: LinkClaims, url: str = "") -> Secret:
    """Return the link of a person. ``url`` is where the server is that will take it, "" if there is none."""
    place = f"{url.rstrip('/')}/approve" if url else "abreast:approve"
    return Secret("an approval link", f"{place}#{paseto.sign(private, claims.message, ASSERTION)}")


def is_link(text: str) -> bool:
    """Return whether a text is meant as a link, however broken, and not as the name of a deployment."""
    return "#" in text or text.startswith("abreast:") or paseto.HEADER in text


def read_link(text: str, public: bytes) -> LinkClaims:
    """Return the claims of a link that this key signed. Raises ValueError for any other text."""
    return LinkClaims.parse(paseto.verify(public, link_token(text), ASSERTION))


def unverified_deployment(text: str) -> str:
    """Return the deployment that a link claims to be for, whoever made it. Raises ValueError for any other text."""
    return LinkClaims.parse(paseto.unverified_message(link_token(text))).deployment


def link_token(text: str) -> str:
    """Return the token of a link, or the text if it is a token alone. Raises ValueError for what is too long."""
    if len(text) > MAX_LENGTH:
        raise ValueError("too long for an approval link")
    return urlsplit(text.strip()).fragment or text.strip()


def clock_refusal(claims: LinkClaims, requested_at: str, latest: str, now: str) -> str:
    """Return why the time of this machine refuses a link, "" if it does not.

    ``requested_at`` is when the approval was asked for, ``latest`` the latest time that the record of the deployment
    has. A clock that is before one of them is wrong, so it cannot tell whether the link has expired.
    """
    known = max(datetime.fromisoformat(requested_at), datetime.fromisoformat(latest))
    moment = datetime.fromisoformat(now)
    if known - moment > CLOCK_TOLERANCE:
        return f"it is {now} by the clock of this machine, and the record of the deployment goes on to {latest}"
    if moment > datetime.fromisoformat(claims.expires):
        return f"the link of {claims.person} expired at {claims.expires}; it is {now} by the clock of this machine"
    return ""


def link_id(text: str) -> str:
    """Return what tells a link from others and does not let anybody use it."""
    import hashlib  # noqa: PLC0415 (seldom needed)

    return hashlib.sha256(link_token(text).encode()).hexdigest()[:16]
