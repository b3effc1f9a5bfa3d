"""The API of workflow runs: how they are started, and what holds a concurrency group."""

from starlette.responses import Response

from abreast.testing.github import bodies, documents
from abreast.testing.github.calls import REPOSITORY, ApiError, Call, Operation, answer, no_content
from abreast.testing.github.model import GitHubState

ACTIONS = f"{REPOSITORY}/actions"
_MOMENT = "2026-01-01T00:00:00Z"


class ActionsApi:
    """Serves runs, dispatches and concurrency groups. No workflow runs: ``Repository.dispatches`` tells what would."""

    def __init__(self, state: GitHubState) -> None:
        self._state = state

    def operations(self) -> list[Operation]:
        """Return the operations."""
        return [
            Operation("POST", f"{REPOSITORY}/dispatches", "contents=write", self._dispatch),
            Operation("POST", f"{ACTIONS}/workflows/{{workflow}}/dispatches", "actions=write", self._run_workflow),
            Operation("GET", f"{ACTIONS}/runs/{{run_id}}/approvals", "actions=read", self._list_approvals),
            Operation("GET", f"{ACTIONS}/runs/{{run_id}}/attempts/{{attempt_number}}", "actions=read", self._get_run),
            Operation("GET", f"{ACTIONS}/concurrency_groups", "actions=read", self._list_groups),
            Operation("GET", f"{ACTIONS}/concurrency_groups/{{group}}", "actions=read", self._get_group),
        ]

    async def _dispatch(self, call: Call) -> Response:
        body = await call.body(bodies.RepositoryDispatch)
        call.repository.dispatches.append((body.event_type, body.client_payload))
        return no_content()

    async def _run_workflow(self, call: Call) -> Response:
        workflow, body = call.param("workflow"), await call.body(bodies.WorkflowDispatch)
        if workflow not in call.repository.workflows:
            raise ApiError(404, "Not Found")
        if not call.repository.commit_of(body.ref):
            raise ApiError(422, f"No ref found for: {body.ref}")
        call.repository.dispatches.append((workflow, body.inputs))
        if not body.return_run_details:
            return no_content()
        run = self._state.next_id()
        urls = {
            "run_url": f"{_runs(call)}/{run}",
            "html_url": f"{call.html}/{call.repository.full_name}/actions/runs/{run}",
        }
        return answer({"workflow_run_id": run, **urls})

    async def _list_approvals(self, call: Call) -> Response:
        reviews = call.repository.reviews.get(call.number("run_id"), [])
        return answer([documents.environment_review(call, review) for review in reviews])

    async def _get_run(self, call: Call) -> Response:
        asked = call.number("run_id"), call.number("attempt_number")
        run = next((run for run in call.repository.runs if (run.id, run.attempt) == asked), None)
        if run is None:
            raise ApiError(404, "Not Found")
        return answer(documents.workflow_run(call, run))

    async def _list_groups(self, call: Call) -> Response:
        groups = [
            {"group_name": name, "group_url": _group_url(call, name), "last_acquired_at": _MOMENT}
            for name in sorted(call.repository.groups)
        ]  # fmt: skip
        page, links = call.page(groups, "after")
        return answer({"total_count": len(groups), "concurrency_groups": list(page)}, headers=links)

    async def _get_group(self, call: Call) -> Response:
        name = call.param("group")
        if not call.repository.groups.get(name):
            raise ApiError(404, "Not Found")
        runs = [
            {"run_id": run, "run_name": "Deploy", "run_url": f"{_runs(call)}/{run}",
             "run_html_url": f"{call.html}/{call.repository.full_name}/actions/runs/{run}", "status": status}
            for run, status in call.repository.groups[name]
        ]  # fmt: skip
        group = {"group_name": name, "group_url": _group_url(call, name)}
        return answer({**group, "total_count": len(runs), "group_members": runs})


def _runs(call: Call) -> str:
    return f"{call.api}/repos/{call.repository.full_name}/actions/runs"


def _group_url(call: Call, name: str) -> str:
    return f"{call.api}/repos/{call.repository.full_name}/actions/concurrency_groups/{name.replace('/', '%2F')}"
