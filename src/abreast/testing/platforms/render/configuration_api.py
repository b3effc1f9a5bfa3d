"""Variables, secret files and environment groups. What changes reaches a service with its next deploy."""

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abreast.testing.platforms.render.answers import file_json, group_json, variable_json, whole_group_json
from abreast.testing.platforms.render.bodies import (
    EnvGroupName,
    FileContent,
    GeneratedValue,
    NamedFile,
    NamedGeneratedValue,
    NamedValue,
    NewEnvGroup,
    Value,
)
from abreast.testing.platforms.render.requests import (
    ApiError,
    not_emulated,
    page,
    read_body,
    require_known_query,
    selected,
    within,
    wrapped,
)
from abreast.testing.platforms.render.service import OWNER_ID, EnvGroup, Service
from abreast.testing.platforms.render.state import State

GROUP_TIMES = ("createdBefore", "createdAfter", "updatedBefore", "updatedAfter")


class ConfigurationApi:
    """The routes of what services and groups are configured with."""

    def __init__(self, state: State) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """Return the routes."""
        service, group = "/v1/services/{service}", "/v1/env-groups/{group}"
        return [
            Route(f"{service}/env-vars", self._list_variables, methods=["GET"]),
            Route(f"{service}/env-vars", self._replace_variables, methods=["PUT"]),
            Route(f"{service}/secret-files", self._list_files, methods=["GET"]),
            Route(f"{service}/secret-files", self._replace_files, methods=["PUT"]),
            Route("/v1/env-groups", self._list_groups, methods=["GET"]),
            Route("/v1/env-groups", self._create_group, methods=["POST"]),
            Route(group, self._get_group, methods=["GET"]),
            Route(group, self._rename_group, methods=["PATCH"]),
            Route(group, self._delete_group, methods=["DELETE"]),
            Route(f"{group}/services/{{service}}", self._link, methods=["POST"]),
            Route(f"{group}/services/{{service}}", self._unlink, methods=["DELETE"]),
            *(
                Route(f"{owner}/{part}/{{key}}", handler, methods=[method])
                for owner in (service, group)
                for part, method, handler in self._single_values()
            ),
        ]

    def _single_values(self) -> list[tuple[str, str, Callable[[Request], Awaitable[Response]]]]:
        return [
            ("env-vars", "GET", self._get_variable),
            ("env-vars", "PUT", self._set_variable),
            ("env-vars", "DELETE", self._delete_variable),
            ("secret-files", "GET", self._get_file),
            ("secret-files", "PUT", self._set_file),
            ("secret-files", "DELETE", self._delete_file),
        ]

    # ── variables ──────────────────────────────────────────────────────────────────────────────

    async def _list_variables(self, request: Request) -> Response:
        require_known_query(request, "cursor", "limit")
        found = [variable_json(*pair) for pair in self._state.service(request).env.items()]
        return JSONResponse(wrapped("envVar", page(request, found, lambda answer: str(answer["key"])), "key"))

    async def _replace_variables(self, request: Request) -> Response:
        service = self._state.service(request)
        body = await read_body(request, list[NamedValue | NamedGeneratedValue])
        service.env = {variable.key: variable_value(variable) for variable in body}
        return JSONResponse(wrapped("envVar", [variable_json(*pair) for pair in service.env.items()], "key"))

    async def _get_variable(self, request: Request) -> Response:
        key = request.path_params["key"]
        return JSONResponse(variable_json(key, self._owner(request).env[key]))

    async def _set_variable(self, request: Request) -> Response:
        owner, key = self._owner(request), request.path_params["key"]
        owner.env[key] = variable_value(await read_body(request, Value | GeneratedValue))  # type: ignore[arg-type]
        return JSONResponse(
            self._group_json(owner) if isinstance(owner, EnvGroup) else variable_json(key, owner.env[key])
        )

    async def _delete_variable(self, request: Request) -> Response:
        return _delete(self._owner(request).env, request)

    # ── secret files ───────────────────────────────────────────────────────────────────────────

    async def _list_files(self, request: Request) -> Response:
        require_known_query(request, "cursor", "limit")
        found = [file_json(*pair) for pair in self._state.service(request).secret_files.items()]
        return JSONResponse(wrapped("secretFile", page(request, found, lambda answer: str(answer["name"])), "name"))

    async def _replace_files(self, request: Request) -> Response:
        service = self._state.service(request)
        service.secret_files = {file.name: file.content for file in await read_body(request, list[NamedFile])}
        return JSONResponse(wrapped("secretFile", [file_json(*pair) for pair in service.secret_files.items()], "name"))

    async def _get_file(self, request: Request) -> Response:
        name = request.path_params["key"]
        return JSONResponse(file_json(name, self._owner(request).secret_files[name]))

    async def _set_file(self, request: Request) -> Response:
        owner, name = self._owner(request), request.path_params["key"]
        owner.secret_files[name] = (await read_body(request, FileContent)).content
        if isinstance(owner, EnvGroup):
            return JSONResponse(self._group_json(owner))
        return JSONResponse(file_json(name, owner.secret_files[name]), 201)

    async def _delete_file(self, request: Request) -> Response:
        return _delete(self._owner(request).secret_files, request)

    # ── environment groups ─────────────────────────────────────────────────────────────────────

    async def _list_groups(self, request: Request) -> Response:
        require_known_query(request, "name", "ownerId", "environmentId", *GROUP_TIMES, "cursor", "limit")
        found = [
            group_json(group, self._links(group))
            for group in self._state.env_groups.values()
            if selected(request, "name", group.name)
            and selected(request, "ownerId", OWNER_ID)
            and selected(request, "environmentId", "")
            and within(request, ("createdAfter", "createdBefore"), group.created_at)
            and within(request, ("updatedAfter", "updatedBefore"), group.created_at)
        ]
        return JSONResponse(page(request, found, lambda answer: str(answer["id"])))

    async def _create_group(self, request: Request) -> Response:
        body = await read_body(request, NewEnvGroup)
        if body.owner_id != OWNER_ID or any(id_ not in self._state.services for id_ in body.service_ids):
            raise ApiError(400, "unknown ownerId or serviceIds")
        if body.environment_id:
            raise not_emulated("environments")
        group = EnvGroup(
            body.name,
            {variable.key: variable_value(variable) for variable in body.env_vars},
            {file.name: file.content for file in body.secret_files},
            list(body.service_ids),
        )
        self._state.env_groups[group.id] = group
        return JSONResponse(self._group_json(group), 201)

    async def _get_group(self, request: Request) -> Response:
        return JSONResponse(self._group_json(self._group(request)))

    async def _rename_group(self, request: Request) -> Response:
        group = self._group(request)
        group.name = (await read_body(request, EnvGroupName)).name
        return JSONResponse(self._group_json(group))

    async def _delete_group(self, request: Request) -> Response:
        del self._state.env_groups[self._group(request).id]
        return Response(status_code=204)

    async def _link(self, request: Request) -> Response:
        group, service = self._group(request), self._state.service(request)
        if service.id not in group.service_ids:
            group.service_ids.append(service.id)
        return JSONResponse(self._group_json(group))

    async def _unlink(self, request: Request) -> Response:
        self._group(request).service_ids.remove(self._state.service(request).id)
        return Response(status_code=204)

    def _owner(self, request: Request) -> Service | EnvGroup:
        return self._group(request) if "group" in request.path_params else self._state.service(request)

    def _group(self, request: Request) -> EnvGroup:
        return self._state.env_groups[request.path_params["group"]]

    def _links(self, group: EnvGroup) -> list[Service]:
        return [self._state.services[id_] for id_ in group.service_ids if id_ in self._state.services]

    def _group_json(self, group: EnvGroup) -> dict[str, Any]:
        return whole_group_json(group, self._links(group))


def variable_value(variable: Value | GeneratedValue) -> str:
    """Return the value of a variable, which Render makes if it is told to."""
    return variable.value if isinstance(variable, Value) else secrets.token_urlsafe(32)


def _delete(values: MutableMapping[str, str], request: Request) -> Response:
    del values[request.path_params["key"]]
    return Response(status_code=204)
