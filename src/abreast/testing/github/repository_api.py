"""The API of a repository's settings: what protects its branches, what workflows may do, webhooks."""

from typing import Any

from starlette.responses import Response

from abreast.testing.github import bodies, documents
from abreast.testing.github.calls import REPOSITORY, ApiError, Call, Operation, answer, no_content
from abreast.testing.github.model import GitHubState, Hook
from abreast.testing.github.webhooks import Webhooks

PROTECTION = f"{REPOSITORY}/branches/{{branch}}/protection"
PERMISSIONS = f"{REPOSITORY}/actions/permissions"
_READ, _WRITE = "administration=read", "administration=write"
_SWITCHES = (
    "required_linear_history", "allow_force_pushes", "allow_deletions", "block_creations",
    "required_conversation_resolution", "lock_branch", "allow_fork_syncing",
)  # fmt: skip


class RepositoryApi:
    """Serves the repository and its settings."""

    def __init__(self, state: GitHubState, webhooks: Webhooks) -> None:
        self._state = state
        self._webhooks = webhooks

    def operations(self) -> list[Operation]:
        """Return the operations."""
        checks = f"{PROTECTION}/required_status_checks"
        return [
            Operation("GET", REPOSITORY, "metadata=read", self._get),
            Operation("GET", PROTECTION, _READ, self._get_protection),
            Operation("PUT", PROTECTION, _WRITE, self._put_protection),
            Operation("DELETE", PROTECTION, _WRITE, self._delete_protection),
            Operation("GET", checks, _READ, self._get_checks),
            Operation("PATCH", checks, _WRITE, self._change_checks),
            Operation("GET", PERMISSIONS, _READ, self._get_permissions),
            Operation("PUT", PERMISSIONS, _WRITE, self._put_permissions),
            Operation("GET", f"{PERMISSIONS}/workflow", _READ, self._get_workflow),
            Operation("PUT", f"{PERMISSIONS}/workflow", _WRITE, self._put_workflow),
            Operation("GET", f"{REPOSITORY}/hooks", "repository_hooks=read", self._list_hooks),
            Operation("POST", f"{REPOSITORY}/hooks", "repository_hooks=write", self._create_hook),
        ]

    async def _get(self, call: Call) -> Response:
        return answer(documents.repository(call, call.repository))

    # ── branches ───────────────────────────────────────────────────────────────────────────────

    async def _get_protection(self, call: Call) -> Response:
        return answer(_protection_document(call, _protection(call)))

    async def _put_protection(self, call: Call) -> Response:
        branch = _branch(call)
        body = await call.body(bodies.Protection)
        call.repository.protections[branch] = body.model_dump()
        return answer(_protection_document(call, _protection(call)))

    async def _delete_protection(self, call: Call) -> Response:
        _protection(call)
        del call.repository.protections[_branch(call)]
        return no_content()

    async def _get_checks(self, call: Call) -> Response:
        return answer(_checks_document(call, _checks(call)))

    async def _change_checks(self, call: Call) -> Response:
        checks, body = _checks(call), await call.body(bodies.ChangedRequiredChecks)
        changed = body.model_dump(exclude_none=True)
        if "checks" in changed:
            changed["contexts"] = [check["context"] for check in changed["checks"]]
        checks |= changed
        return answer(_checks_document(call, checks))

    # ── workflows ──────────────────────────────────────────────────────────────────────────────

    async def _get_permissions(self, call: Call) -> Response:
        repo = call.repository
        allowed = {"allowed_actions": repo.allowed_actions} if repo.actions_enabled else {}
        return answer({"enabled": repo.actions_enabled, **allowed, "sha_pinning_required": False})

    async def _put_permissions(self, call: Call) -> Response:
        body = await call.body(bodies.ActionsPermissions)
        call.repository.actions_enabled = body.enabled
        call.repository.allowed_actions = body.allowed_actions or call.repository.allowed_actions
        return no_content()

    async def _get_workflow(self, call: Call) -> Response:
        repo = call.repository
        return answer(
            {"default_workflow_permissions": repo.workflow_permissions,
             "can_approve_pull_request_reviews": repo.workflows_may_approve}
        )  # fmt: skip

    async def _put_workflow(self, call: Call) -> Response:
        body, repo = await call.body(bodies.WorkflowPermissions), call.repository
        repo.workflow_permissions = body.default_workflow_permissions or repo.workflow_permissions
        if body.can_approve_pull_request_reviews is not None:
            repo.workflows_may_approve = body.can_approve_pull_request_reviews
        return no_content()

    # ── webhooks ───────────────────────────────────────────────────────────────────────────────

    async def _list_hooks(self, call: Call) -> Response:
        page, links = call.page(call.repository.hooks)
        return answer([documents.hook(call, hook) for hook in page], headers=links)

    async def _create_hook(self, call: Call) -> Response:
        body = await call.body(bodies.NewHook)
        if body.config.url in {hook.url for hook in call.repository.hooks}:
            raise ApiError(422, "Validation Failed", {
                "resource": "Hook", "code": "custom", "message": "Hook already exists on this repository"
            })  # fmt: skip
        made = Hook(self._state.next_id(), body.config.url, body.config.secret, body.events, body.active)
        call.repository.hooks.append(made)
        document = documents.hook(call, made)
        self._webhooks.send_to(
            made, call, "ping", {"zen": "Keep it logically awesome.", "hook_id": made.id, "hook": document}
        )
        return answer(document, 201)


def _branch(call: Call) -> str:
    branch = call.param("branch")
    if not call.repository.commit_of(f"refs/heads/{branch}"):
        raise ApiError(404, "Branch not found")
    return branch


def _protection(call: Call) -> dict[str, Any]:
    found = call.repository.protections.get(_branch(call))
    if found is None:
        raise ApiError(404, "Branch not protected")
    return found


def _checks(call: Call) -> dict[str, Any]:
    checks: dict[str, Any] | None = _protection(call)["required_status_checks"]
    if checks is None:
        raise ApiError(404, "Required status checks not enabled")
    return checks


def _url(call: Call) -> str:
    return f"{call.api}/repos/{call.repository.full_name}/branches/{call.param('branch')}/protection"


def _checks_document(call: Call, checks: dict[str, Any]) -> dict[str, Any]:
    url = f"{_url(call)}/required_status_checks"
    named = checks["checks"] or [{"context": name, "app_id": None} for name in checks["contexts"]]
    return {
        "url": url, "contexts_url": f"{url}/contexts", "strict": checks["strict"],
        "contexts": [check["context"] for check in named], "checks": named,
    }  # fmt: skip


def _protection_document(call: Call, protection: dict[str, Any]) -> dict[str, Any]:
    url = _url(call)
    document: dict[str, Any] = {
        "url": url, "enforce_admins": {"url": f"{url}/enforce_admins", "enabled": bool(protection["enforce_admins"])},
        **{name: {"enabled": bool(protection[name])} for name in _SWITCHES},
    }  # fmt: skip
    if protection["required_status_checks"] is not None:
        document["required_status_checks"] = _checks_document(call, protection["required_status_checks"])
    if protection["required_pull_request_reviews"] is not None:
        reviews = f"{url}/required_pull_request_reviews"
        document["required_pull_request_reviews"] = {"url": reviews, **protection["required_pull_request_reviews"]}
    return document
