"""The port of ID tokens (OpenID Connect Core 1.0): where a run has its token from, and what it must say of the run.

A CI system is two pure functions. ``verification.py`` verifies the tokens of all of them.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from abreast.core.errors import RefusedError
from abreast.core.frozen_dataclass import dataclass
from abreast.core.identity import IdToken
from abreast.core.secrets import Secret

AUDIENCE = "abreast"
"""Whom the token is for. One for anybody else is not accepted."""

Claims = Mapping[str, Any]
Variables = Mapping[str, str]


class RejectedTokenError(RefusedError):
    """An ID token is not what it must be. That is no failure: somebody may pretend to be another run or person."""


@dataclass(frozen=True, slots=True)
class TokenSource:
    """Where a run has its ID token from, and the ``issuer`` that must have signed it.

    ``token`` is there already, or else ``url`` answers with it to ``bearer``. ``system`` is what people call the CI
    system.
    """

    system: str
    issuer: str
    token: Secret | None = None
    url: str = ""
    bearer: Secret | None = None


@dataclass(frozen=True, slots=True)
class RunStatement:
    """What a token says of a run, and where the variables say otherwise (``contradictions``, in words).

    ``names_person``: it says who started this attempt at the run.
    """

    token: IdToken
    contradictions: tuple[str, ...]
    names_person: bool


class IdTokenProvider(NamedTuple):
    """A CI system: ``find`` returns None where the job may have no token. ``read`` gets claims that were verified."""

    find: Callable[[Variables], TokenSource | None]
    read: Callable[[Claims, Variables], RunStatement]


def text(claims: Claims, name: str) -> str:
    """Return a claim as text, "" if it is missing."""
    found = claims.get(name)
    return "" if found is None else str(found)


def contradictions(system: str, claims: Claims, variables: Variables, expected: Mapping[str, str]) -> Iterator[str]:
    """Yield where claims are not as variables say, by the claim's and the variable's name. Both must be there."""
    for claim, variable in expected.items():
        signed, told = text(claims, claim), variables.get(variable, "")
        if not signed or signed.casefold() != told.casefold():
            yield f"{variable} is {told or 'not set'}, and {system} signed that {claim} is {signed or 'nothing'}"
