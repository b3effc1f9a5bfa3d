"""Logs."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abreast.testing.platforms.common import utc_timestamp
from abreast.testing.platforms.render.deploy_engine import collect_output
from abreast.testing.platforms.render.requests import (
    ApiError,
    limit,
    not_emulated,
    require_known_query,
    selected,
    within,
)
from abreast.testing.platforms.render.service import OWNER_ID, LogLine
from abreast.testing.platforms.render.state import State

FILTERS = ("instance", "host", "statusCode", "method", "task", "taskRun", "level", "text", "path")
"""Filters that the emulator does not have."""


class LogApi:
    """The routes below /logs."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [Route("/v1/logs", self._list, methods=["GET"])]

    async def _list(self, request: Request) -> Response:
        require_known_query(
            request, "ownerId", "resource", "type", "startTime", "endTime", "direction", "limit", *FILTERS
        )
        if unknown := set(FILTERS) & set(request.query_params):
            raise not_emulated(f"the filter {', '.join(sorted(unknown))}")
        forward = _is_forward(request)
        lines = [(line, id_) for id_ in self._resources(request) for line in self._state.services[id_].log]
        lines = [
            (line, id_)
            for line, id_ in lines
            if selected(request, "type", line.type) and within(request, ("startTime", "endTime"), line.timestamp)
        ]
        lines.sort(key=lambda found: found[0].timestamp, reverse=not forward)
        shown = lines[: limit(request)]
        return JSONResponse(_page(shown, has_more=len(lines) > len(shown), forward=forward, request=request))

    def _resources(self, request: Request) -> list[str]:
        if request.query_params.get("ownerId") != OWNER_ID or "resource" not in request.query_params:
            raise ApiError(400, "needed: ownerId, and a resource of that workspace")
        ids = request.query_params.getlist("resource")
        for id_ in ids:
            collect_output(self._state.services[id_])
        return ids


def _is_forward(request: Request) -> bool:
    direction = request.query_params.get("direction", "backward")
    if direction not in {"forward", "backward"}:
        raise ApiError(400, f"direction: {direction!r}")
    return direction == "forward"


def _page(shown: list[tuple[LogLine, str]], *, has_more: bool, forward: bool, request: Request) -> dict[str, object]:
    """Return a page, with the times to ask for the next one."""
    now = utc_timestamp()
    start, end = request.query_params.get("startTime", now), request.query_params.get("endTime", now)
    if shown and has_more:
        last = shown[-1][0].timestamp
        start, end = (last, end) if forward else (start, last)
    logs = [
        {
            "id": f"{id_}-{line.timestamp}", "message": line.text, "timestamp": line.timestamp,
            "labels": [{"name": "resource", "value": id_}, {"name": "type", "value": line.type}],
        }
        for line, id_ in shown
    ]  # fmt: skip
    return {"hasMore": has_more, "nextStartTime": start, "nextEndTime": end, "logs": logs}
