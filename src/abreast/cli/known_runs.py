"""The CI systems that answer for who started their runs: GitHub Actions, and GitLab CI."""

import re
from collections.abc import Callable, Mapping

from abreast.cli.run_claims import KnowsRuns, StartedRun
from abreast.github.api import VariableSettings, connect_github, repository_name
from abreast.github.client import GitHubClient
from abreast.github.token_issuer import server_of_api, token_issuer
from abreast.gitlab.client import GitLabClient, connect_gitlab, server_url

_GITHUB_RUN = re.compile(
    r"https?://[^/]+/(?P<repository>[^/]+/[^/]+)/actions/runs/(?P<id>\d+)/attempts/(?P<attempt>\d+)"
)
_GITLAB_JOB = re.compile(r"https?://[^/]+/(?P<project>.+)/-/jobs/(?P<id>\d+)")


class GitHubRuns:
    """Attempts at runs of workflows. A job can check out any commit, so none is told."""

    name, kind, one_run = "GitHub", "github-actions", "run"

    def __init__(self, variables: Mapping[str, str]) -> None:
        settings = VariableSettings(variables)
        self.repository = repository_name(settings.variable)
        self.issuer = token_issuer(server_of_api(settings.variable))
        self._github = GitHubClient(connect_github(settings), self.repository)

    def is_own(self, url: str) -> bool:
        """Whether a URL is that of an attempt at a run of the repository."""
        named = _GITHUB_RUN.fullmatch(url)
        return named is not None and named["repository"].casefold() == self.repository.casefold()

    async def find_run(self, url: str) -> StartedRun | None:
        """Return an attempt at a run."""
        named = _GITHUB_RUN.fullmatch(url)
        run = await self._github.get_workflow_run(int(named["id"]), int(named["attempt"])) if named else None
        if run is None:
            return None
        actor, has_ended = run.triggering_actor, run.status == "completed"
        name, id_ = (actor.login, str(actor.id)) if actor else ("", "")
        return StartedRun(name, id_, run.run_started_at, run.updated_at if has_ended else None)

    async def require_access(self) -> None:
        """GitHub names the permission that a token lacks, with each run."""

    async def close(self) -> None:
        """Close all connections."""
        await self._github.close()


class GitLabJobs:
    """Jobs of pipelines. One that is retried is another one, with who retried it."""

    name, kind, one_run = "GitLab", "gitlab", "job"

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._gitlab: GitLabClient = connect_gitlab(VariableSettings(variables))
        self.repository, self.issuer = self._gitlab.project, server_url(VariableSettings(variables).variable)

    def is_own(self, url: str) -> bool:
        """Whether a URL is that of a job of the project, on a server that may be at a path of its host."""
        named = _GITLAB_JOB.fullmatch(url)
        return named is not None and f"/{named['project']}".casefold().endswith(f"/{self.repository}".casefold())

    async def find_run(self, url: str) -> StartedRun | None:
        """Return a job."""
        named = _GITLAB_JOB.fullmatch(url)
        job = await self._gitlab.find_job(int(named["id"])) if named else None
        if job is None:
            return None
        name, id_ = (job.user.username, str(job.user.id)) if job.user else ("", "")
        commit = job.commit.id if job.commit else ""
        return StartedRun(name, id_, job.started_at or job.created_at, job.finished_at, commit)

    async def require_access(self) -> None:
        """Raise PlatformError if the token does not see the project."""
        await self._gitlab.require_access()

    async def close(self) -> None:
        """Close all connections."""
        await self._gitlab.close()


CI_SYSTEMS: Mapping[str, Callable[[Mapping[str, str]], KnowsRuns]] = {"github": GitHubRuns, "gitlab": GitLabJobs}
"""What connects to each, by the variables. Raises UsageError for one that is missing."""
