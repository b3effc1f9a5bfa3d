"""The API of running Spaces: state, restart, pause, hardware, variables, secrets, logs; and the Spaces themselves."""

import asyncio
import json
import mimetypes
import re
from collections.abc import AsyncIterator, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from abreast.testing.platforms.huggingface.access import (
    READ_TOKEN,
    TOKEN,
    HubError,
    readable_space,
    require_token,
    writable_space,
)
from abreast.testing.platforms.huggingface.repository import RepositoryStore
from abreast.testing.platforms.huggingface.repository_api import API
from abreast.testing.platforms.huggingface.space_runtime import (
    Space,
    SpaceRuntime,
    Variable,
    runtime_json,
    static_page,
)
from abreast.testing.platforms.service_process import proxy_to_process

HARDWARE = ("cpu-basic", "cpu-upgrade", "t4-small", "t4-medium", "l4x1", "a10g-small", "a10g-large", "a100-large")
"""The hardware that can be requested."""


LOG_INTERVAL = 0.02
"""Seconds between two looks at a build that goes on."""


class RuntimeApi:
    """Handlers of the requests about what a Space runs."""

    def __init__(self, spaces: Mapping[str, Space], store: RepositoryStore, runtime: SpaceRuntime) -> None:
        self._spaces = spaces
        self._store = store
        self._runtime = runtime

    def routes(self) -> list[Route]:
        """Return the routes of all handlers."""
        return [
            Route("/api/spaces/hardware", _list_hardware),
            Route(f"{API}/runtime", self._get_runtime),
            Route(f"{API}/restart", self._restart, methods=["POST"]),
            Route(f"{API}/pause", self._pause, methods=["POST"]),
            Route(f"{API}/hardware", self._set_hardware, methods=["POST"]),
            Route(f"{API}/sleeptime", self._set_sleep_time, methods=["POST"]),
            Route(f"{API}/{{kind:str}}", self._variables, methods=["GET", "POST", "DELETE"]),
            Route(f"{API}/logs/{{kind}}", self._stream_logs),
            Route("/h/{owner}/{name}", self._serve),
            Route("/h/{owner}/{name}/{path:path}", self._serve),
        ]

    async def _get_runtime(self, request: Request) -> Response:
        space = readable_space(self._spaces, request)
        await self._runtime.poll(space)
        return JSONResponse(runtime_json(space))

    async def _restart(self, request: Request) -> Response:
        space = writable_space(self._spaces, request)
        _refuse_static(space, "restart")
        space.factory_rebuild = bool(request.query_params.get("factory"))
        self._runtime.queue_build(space, self._store.resolve(space.branches, "main"))
        return JSONResponse(runtime_json(space))

    async def _pause(self, request: Request) -> Response:
        space = writable_space(self._spaces, request)
        _refuse_static(space, "pause")
        self._runtime.pause(space)
        return JSONResponse(runtime_json(space))

    async def _set_hardware(self, request: Request) -> Response:
        space, body = writable_space(self._spaces, request), await request.json()
        _refuse_static(space, "change the hardware of")
        if body["flavor"] not in HARDWARE:
            raise HubError(400, f"Invalid hardware: {body['flavor']}")
        if body["flavor"] == "cpu-basic" and "sleepTimeSeconds" in body:
            raise HubError(400, "The sleep time of free hardware cannot be changed")
        space.hardware = body["flavor"]
        space.sleep_time = body.get("sleepTimeSeconds", 172800 if space.hardware == "cpu-basic" else None)
        await self._runtime.restart(space)
        return JSONResponse(runtime_json(space))

    async def _set_sleep_time(self, request: Request) -> Response:
        space = writable_space(self._spaces, request)
        if space.hardware == "cpu-basic":
            raise HubError(400, "The sleep time of free hardware cannot be changed")
        space.sleep_time = int((await request.json())["seconds"])
        return JSONResponse(runtime_json(space))

    async def _variables(self, request: Request) -> Response:
        """List, set or delete variables or secrets. Each write restarts the application."""
        kind = request.path_params["kind"]
        if kind not in {"variables", "secrets"}:
            raise HubError(501, f"not emulated: {request.method} {request.url.path}")
        space = readable_space(self._spaces, request)
        require_token(request)
        own, others = (space.variables, space.secrets)[:: 1 if kind == "variables" else -1]
        if request.method != "GET":
            writable_space(self._spaces, request)
            _change_variable(request.method, await request.json(), own, others)
            await self._runtime.restart(space)
        elif kind == "secrets":
            writable_space(self._spaces, request)
        return JSONResponse({
            name: {
                "key": name, "updatedAt": variable.updated_at, "description": variable.description,
                **({"value": variable.value} if kind == "variables" else {}),
            }
            for name, variable in own.items()
        })  # fmt: skip

    async def _stream_logs(self, request: Request) -> Response:
        space = writable_space(self._spaces, request)
        kind, timestamp = request.path_params["kind"], self._store.resolve(space.branches, "main").date
        if kind not in {"build", "run"}:
            raise HubError(404, "no such log")

        async def events() -> AsyncIterator[str]:
            async for line in _follow_build(space) if kind == "build" else _read_output(space):
                yield f"data: {json.dumps({'data': line + chr(10), 'timestamp': timestamp})}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async def _serve(self, request: Request) -> Response:
        """Answer as the Space's own host: of a private Space, only to those whose token may read it."""
        params = request.path_params
        space = self._spaces.get(f"{params['owner']}/{params['name']}")
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if space is None or (space.private and token not in {TOKEN, READ_TOKEN}):
            return Response("<html>404: not found</html>", 404, media_type="text/html")
        params.setdefault("path", "")
        if space.sdk != "static":
            return await proxy_to_process(request, space.live_process)
        found = static_page(self._store, space.live_commit, params["path"]) if space.live_commit else None
        if found is None:
            return Response("<html>404: not found</html>", 404, media_type="text/html")
        return Response(found[1], media_type=mimetypes.guess_type(found[0])[0])


async def _follow_build(space: Space) -> AsyncIterator[str]:
    """Yield the lines of a build until it ends."""
    sent, is_building = 0, True
    while is_building:
        is_building = "BUILDING" in space.stage
        for line in space.log[sent:]:
            sent += 1
            yield line
        await asyncio.sleep(LOG_INTERVAL if is_building else 0)


async def _read_output(space: Space) -> AsyncIterator[str]:
    """Yield what the application has printed."""
    printed = space.live_process.log.read_text().splitlines() if space.live_process else space.output
    for line in printed:
        yield line


def _change_variable(
    method: str, body: Mapping[str, str], own: dict[str, Variable], others: Mapping[str, Variable]
) -> None:
    key = body["key"]
    if method == "DELETE":
        own.pop(key, None)
        return
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key):
        raise HubError(400, f"Invalid key: {key}")
    if key in others:
        raise HubError(400, f"Collision on variables and secrets names: {key}")
    own[key] = Variable.of(body)


def _refuse_static(space: Space, what: str) -> None:
    if space.sdk == "static":
        raise HubError(400, f"Cannot {what} a static Space")


async def _list_hardware(_: Request) -> Response:
    return JSONResponse([
        {
            "name": name, "prettyName": name, "cpu": "2 vCPU", "ram": "16 GB", "accelerator": None,
            "unitCostMicroUSD": 0, "unitCostUSD": 0, "unitLabel": "minute",
        }
        for name in HARDWARE
    ])  # fmt: skip
