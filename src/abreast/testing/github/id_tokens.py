"""ID tokens of jobs, and who issues them: https://docs.github.com/actions/reference/security/oidc.

Stricter: a job's bearer token is good for this job alone, and not after its end. Unknown parameters are refused.
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abreast.testing.github.model import Repository
from abreast.testing.id_tokens import TokenIssuer
from abreast.testing.platforms.fault_injection import FaultInjector

ISSUER_PATH = "/_services/token"
REQUEST_PATH = "/_services/pipelines/idtoken"
OWNER_ID = 9919


@dataclass
class WorkflowJob:
    """A job that may ask for ID tokens.

    ``actor`` (login and id) started the run, ``triggering_actor`` this attempt, "" if that was the same. ``claims``
    replace what its tokens say.
    """

    repository: Repository
    run_id: int = 42
    attempt: int = 1
    actor: tuple[str, int] = ("octocat", 1)
    triggering_actor: str = ""
    environment: str = ""
    workflow: str = ".github/workflows/deploy.yml"
    ref: str = "refs/heads/main"
    commit: str = ""
    has_ended: bool = False
    bearer: str = field(default_factory=lambda: f"job-{secrets.token_hex(16)}", repr=False)
    claims: dict[str, Any] = field(default_factory=dict)

    def signed_claims(self) -> dict[str, Any]:
        """Return what a token says of the job."""
        repository = self.repository
        workflow_ref = f"{repository.full_name}/{self.workflow}@{self.ref}"
        context = f"environment:{self.environment}" if self.environment else f"ref:{self.ref}"
        commit = self.commit or repository.commit_of(repository.default_branch)
        claims = {
            "sub": f"repo:{repository.owner}-{OWNER_ID}/{repository.name}-{repository.id}:{context}",
            "repository": repository.full_name,
            "repository_id": str(repository.id),
            "repository_owner": repository.owner,
            "repository_owner_id": str(OWNER_ID),
            "repository_visibility": "private" if repository.is_private else "public",
            "run_id": str(self.run_id),
            "run_number": "7",
            "run_attempt": str(self.attempt),
            "actor": self.actor[0],
            "actor_id": str(self.actor[1]),
            "event_name": "push",
            "ref": self.ref,
            "ref_type": "branch",
            "sha": commit,
            "workflow": "Deploy",
            "workflow_ref": workflow_ref,
            "workflow_sha": commit,
            "job_workflow_ref": workflow_ref,
            "job_workflow_sha": commit,
            "runner_environment": "github-hosted",
        }
        return {**claims, **({"environment": self.environment} if self.environment else {}), **self.claims}

    def variables(self, server_url: str) -> Mapping[str, str]:
        """Return the variables that a runner sets in the job."""
        return {
            "GITHUB_ACTIONS": "true",
            "GITHUB_SERVER_URL": server_url,
            "GITHUB_API_URL": server_url,
            "GITHUB_REPOSITORY": self.repository.full_name,
            "GITHUB_REPOSITORY_ID": str(self.repository.id),
            "GITHUB_REPOSITORY_OWNER_ID": str(OWNER_ID),
            "GITHUB_RUN_ID": str(self.run_id),
            "GITHUB_RUN_ATTEMPT": str(self.attempt),
            "GITHUB_ACTOR": self.actor[0],
            "GITHUB_ACTOR_ID": str(self.actor[1]),
            "GITHUB_TRIGGERING_ACTOR": self.triggering_actor or self.actor[0],
            "GITHUB_EVENT_NAME": "push",
            "GITHUB_REF": self.ref,
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"{server_url}{REQUEST_PATH}?api-version=2.0",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": self.bearer,
        }


class IdTokens:
    """Answers jobs that ask for a token. ``issued`` lists the tokens. ``faults`` serves it."""

    def __init__(self) -> None:
        self.issuer = TokenIssuer(ISSUER_PATH, f"{ISSUER_PATH}/.well-known/jwks")
        self.jobs: list[WorkflowJob] = []
        self.issued: list[str] = []
        self.faults = FaultInjector(Starlette(routes=[Route(REQUEST_PATH, self._issue), *self.issuer.routes()]))

    async def _issue(self, request: Request) -> Response:
        kind, _, bearer = request.headers.get("authorization", "").partition(" ")
        job = next((job for job in self.jobs if hmac.compare_digest(job.bearer.encode(), bearer.encode())), None)
        if kind != "Bearer" or job is None or job.has_ended:
            return JSONResponse({"message": "The job is not authorized to ask for a token."}, 401)
        query = dict(request.query_params)
        if query.get("api-version") != "2.0" or query.keys() - {"api-version", "audience"}:
            return JSONResponse({"message": "unknown parameters, or another version of the API"}, 400)
        server = f"{request.url.scheme}://{request.headers['host']}"
        audience = query.get("audience") or f"{server}/{job.repository.owner}"
        token = self.issuer.sign(server, audience, job.signed_claims())
        self.issued.append(token)
        return JSONResponse({"count": len(token), "value": token})
