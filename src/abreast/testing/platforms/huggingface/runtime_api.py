"""The API of running Spaces: state, restart, pause, hardware, variables, secrets, logs; and the Spaces themselves."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from abreast.testing.platforms.common import utc_timestamp
from abreast.testing.platforms.huggingface.access import authorized_space, requested_space, require_write
from abreast.testing.platforms.huggingface.repository import RepositoryStore
from abreast.testing.platforms.huggingface.space_runtime import Space, SpaceRuntime
from abreast.testing.platforms.service_process import proxy_to_process


class RuntimeApi:
    """Handlers of the requests about what a Space runs."""

    def __init__(self, spaces: Mapping[str, Space], store: RepositoryStore, runtime: SpaceRuntime) -> None:
        self._spaces = spaces
        self._store = store
        self._runtime = runtime

    def routes(self) -> list[Route]:
        """Return the routes of all handlers."""
        api = "/api/spaces/{owner}/{name}"
        return [
            Route(f"{api}/runtime", self._get_runtime),
            Route(f"{api}/restart", self._restart, methods=["POST"]),
            Route(f"{api}/pause", self._pause, methods=["POST"]),
            Route(f"{api}/hardware", self._set_hardware, methods=["POST"]),
            Route(f"{api}/variables", self._variables, methods=["GET", "POST", "DELETE"]),
            Route(f"{api}/secrets", self._secrets, methods=["GET", "POST", "DELETE"]),
            Route(f"{api}/logs/{{kind}}", self._stream_logs),
            Route("/h/{owner}/{name}/{path:path}", self._proxy),
        ]

    async def _get_runtime(self, request: Request) -> Response:
        space = authorized_space(self._spaces, request)
        await self._runtime.poll(space)
        return JSONResponse(runtime_json(space))

    async def _restart(self, request: Request) -> Response:
        space = self._writable_space(request)
        space.factory_rebuild = bool(request.query_params.get("factory"))
        self._runtime.queue_build(space, self._store.resolve(space.branches, "main"))
        return JSONResponse(runtime_json(space))

    async def _pause(self, request: Request) -> Response:
        space = self._writable_space(request)
        self._runtime.pause(space)
        return JSONResponse(runtime_json(space))

    async def _set_hardware(self, request: Request) -> Response:
        space = self._writable_space(request)
        space.hardware = (await request.json())["flavor"]
        return JSONResponse(runtime_json(space))

    async def _variables(self, request: Request) -> Response:
        variables = authorized_space(self._spaces, request).variables
        return await _handle_variables(request, variables, lambda value: {"value": value})

    async def _secrets(self, request: Request) -> Response:
        return await _handle_variables(request, authorized_space(self._spaces, request).secrets, lambda _: {})

    async def _stream_logs(self, request: Request) -> Response:
        space = authorized_space(self._spaces, request)
        lines, timestamp = list(space.log), self._store.resolve(space.branches, "main").date

        async def events() -> AsyncIterator[str]:
            for line in lines:
                yield f"data: {json.dumps({'data': line + chr(10), 'timestamp': timestamp})}\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async def _proxy(self, request: Request) -> Response:
        return await proxy_to_process(request, requested_space(self._spaces, request).live_process)

    def _writable_space(self, request: Request) -> Space:
        require_write(request)
        return requested_space(self._spaces, request)


async def _handle_variables(
    request: Request, variables: dict[str, str], extra_fields: Callable[[str], dict[str, str]]
) -> Response:
    if request.method != "GET":
        require_write(request)
        body = await request.json()
        if request.method == "POST":
            variables[body["key"]] = body["value"]
        else:
            variables.pop(body["key"], None)
    return JSONResponse({
        name: {"key": name, "updatedAt": utc_timestamp(), **extra_fields(value)} for name, value in variables.items()
    })  # fmt: skip


def runtime_json(space: Space) -> dict[str, Any]:
    """Return a Space's runtime as the Hub reports it."""
    return {
        "stage": space.stage, "sha": space.sha, "hardware": {"current": space.hardware, "requested": space.hardware},
        "storage": None, "gcTimeout": 172800, "replicas": {"current": 1, "requested": 1},
    }  # fmt: skip
