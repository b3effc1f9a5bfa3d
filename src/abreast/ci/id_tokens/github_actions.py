"""ID tokens of GitHub Actions: https://docs.github.com/actions/reference/security/oidc."""

from urllib.parse import quote

from abreast.ci.id_tokens.interface import (
    AUDIENCE,
    Claims,
    IdTokenProvider,
    RunStatement,
    TokenSource,
    Variables,
    contradictions,
    text,
)
from abreast.core.identity import IdToken
from abreast.core.secrets import Secret
from abreast.github.token_issuer import token_issuer

SYSTEM = "GitHub"
URL, BEARER = "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"
"""What a runner sets in a job with the permission ``id-token: write``, and in no other."""

_EXPECTED = {
    "repository": "GITHUB_REPOSITORY",
    "repository_id": "GITHUB_REPOSITORY_ID",
    "repository_owner_id": "GITHUB_REPOSITORY_OWNER_ID",
    "run_id": "GITHUB_RUN_ID",
    "run_attempt": "GITHUB_RUN_ATTEMPT",
    "actor": "GITHUB_ACTOR",
    "actor_id": "GITHUB_ACTOR_ID",
}


def find(variables: Variables, audience: str = AUDIENCE) -> TokenSource | None:
    """Return where the job asks for a token for an audience."""
    url, bearer = variables.get(URL), variables.get(BEARER)
    if not url or not bearer:
        return None
    server = variables.get("GITHUB_SERVER_URL", "https://github.com").rstrip("/")
    url += f"{'&' if '?' in url else '?'}audience={quote(audience, safe='')}"
    return TokenSource(SYSTEM, token_issuer(server), url=url, bearer=Secret(BEARER, bearer))


def read(claims: Claims, variables: Variables) -> RunStatement:
    """Return what the token says of the run.

    Its actor started the first attempt. It has no word for who started a later one, not even if that was the same.
    """
    token = IdToken(
        issuer=text(claims, "iss"),
        subject=text(claims, "sub"),
        id=text(claims, "jti"),
        repository_id=text(claims, "repository_id"),
        owner_id=text(claims, "repository_owner_id"),
        actor=text(claims, "actor"),
        actor_id=text(claims, "actor_id"),
        run_id=text(claims, "run_id"),
        run_attempt=text(claims, "run_attempt"),
        workflow=text(claims, "job_workflow_ref"),
        environment=text(claims, "environment"),
        ref=text(claims, "ref"),
        commit=text(claims, "sha"),
    )
    started_it = variables.get("GITHUB_TRIGGERING_ACTOR") or token.actor
    is_first = token.run_attempt == "1" and started_it.casefold() == token.actor.casefold()
    return RunStatement(token, tuple(contradictions(SYSTEM, claims, variables, _EXPECTED)), is_first)


PROVIDER = IdTokenProvider(find, read)
