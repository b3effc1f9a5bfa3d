"""Jobs of one project at GitLab: https://docs.gitlab.com/api/jobs."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from urllib.parse import quote

from pydantic import BaseModel

from abreast.core.errors import PlatformError, UsageError
from abreast.provider_api.api_client import ApiClient, NotFoundError, Provider, Request, Settings, connect

GITLAB = Provider(
    "GitLab",
    "https://gitlab.com/api/v4",
    "",
    "GITLAB_TOKEN",
    "read_api of the project",
    base_variable="CI_API_V4_URL",
)


class User(BaseModel):
    """An account."""

    id: int
    username: str


class Commit(BaseModel):
    """A commit, by its full hash."""

    id: str


class Job(BaseModel):
    """One job. ``user`` started it, by hand or with its pipeline; None if the account is gone. Times are ISO 8601."""

    user: User | None = None
    commit: Commit | None = None
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None


class GitLabClient:
    """The jobs of ``project``, GROUP/NAME with all groups. Raises PlatformError."""

    def __init__(self, api: ApiClient, project: str) -> None:
        self._api = api
        self._path = f"/projects/{quote(project, safe='')}"
        self.project = project

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()

    async def require_access(self) -> None:
        """Raise PlatformError if the token does not see the project, of which no job would be known then."""
        try:
            await self._api.send(Request("GET", self._path))
        except NotFoundError as error:
            need = "a project by this name, in GITLAB_TOKEN's reach (read_api, Reporter)"
            raise PlatformError(f"GitLab does not know {self.project}", need=need) from error

    async def find_job(self, id: int) -> Job | None:
        """Return a job, None if there is none, or none any more."""
        with suppress(NotFoundError):
            return await self._api.fetch(Job, Request("GET", f"{self._path}/jobs/{id}"))
        return None


def connect_gitlab(settings: Settings) -> GitLabClient:
    """Return a client of the project that ``CI_PROJECT_PATH`` names. Raises UsageError if it names none."""
    return GitLabClient(connect(GITLAB, settings), _project_path(settings.variable))


def server_url(variable: Callable[[str], str | None]) -> str:
    """Return the address of the server whose API ``CI_API_V4_URL`` names. It is also the issuer of ID tokens."""
    return (variable(GITLAB.base_variable) or GITLAB.base_url).rstrip("/").removesuffix("/api/v4")


def _project_path(variable: Callable[[str], str | None]) -> str:
    if found := variable("CI_PROJECT_PATH"):
        return found
    raise UsageError(
        "the project at GitLab is unknown", need="CI_PROJECT_PATH", next="export CI_PROJECT_PATH=GROUP/NAME"
    )
