"""The API of check runs. Only Apps may make them, and only their own."""

from typing import Any

from starlette.responses import Response

from abreast.testing.github import bodies, documents
from abreast.testing.github.calls import REPOSITORY, ApiError, Call, Operation, answer, invalid
from abreast.testing.github.model import CheckRun, GitHubState, now

RUN = f"{REPOSITORY}/check-runs/{{run}}"
_READ, _WRITE = "checks=read", "checks=write"
_FILTERS = ("check_name", "status", "filter", "app_id")


class ChecksApi:
    """Serves check runs and their annotations."""

    def __init__(self, state: GitHubState) -> None:
        self._state = state

    def operations(self) -> list[Operation]:
        """Return the operations."""
        return [
            Operation("POST", f"{REPOSITORY}/check-runs", _WRITE, self._create, apps_only=True),
            Operation("GET", RUN, _READ, self._get),
            Operation("PATCH", RUN, _WRITE, self._update, apps_only=True),
            Operation("GET", f"{RUN}/annotations", _READ, self._annotations),
            Operation("GET", f"{REPOSITORY}/commits/{{ref}}/check-runs", _READ, self._list),
        ]

    async def _create(self, call: Call) -> Response:
        body = await call.body(bodies.NewCheckRun)
        if call.repository.commit_of(body.head_sha) != body.head_sha:
            raise invalid("CheckRun", "head_sha", f"No commit found for SHA: {body.head_sha}")
        run = CheckRun(self._state.next_id(), {"status": "queued"})
        self._apply(run, body)
        if run.fields["status"] != "queued":
            run.fields.setdefault("started_at", now())
        call.repository.check_runs.append(run)
        return answer(documents.check_run(call, run), 201)

    async def _update(self, call: Call) -> Response:
        body = await call.body(bodies.ChangedCheckRun)
        run = _find(call)
        self._apply(run, body)
        return answer(documents.check_run(call, run))

    async def _get(self, call: Call) -> Response:
        return answer(documents.check_run(call, _find(call)))

    async def _annotations(self, call: Call) -> Response:
        page, links = call.page(_find(call).annotations)
        described = ("start_column", "end_column", "title", "raw_details")
        blob = {"blob_href": f"{call.html}/blob"}
        return answer([{**dict.fromkeys(described), **each, **blob} for each in page], headers=links)

    async def _list(self, call: Call) -> Response:
        """Return the runs of a commit, the newest of each name unless ``filter`` is ``all``."""
        asked = call.query(*_FILTERS)
        sha = call.repository.commit_of(call.param("ref"))
        if not sha:
            raise ApiError(422, f"No commit found for SHA: {call.param('ref')}")
        found = [run for run in reversed(call.repository.check_runs) if _matches(run, sha, asked)]
        if asked.get("filter", "latest") == "latest":
            newest = {run.fields["name"]: run for run in reversed(found)}
            found = [run for run in found if newest[run.fields["name"]] is run]
        page, links = call.page(found, *_FILTERS)
        runs = [documents.check_run(call, run) for run in page]
        return answer({"total_count": len(found), "check_runs": runs}, headers=links)

    def _apply(self, run: CheckRun, body: bodies.ChangedCheckRun) -> None:
        """Set what was sent. A conclusion completes a run, a run that goes on again has none."""
        sent: dict[str, Any] = body.model_dump(exclude_unset=True)
        if sent.get("status") == "completed" and not (sent.get("conclusion") or run.fields.get("conclusion")):
            raise invalid("CheckRun", "conclusion", "is needed for a run that is completed")
        if sent.get("conclusion") and sent.get("status") not in {None, "completed"}:
            raise invalid("CheckRun", "status", "must be completed, beside a conclusion")
        if sent.get("conclusion"):
            sent = {"completed_at": now(), **sent, "status": "completed"}
        elif sent.get("status") in {"queued", "in_progress"}:
            sent |= {"conclusion": None, "completed_at": None}
        run.annotations += (sent.get("output") or {}).pop("annotations", [])
        run.fields |= sent


def _matches(run: CheckRun, sha: str, asked: dict[str, str]) -> bool:
    names = {"check_name": "name", "status": "status"}
    return run.fields["head_sha"] == sha and all(
        run.fields.get(field) == asked[name] for name, field in names.items() if name in asked
    )


def _find(call: Call) -> CheckRun:
    found = [run for run in call.repository.check_runs if run.id == call.number("run")]
    if not found:
        raise ApiError(404, "Not Found")
    return found[0]
