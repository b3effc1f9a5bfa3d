"""The API of environment variables. Values of secrets are not read back, but in the context ``dev``."""

import secrets
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from abreast.testing.platforms.common import require_token
from abreast.testing.platforms.netlify.model import ACCOUNT, API, TOKEN, NetlifyState, RefusedError, Site, json_body

READABLE_CONTEXT = "dev"
MASK = "*" * 16
CONTEXTS = frozenset({"all", "dev", "dev-server", "branch-deploy", "deploy-preview", "production", "branch"})

Variable = dict[str, Any]


class VariablesApi:
    """Serves the operations of variables. The emulated team has none of its own: each belongs to a site."""

    def __init__(self, state: NetlifyState) -> None:
        self._state = state

    def routes(self) -> list[BaseRoute]:
        """Return the routes. The description of one has the API's prefix twice, and clients follow it."""
        variables = f"{API}/accounts/{{account}}/env"
        return [
            Route(variables, self._list, methods=["GET"]),
            Route(variables, self._create, methods=["POST"]),
            Route(f"{variables}/{{key}}", self._get, methods=["GET"]),
            Route(f"{variables}/{{key}}", self._replace, methods=["PUT"]),
            Route(f"{variables}/{{key}}", self._set_value, methods=["PATCH"]),
            Route(f"{variables}/{{key}}", self._delete, methods=["DELETE"]),
            Route(f"{variables}/{{key}}/value/{{id}}", self._delete_value, methods=["DELETE"]),
            *(Route(f"{base}/sites/{{site}}/env", self._list_of_site, methods=["GET"]) for base in (API, API + API)),
        ]

    async def _list(self, request: Request) -> Response:
        return JSONResponse([_readable(variable) for variable in self._site(request).env.values()])

    async def _list_of_site(self, request: Request) -> Response:
        return JSONResponse([_readable(variable) for variable in self._state.authorized_site(request).env.values()])

    async def _create(self, request: Request) -> Response:
        site = self._site(request, must_exist=True)
        added: dict[str, Variable] = {
            _required(variable, "key"): variable for variable in await json_body(request, list)
        }
        if existing := site.env.keys() & added.keys():
            raise RefusedError(409, f"{min(existing)} already exists")
        for variable in added.values():
            variable["values"] = _checked_values(variable)
        site.env |= added
        return JSONResponse([_readable(variable) for variable in added.values()], 201)

    async def _get(self, request: Request) -> Response:
        return JSONResponse(_readable(self._variable(request)))

    async def _replace(self, request: Request) -> Response:
        variable, body = self._variable(request), await json_body(request, dict)
        variable |= {**body, "values": _checked_values(body)}
        return JSONResponse(_readable(variable))

    async def _set_value(self, request: Request) -> Response:
        variable, value = self._variable(request), _checked(await json_body(request, dict))
        context = value["context"], value.get("context_parameter")
        kept = [value for value in variable["values"] if (value["context"], value.get("context_parameter")) != context]
        variable["values"] = [*kept, value]
        return JSONResponse(_readable(variable), 201)

    async def _delete(self, request: Request) -> Response:
        del self._site(request, must_exist=True).env[request.path_params["key"]]
        return Response(status_code=204)

    async def _delete_value(self, request: Request) -> Response:
        variable, wanted = self._variable(request), request.path_params["id"]
        kept = [value for value in variable["values"] if value["id"] != wanted]
        if len(kept) == len(variable["values"]):
            raise KeyError(wanted)
        variable["values"] = kept
        return Response(status_code=204)

    def _site(self, request: Request, *, must_exist: bool = False) -> Site:
        """Return the site that a request names, else an empty one."""
        require_token(request, TOKEN)
        if request.path_params["account"] not in {ACCOUNT["id"], ACCOUNT["slug"]}:
            raise KeyError(request.path_params["account"])
        wanted = request.query_params.get("site_id", "")
        if must_exist and wanted not in self._state.sites:
            raise RefusedError(501, "the emulator has no variables of a team: name a site_id")
        return self._state.sites.get(wanted, Site("", ""))

    def _variable(self, request: Request) -> Variable:
        return self._site(request, must_exist=True).env[request.path_params["key"]]


def _required(body: Variable, name: str) -> Any:  # noqa: ANN401 (JSON)
    """Return a part of a body. Raises RefusedError if it is missing."""
    if name not in body:
        raise RefusedError(422, f"{name} is missing")
    return body[name]


def _checked_values(variable: Variable) -> list[Variable]:
    return [_checked(value) for value in _required(variable, "values")]


def _checked(value: Variable) -> Variable:
    """Return a value with an id. Raises RefusedError for an unknown context."""
    if value.get("context") not in CONTEXTS:
        raise RefusedError(422, f"unknown context {value.get('context')}")
    return {"id": secrets.token_hex(8), **value}


def _readable(variable: Variable) -> Variable:
    if not variable.get("is_secret"):
        return variable
    values = [
        value if value["context"] == READABLE_CONTEXT else {**value, "value": MASK} for value in variable["values"]
    ]
    return {**variable, "values": values}
