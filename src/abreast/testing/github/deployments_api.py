"""The API of deployments and their statuses."""

from starlette.responses import Response

from abreast.testing.github import bodies, documents
from abreast.testing.github.calls import REPOSITORY, ApiError, Call, Operation, answer, invalid, no_content
from abreast.testing.github.model import Deployment, GitHubState, Repository, Status, now
from abreast.testing.github.webhooks import Webhooks

DEPLOYMENT = f"{REPOSITORY}/deployments/{{deployment}}"
_READ, _WRITE = "deployments=read", "deployments=write"


class DeploymentsApi:
    """Serves deployments. A success ends earlier ones of its environment, unless they are of production."""

    def __init__(self, state: GitHubState, webhooks: Webhooks) -> None:
        self._state = state
        self._webhooks = webhooks

    def operations(self) -> list[Operation]:
        """Return the operations."""
        return [
            Operation("GET", f"{REPOSITORY}/deployments", _READ, self._list),
            Operation("POST", f"{REPOSITORY}/deployments", _WRITE, self._create),
            Operation("GET", DEPLOYMENT, _READ, self._get),
            Operation("DELETE", DEPLOYMENT, _WRITE, self._delete),
            Operation("GET", f"{DEPLOYMENT}/statuses", _READ, self._list_statuses),
            Operation("POST", f"{DEPLOYMENT}/statuses", _WRITE, self._create_status),
            Operation("GET", f"{DEPLOYMENT}/statuses/{{status}}", _READ, self._get_status),
        ]

    async def _list(self, call: Call) -> Response:
        """Return deployments newest first, those with the values that the query names."""
        names = ("sha", "ref", "task", "environment")
        asked = {name: value for name, value in call.query(*names).items() if name in names}
        found = [
            made for made in reversed(call.repository.deployments)
            if all(getattr(made, name) == value for name, value in asked.items())
        ]  # fmt: skip
        page, links = call.page(found, *names)
        return answer([documents.deployment(call, made) for made in page], headers=links)

    async def _create(self, call: Call) -> Response:
        body = await call.body(bodies.NewDeployment)
        repo = call.repository
        sha = repo.commit_of(body.ref)
        if not sha:
            raise ApiError(422, f"No ref found for: {body.ref}")
        if body.auto_merge and _is_behind(repo, body.ref, sha):
            return answer({"message": f"Auto-merged {repo.default_branch} into {body.ref} on deployment."}, 202)
        if failing := _failing_checks(repo, sha, body.required_contexts):
            raise ApiError(409, f"Conflict: Commit status checks failed for {body.ref}.", *failing)
        production = body.production_environment
        made = Deployment(
            self._state.next_id(), sha, body.ref, body.task, body.environment, body.description or "", body.payload,
            body.transient_environment, body.environment == "production" if production is None else production, now(),
        )  # fmt: skip
        repo.deployments.append(made)
        document = documents.deployment(call, made)
        self._webhooks.send(call, "deployment", {"action": "created", "deployment": document})
        return answer(document, 201)

    async def _get(self, call: Call) -> Response:
        return answer(documents.deployment(call, _find(call)))

    async def _delete(self, call: Call) -> Response:
        made = _find(call)
        if made.state == "success" and len(call.repository.deployments) > 1:
            raise ApiError(422, "We cannot delete an active deployment unless it is the only deployment.")
        call.repository.deployments.remove(made)
        return no_content()

    async def _list_statuses(self, call: Call) -> Response:
        made = _find(call)
        page, links = call.page(reversed(made.statuses))
        return answer([documents.deployment_status(call, made, status) for status in page], headers=links)

    async def _get_status(self, call: Call) -> Response:
        made = _find(call)
        found = [status for status in made.statuses if status.id == call.number("status")]
        if not found:
            raise ApiError(404, "Not Found")
        return answer(documents.deployment_status(call, made, found[0]))

    async def _create_status(self, call: Call) -> Response:
        made, body = _find(call), await call.body(bodies.NewStatus)
        if body.environment is not None and not body.environment:
            raise invalid("DeploymentStatus", "environment", "must not be empty")
        status = self._add(made, body)
        if body.state == "success" and body.auto_inactive:
            self._end_earlier(call.repository, made)
        document = documents.deployment_status(call, made, status)
        sent = {"action": "created", "deployment_status": document, "deployment": documents.deployment(call, made)}
        self._webhooks.send(call, "deployment_status", sent)
        return answer(document, 201)

    def _add(self, made: Deployment, body: bodies.NewStatus) -> Status:
        made.environment = body.environment or made.environment
        status = Status(
            self._state.next_id(), body.state, body.description, made.environment, body.environment_url,
            body.log_url or body.target_url, now(),
        )  # fmt: skip
        made.statuses.append(status)
        return status

    def _end_earlier(self, repo: Repository, made: Deployment) -> None:
        for other in repo.deployments:
            is_earlier = other.environment == made.environment and other.id < made.id and other.state == "success"
            if is_earlier and not other.is_transient and not other.is_production:
                self._add(other, bodies.NewStatus(state="inactive"))


def _find(call: Call) -> Deployment:
    found = [made for made in call.repository.deployments if made.id == call.number("deployment")]
    if not found:
        raise ApiError(404, "Not Found")
    return found[0]


def _is_behind(repo: Repository, ref: str, sha: str) -> bool:
    """Return whether ``ref`` is a branch that lacks commits of the default branch."""
    default = repo.commit_of(repo.default_branch)
    is_branch = bool(repo.git("rev-parse", "--verify", "--quiet", f"refs/heads/{ref}"))
    return is_branch and bool(default) and repo.git("merge-base", sha, default) != default


def _failing_checks(repo: Repository, sha: str, contexts: list[str] | None) -> list[dict[str, str]]:
    """Return the checks that have not passed, of those that are required; without a list, of all."""
    states = {
        run.fields["name"]: run.fields.get("conclusion") or "pending"
        for run in repo.check_runs if run.fields["head_sha"] == sha
    }  # fmt: skip
    required = states if contexts is None else contexts
    good = {"success", "neutral", "skipped"}
    return [
        {"resource": "Deployment", "field": "required_contexts", "code": "invalid", "message": f"{name} is not success"}
        for name in required if states.get(name) not in good
    ]  # fmt: skip
