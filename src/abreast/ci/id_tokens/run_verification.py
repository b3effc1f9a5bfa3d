"""Asks the CI system of a run for its ID token, verifies it, and compares it with the variables of the run."""

import asyncio

from abreast.ci.id_tokens import github_actions, gitlab
from abreast.ci.id_tokens.interface import (
    Claims,
    IdTokenProvider,
    RejectedTokenError,
    RunStatement,
    TokenSource,
    Variables,
)
from abreast.ci.id_tokens.requests import request_keys, request_token
from abreast.ci.id_tokens.verification import verify
from abreast.core.errors import PlatformError
from abreast.core.frozen_dataclass import dataclass
from abreast.core.identity import IdToken

PROVIDERS: dict[str, IdTokenProvider] = {
    "github-actions": github_actions.PROVIDER, "gitlab": gitlab.PROVIDER,
}  # fmt: skip
"""By the provider of a run."""

LIMIT = 10.0
"""Seconds for all questions together. A deployment does not wait longer for a name."""


@dataclass(frozen=True, slots=True)
class RunVerification:
    """What became of the ID token of a run.

    ``token`` is what it says, if its signature is the issuer's. ``names_person``: it vouches for who started this
    attempt, too. ``refusal`` is why the process must not act; ``warning`` why nothing is known, "" if it is.
    """

    token: IdToken | None = None
    names_person: bool = False
    refusal: RejectedTokenError | None = None
    warning: str = ""


async def verify_run(provider: IdTokenProvider, source: TokenSource, variables: Variables) -> RunVerification:
    """Return what the token of a run proves; never raises. Whatever cannot be asked is unknown, not refused."""
    try:
        async with asyncio.timeout(LIMIT):
            claims = await _fetch_claims(source)
    except RejectedTokenError as error:
        return RunVerification(refusal=error)
    except TimeoutError:
        return RunVerification(warning=f"{source.system} did not answer within {LIMIT:.0f} s")
    except PlatformError as error:
        return RunVerification(warning=error.what)
    return _judge(source.system, provider.read(claims, variables))


async def _fetch_claims(source: TokenSource) -> Claims:
    if source.token:
        return verify(source.token.reveal(), source.issuer, await request_keys(source.system, source.issuer))
    assert source.bearer, "a source has the token, or what it is asked for with"
    token, keys = await asyncio.gather(
        request_token(source.system, source.url, source.bearer), request_keys(source.system, source.issuer)
    )
    return verify(token.reveal(), source.issuer, keys)


def _judge(system: str, statement: RunStatement) -> RunVerification:
    if not statement.contradictions:
        return RunVerification(statement.token, statement.names_person)
    return RunVerification(
        statement.token,
        refusal=RejectedTokenError(
            f"the variables of this run are not what {system} signed: {'; '.join(statement.contradictions)}",
            need=f"the variables that {system} set, in the run that the token is of",
            next="take what sets them out of the job, and start it again",
        ),
    )
