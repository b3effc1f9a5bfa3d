"""The calls of GitHub's REST API that abreast makes; https://docs.github.com/rest."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TypeVar
from urllib.parse import quote

from abreast.core.errors import PlatformError
from abreast.github.content_limit import ContentLimit
from abreast.github.resources import (
    ActionsPermissions,
    Annotation,
    BranchProtection,
    CheckReport,
    CheckRun,
    Comment,
    ConcurrencyGroup,
    Deployment,
    DeploymentRecord,
    DeploymentStatus,
    Environment,
    Listed,
    Named,
    NewDeployment,
    NewStatus,
    PullRequest,
    Repository,
    Review,
    WorkflowPermissions,
    WorkflowRun,
)
from abreast.provider_api.api_client import AccessDeniedError, ApiClient, NotFoundError, Request

T = TypeVar("T")

PAGE_SIZE = 100
NOT_PROTECTED = "Branch not protected"
"""What GitHub says of a branch that nothing protects. Of one that the token may not see it says less, with 404 too."""

MAX_ANNOTATIONS = 50
MAX_DESCRIPTION, MAX_TITLE, MAX_SUMMARY, MAX_COMMENT = 140, 255, 65_535, 65_536
MAX_ARTIFACT_NAME, MAX_ENVIRONMENT, MAX_DEPLOYMENT_NAME = 256, 128, 256
"""GitHub's maximums, in characters."""


class GitHubClient:
    """One method per API call on one repository, ``OWNER/NAME``. Errors are those of ApiClient."""

    def __init__(self, api: ApiClient, repository: str, limit: ContentLimit | None = None) -> None:
        self._api = api
        self.repository = repository
        self._repo = f"/repos/{repository}"
        self._limit = limit or ContentLimit()

    async def close(self) -> None:
        """Close all connections."""
        await self._api.close()

    async def get_repository(self) -> Repository:
        """Return the repository."""
        return await self._get(Repository, "")

    # ── deployments ────────────────────────────────────────────────────────────────────────────

    async def create_deployment(self, new: NewDeployment) -> Deployment:
        """Create a deployment of a commit, without merging anything into it and without waiting for checks."""
        body = {
            "ref": new.ref, "environment": new.environment, "description": cut(new.description, MAX_DESCRIPTION),
            "auto_merge": False, "required_contexts": [], "transient_environment": new.transient,
            "production_environment": new.production, "payload": new.payload,
        }  # fmt: skip
        made = await self._write(dict[str, object], "POST", "/deployments", body)
        if "id" not in made:  # 202: GitHub merged the default branch instead
            raise PlatformError(
                f"GitHub created no deployment of {new.ref}: {made.get('message', 'no reason given')}",
                need="a commit, as ref of a deployment",
            )
        return Deployment.model_validate(made)

    async def list_deployments(self, sha: str, environment: str) -> list[Deployment]:
        """Return the deployments of a commit to an environment, newest first."""
        return await self._get_list(Deployment, "/deployments", {"sha": sha, "environment": environment})

    async def latest_deployments(self, environment: str, count: int = 5) -> list[Deployment]:
        """Return the last deployments to an environment, newest first."""
        query = {"environment": environment, "per_page": count}
        return await self._api.fetch(list[Deployment], Request("GET", f"{self._repo}/deployments", query=query))

    async def add_status(self, deployment: int, status: NewStatus) -> DeploymentStatus:
        """Add a status to a deployment. With a success, GitHub ends earlier ones that are not of production."""
        body = {
            "state": status.state.value, "description": cut(status.description, MAX_DESCRIPTION),
            "environment_url": status.environment_url, "log_url": status.log_url, "auto_inactive": True,
        }  # fmt: skip
        return await self._write(DeploymentStatus, "POST", f"/deployments/{deployment}/statuses", body)

    async def list_statuses(self, deployment: int) -> list[DeploymentStatus]:
        """Return the statuses of a deployment, newest first."""
        return await self._get_list(DeploymentStatus, f"/deployments/{deployment}/statuses")

    # ── artifacts ──────────────────────────────────────────────────────────────────────────────

    async def create_attestation(self, bundle: Mapping[str, object]) -> None:
        """Store the signed statement about an artifact, a Sigstore bundle."""
        await self._write(dict[str, object], "POST", "/attestations", {"bundle": bundle})

    async def put_deployment_record(self, record: DeploymentRecord) -> None:
        """Say where an artifact runs. Only organizations have such records."""
        owner, _, name = self.repository.partition("/")
        body = {
            "name": cut(record.name, MAX_ARTIFACT_NAME), "digest": record.digest, "version": record.version,
            "status": record.status.value, "logical_environment": cut(record.environment, MAX_ENVIRONMENT),
            "deployment_name": cut(record.deployment, MAX_DEPLOYMENT_NAME), "tags": dict(record.tags),
            "github_repository": name, "return_records": False,
        }  # fmt: skip
        await self._limit.take()
        await self._api.send(Request("POST", f"/orgs/{owner}/artifacts/metadata/deployment-record", body))

    # ── check runs ─────────────────────────────────────────────────────────────────────────────

    async def list_check_runs(self, ref: str, name: str | None = None) -> list[CheckRun]:
        """Return the check runs of a commit or a branch; those of a name if one is given."""
        return await self._get_wrapped(CheckRun, f"/commits/{quote(ref, safe='')}/check-runs", {"check_name": name})

    async def get_check_run(self, id: int) -> CheckRun:
        """Return a check run."""
        return await self._get(CheckRun, f"/check-runs/{id}")

    async def create_check_run(self, sha: str, name: str, external_id: str, report: CheckReport) -> CheckRun:
        """Create a check run on a commit. Only an App may, such as the token of a workflow."""
        first, *more = _portions(report.annotations)
        body = {"name": name, "head_sha": sha, "external_id": external_id, **_check_body(report, first)}
        made = await self._write(CheckRun, "POST", "/check-runs", body)
        for portion in more:
            await self._patch_check_run(made.id, report, portion)
        return made

    async def update_check_run(self, id: int, report: CheckReport) -> None:
        """Replace what a check run says. Annotations are added to those that it has."""
        for portion in _portions(report.annotations):
            await self._patch_check_run(id, report, portion)

    async def _patch_check_run(self, id: int, report: CheckReport, portion: Sequence[Annotation]) -> None:
        await self._write(CheckRun, "PATCH", f"/check-runs/{id}", _check_body(report, portion))

    # ── runs of workflows ──────────────────────────────────────────────────────────────────────

    async def list_reviews(self, run: int) -> list[Review]:
        """Return what reviewers of environments said of a run, oldest first."""
        return await self._get(list[Review], f"/actions/runs/{run}/approvals")

    # ── pull requests and their comments ───────────────────────────────────────────────────────

    async def get_workflow_run(self, id: int, attempt: int) -> WorkflowRun | None:
        """Return an attempt at a run, None if there is none, or none any more."""
        with suppress(NotFoundError):
            return await self._get(WorkflowRun, f"/actions/runs/{id}/attempts/{attempt}")
        return None

    async def open_pull_requests(self) -> list[PullRequest]:
        """Return the open pull requests."""
        return await self._get_list(PullRequest, "/pulls", {"state": "open"})

    async def list_pull_requests(self, sha: str) -> list[PullRequest]:
        """Return the pull requests that a commit belongs to."""
        return await self._get_list(PullRequest, f"/commits/{sha}/pulls")

    async def list_comments(self, number: int) -> list[Comment]:
        """Return all comments of a pull request, oldest first."""
        return await self._get_list(Comment, f"/issues/{number}/comments")

    async def create_comment(self, number: int, body: str) -> Comment:
        """Add a comment to a pull request."""
        return await self._write(Comment, "POST", f"/issues/{number}/comments", {"body": cut(body, MAX_COMMENT)})

    async def update_comment(self, id: int, body: str) -> Comment:
        """Replace the text of a comment."""
        return await self._write(Comment, "PATCH", f"/issues/comments/{id}", {"body": cut(body, MAX_COMMENT)})

    async def delete_comment(self, id: int) -> None:
        """Delete a comment, if it is still there."""
        await self._limit.take()
        with suppress(NotFoundError):
            await self._api.send(Request("DELETE", f"{self._repo}/issues/comments/{id}"))

    # ── settings ───────────────────────────────────────────────────────────────────────────────

    async def get_branch_protection(self, branch: str) -> BranchProtection | None:
        """Return what protects a branch, None if nothing does.

        Raises AccessDeniedError also where GitHub only says that there is nothing to see.
        """
        try:
            return await self._get(BranchProtection, f"/branches/{quote(branch, safe='')}/protection")
        except NotFoundError as error:
            if NOT_PROTECTED in error.what:
                return None
            raise AccessDeniedError(error.what, need=error.need, permission="administration: read") from error

    async def get_environment(self, name: str) -> Environment | None:
        """Return an environment, None if there is none."""
        with suppress(NotFoundError):
            return await self._get(Environment, f"/environments/{quote(name, safe='')}")
        return None

    async def list_secret_names(self, environment: str = "") -> frozenset[str]:
        """Return the names of the secrets of the repository, or of one of its environments."""
        path = f"/environments/{quote(environment, safe='')}/secrets" if environment else "/actions/secrets"
        return frozenset(secret.name for secret in await self._get_wrapped(Named, path))

    async def list_shared_secret_names(self) -> frozenset[str]:
        """Return the names of the organization's secrets that the repository may use."""
        return frozenset(secret.name for secret in await self._get_wrapped(Named, "/actions/organization-secrets"))

    async def get_actions_permissions(self) -> ActionsPermissions:
        """Return whether workflows run in the repository."""
        return await self._get(ActionsPermissions, "/actions/permissions")

    async def get_workflow_permissions(self) -> WorkflowPermissions:
        """Return what the token of a workflow may do unless it says otherwise."""
        return await self._get(WorkflowPermissions, "/actions/permissions/workflow")

    async def get_concurrency_group(self, name: str) -> ConcurrencyGroup | None:
        """Return the runs that hold a concurrency group or wait for it, None if no run does."""
        with suppress(NotFoundError):
            return await self._get(ConcurrencyGroup, f"/actions/concurrency_groups/{quote(name, safe='')}")
        return None

    async def list_concurrency_groups(self) -> list[ConcurrencyGroup]:
        """Return the concurrency groups that runs hold, with their runs, 100 at most."""
        request = Request("GET", f"{self._repo}/actions/concurrency_groups", query={"per_page": PAGE_SIZE})
        active = await self._api.fetch(Listed[ConcurrencyGroup], request)
        groups = [await self.get_concurrency_group(group.group_name) for group in active.items]
        return [group for group in groups if group]

    async def change(self, method: str, path: str, body: object) -> None:
        """Change a setting at ``path`` of the repository."""
        await self._limit.take()
        await self._api.send(Request(method, self._repo + path, body))

    # ── requests ───────────────────────────────────────────────────────────────────────────────

    async def _get(self, answer_type: type[T], path: str) -> T:
        return await self._api.fetch(answer_type, Request("GET", self._repo + path))

    async def _get_list(self, item_type: type[T], path: str, query: Mapping[str, object] | None = None) -> list[T]:
        request = Request("GET", self._repo + path, query={**(query or {}), "per_page": PAGE_SIZE})
        return await self._api.fetch_pages(list[item_type], request)  # type: ignore[valid-type]

    async def _get_wrapped(self, item_type: type[T], path: str, query: Mapping[str, object] | None = None) -> list[T]:
        items: list[T] = []
        while True:
            page = {**(query or {}), "per_page": PAGE_SIZE, "page": len(items) // PAGE_SIZE + 1}
            answer: Listed[T] = await self._api.fetch(
                Listed[item_type], Request("GET", self._repo + path, query=page)  # type: ignore[valid-type]
            )  # fmt: skip
            items += answer.items
            if len(answer.items) < PAGE_SIZE:
                return items

    async def _write(self, answer_type: type[T], method: str, path: str, body: object) -> T:
        await self._limit.take()
        return await self._api.fetch(answer_type, Request(method, self._repo + path, body))


def cut(text: str, maximum: int) -> str:
    """Return the beginning of a text, with an ellipsis if it is longer than ``maximum`` characters."""
    return text if len(text) <= maximum else f"{text[: maximum - 1]}…"


def _portions(annotations: Sequence[Annotation]) -> list[Sequence[Annotation]]:
    """Return annotations as requests may carry them, at least one portion."""
    return [annotations[at : at + MAX_ANNOTATIONS] for at in range(0, len(annotations), MAX_ANNOTATIONS)] or [()]


def _check_body(report: CheckReport, annotations: Sequence[Annotation]) -> dict[str, object]:
    state = {"status": "completed", "conclusion": report.conclusion} if report.conclusion else {"status": "in_progress"}
    output = {
        "title": cut(report.title, MAX_TITLE), "summary": cut(report.summary, MAX_SUMMARY),
        "annotations": [
            {"path": each.path, "start_line": each.line, "end_line": each.line, "annotation_level": each.level,
             "message": each.message}
            for each in annotations
        ],
    }  # fmt: skip
    return {**state, "output": output, **({"details_url": report.details_url} if report.details_url else {})}
