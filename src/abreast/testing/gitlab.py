"""The jobs of one project at GitLab: https://docs.gitlab.com/api/jobs, and /api/projects; and their ID tokens.

Stricter: a project is found by its id or its exact path only, and a token that lacks ``read_api`` sees nothing at all.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abreast.testing.id_tokens import TokenIssuer
from abreast.testing.platforms.fault_injection import FaultInjector

TOKEN, JOB_TOKEN = "glpat-reader", "glcbt-job"
PROJECT_ID, NAMESPACE_ID, PIPELINE_ID = 4711, 72, 6


@dataclass(frozen=True)
class GitLabJob:
    """A job. ``user`` is a name and an id, None if the account was deleted."""

    id: int
    user: tuple[str, int] | None
    commit: str
    started_at: str | None
    finished_at: str | None = None
    name: str = "deploy-production"


@dataclass
class GitLabEmulator:
    """Serve ``app`` with ``ThreadedServer``; the API is at ``/api/v4``. ``issuer`` signs the ID tokens of jobs."""

    project: str = "acme/web/shop"
    server: str = "https://gitlab.example"
    jobs: list[GitLabJob] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.issuer = TokenIssuer("", "/oauth/discovery/keys")
        routes = [*self.issuer.routes(), Route("/{path:path}", self._answer, methods=["GET"])]
        self.faults = FaultInjector(Starlette(routes=routes))
        self.app = self.faults

    def variables(self, server_url: str, job: GitLabJob, audience: str = "abreast", **claims: object) -> dict[str, str]:
        """Return the variables of a job with ``id_tokens: {ABREAST_ID_TOKEN: {aud: …}}``; claims replace."""
        assert job.user, "an account that was deleted starts nothing"
        login, user_id = job.user
        return {
            "GITLAB_CI": "true",
            "CI_SERVER_URL": server_url,
            "CI_API_V4_URL": f"{server_url}/api/v4",
            "CI_PROJECT_ID": str(PROJECT_ID),
            "CI_PROJECT_PATH": self.project,
            "CI_PIPELINE_ID": str(PIPELINE_ID),
            "CI_JOB_ID": str(job.id),
            "CI_JOB_URL": f"{server_url}/{self.project}/-/jobs/{job.id}",
            "CI_COMMIT_SHA": job.commit,
            "GITLAB_USER_LOGIN": login,
            "GITLAB_USER_ID": str(user_id),
            "ABREAST_ID_TOKEN": self.issuer.sign(server_url, audience, {**self._claims(job, login, user_id), **claims}),
        }

    def _claims(self, job: GitLabJob, login: str, user_id: int) -> Mapping[str, object]:
        namespace = self.project.rpartition("/")[0]
        return {
            "sub": f"project_path:{self.project}:ref_type:branch:ref:main",
            "namespace_id": str(NAMESPACE_ID),
            "namespace_path": namespace,
            "project_id": str(PROJECT_ID),
            "project_path": self.project,
            "job_namespace_id": str(NAMESPACE_ID),
            "job_namespace_path": namespace,
            "job_project_id": str(PROJECT_ID),
            "job_project_path": self.project,
            "user_id": str(user_id),
            "user_login": login,
            "user_email": f"{login}@gitlab.example",
            "pipeline_id": str(PIPELINE_ID),
            "pipeline_source": "push",
            "job_id": str(job.id),
            "ref": "main",
            "ref_type": "branch",
            "ref_path": "refs/heads/main",
            "ref_protected": "true",
            "runner_id": 1,
            "runner_environment": "gitlab-hosted",
            "ci_config_ref_uri": f"gitlab.example/{self.project}//.gitlab-ci.yml@refs/heads/main",
            "sha": job.commit,
            "project_visibility": "private",
        }

    async def _answer(self, request: Request) -> Response:
        token = request.headers.get("private-token") or request.headers.get("authorization", "").partition("Bearer ")[2]
        if not hmac.compare_digest(token.encode(), TOKEN.encode()):
            return JSONResponse({"message": "401 Unauthorized"}, 401)
        # The server decodes the path, in which the slashes of a project's path are encoded.
        path = request.scope["raw_path"].decode().partition("?")[0]
        project, _, rest = path.removeprefix("/api/v4/projects/").partition("/")
        if (
            not path.startswith("/api/v4/projects/")
            or "/" in project
            or unquote(project) not in {self.project, str(PROJECT_ID)}
        ):
            return _not_found("Project")
        if not rest:
            return JSONResponse(
                {"id": PROJECT_ID, "path_with_namespace": self.project, "web_url": f"{self.server}/{self.project}"}
            )
        kind, _, number = rest.partition("/")
        job = next((job for job in self.jobs if kind == "jobs" and str(job.id) == number), None)
        return JSONResponse(self._document(job)) if job else _not_found("")

    def _document(self, job: GitLabJob) -> dict[str, Any]:
        status = "success" if job.finished_at else "running" if job.started_at else "pending"
        user = job.user and {
            "id": job.user[1],
            "username": job.user[0],
            "name": job.user[0].title(),
            "state": "active",
            "web_url": f"{self.server}/{job.user[0]}",
        }
        return {
            "id": job.id,
            "name": job.name,
            "stage": "deploy",
            "status": status,
            "ref": "main",
            "tag": False,
            "allow_failure": False,
            "created_at": job.started_at or "2026-11-21T01:00:00.000Z",
            "started_at": job.started_at,
            "finished_at": job.finished_at,
            "erased_at": None,
            "user": user,
            "commit": {"id": job.commit, "short_id": job.commit[:8], "title": "Add a basket"},
            "pipeline": {
                "id": PIPELINE_ID,
                "iid": 2,
                "project_id": PROJECT_ID,
                "sha": job.commit,
                "ref": "main",
                "status": status,
            },
            "project": {"ci_job_token_scope_enabled": False},
            "web_url": f"{self.server}/{self.project}/-/jobs/{job.id}",
        }


def _not_found(what: str) -> Response:
    return JSONResponse({"message": f"404 {what} Not Found".replace("  ", " ")}, 404)
