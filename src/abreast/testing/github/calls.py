"""One call of the API: who makes it, on which repository, with what; and how it is refused."""

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from abreast.testing.github.model import GitHubState, Repository, Token

T = TypeVar("T")

DOCS = "https://docs.github.com/rest"
REPOSITORY = "/repos/{owner}/{repo}"
MAX_PER_PAGE = 100


class ApiError(Exception):
    """An answer that refuses: its status, message and what is wrong in detail."""

    def __init__(
        self, status: int, message: str, *errors: dict[str, str], headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.errors = errors
        self.headers = headers or {}

    def response(self) -> Response:
        """Return it as GitHub writes it."""
        details = {"errors": list(self.errors)} if self.errors else {}
        body = {"message": self.message, **details, "documentation_url": DOCS, "status": str(self.status)}
        return JSONResponse(body, self.status, self.headers)


def invalid(resource: str, field: str, message: str) -> ApiError:
    """Return the refusal of a value."""
    error = {"resource": resource, "field": field, "code": "custom", "message": message}
    return ApiError(422, "Validation Failed", error)


@dataclass(frozen=True)
class Call:
    """A call that is permitted."""

    request: Request
    token: Token
    repository: Repository

    @property
    def api(self) -> str:
        """The address of the API."""
        return f"{self.request.url.scheme}://{self.request.headers['host']}{self.request.scope['github.prefix']}"

    @property
    def html(self) -> str:
        """The address of the pages."""
        return f"{self.request.url.scheme}://{self.request.headers['host']}"

    def param(self, name: str) -> str:
        """Return a part of the path."""
        return str(self.request.path_params[name]).replace("%2F", "/")

    def number(self, name: str) -> int:
        """Return a part of the path that is a number."""
        text = self.param(name)
        if not text.isdecimal():
            raise ApiError(404, "Not Found")
        return int(text)

    def query(self, *known: str) -> dict[str, str]:
        """Return the query. What is not known is refused, which GitHub would ignore."""
        asked = dict(self.request.query_params)
        if unknown := set(asked) - {*known, "per_page", "page"}:
            raise ApiError(422, f"unknown query parameter: {', '.join(sorted(unknown))}")
        return asked

    async def body(self, body_type: type[T]) -> T:
        """Return the body. Keys that are not described are refused, which GitHub would ignore."""
        raw = await self.request.body()
        try:
            return TypeAdapter(body_type).validate_json(raw or b"{}")
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            if first["type"] == "json_invalid":
                raise ApiError(400, "Problems parsing JSON") from error
            where = "/".join(str(part) for part in first["loc"])
            raise ApiError(422, f"Invalid request.\n\nFor '{where}', {first['msg']}.") from error

    def page(self, items: Iterable[T], *known: str) -> tuple[Sequence[T], dict[str, str]]:
        """Return the page that the query names, and the header that leads to the next one."""
        query = self.query(*known)
        size, number = (self._count(query, *bounds) for bounds in (("per_page", 30), ("page", 1)))
        listed = list(items)
        size = min(size, MAX_PER_PAGE)
        links = {}
        if number < math.ceil(len(listed) / size):
            url = self.request.url.replace(netloc=self.request.headers["host"], path=self._own_path())
            links["Link"] = f'<{url.include_query_params(page=number + 1)}>; rel="next"'
        return listed[(number - 1) * size : number * size], links

    def _own_path(self) -> str:
        raw: bytes = self.request.scope["raw_path"]
        return str(self.request.scope["github.prefix"]) + raw.decode()

    @staticmethod
    def _count(query: dict[str, str], name: str, default: int) -> int:
        text = query.get(name, str(default))
        if not text.isdecimal() or int(text) < 1:
            raise ApiError(422, f"{name}: expected a number above 0, found {text!r}")
        return int(text)


Handler = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True)
class Operation:
    """An operation on a repository. ``permission`` is as in ``X-Accepted-GitHub-Permissions``."""

    method: str
    path: str
    permission: str
    handler: Handler
    apps_only: bool = False


class OperationGate:
    """Lets calls through to operations, if the token may make them."""

    def __init__(self, state: GitHubState) -> None:
        self._state = state

    async def call(self, operation: Operation, request: Request) -> Response:
        """Return the answer of an operation, or its refusal."""
        try:
            token = self.token_of(request)
            accepted = {"X-Accepted-GitHub-Permissions": operation.permission}
            repository = _require_permission(self._repository(request.path_params), token, operation, accepted)
            response = await operation.handler(Call(request, token, repository))
            response.headers.update(accepted)
            return response
        except ApiError as error:
            return error.response()

    def _repository(self, names: Mapping[str, str]) -> Repository | None:
        """Return the repository that a path names; of an organization, one that it has."""
        if owner := names.get("org"):
            owned = (each for each in self._state.repositories.values() if each.owner == owner)
            return next((each for each in owned if each.owner_type == "Organization"), None)
        return self._state.repositories.get(f"{names['owner']}/{names['repo']}")

    def token_of(self, request: Request) -> Token:
        """Return the token of a request."""
        kind, _, value = request.headers.get("Authorization", "").partition(" ")
        if not value:
            raise ApiError(401, "Requires authentication")
        if kind.lower() not in {"bearer", "token"} or value not in self._state.tokens:
            raise ApiError(401, "Bad credentials")
        return self._state.tokens[value]


def _require_permission(
    repository: Repository | None, token: Token, operation: Operation, headers: dict[str, str]
) -> Repository:
    """Return the repository. Raises 404 if the token may not see it, 403 if it has none of the alternatives."""
    if repository is None or not token.may("metadata", "read"):
        raise ApiError(404, "Not Found", headers=headers)
    if operation.apps_only and not token.is_app:
        raise ApiError(403, "You must authenticate via a GitHub App.", headers=headers)
    if not any(_has_all(token, choice) for choice in operation.permission.split(";")):
        what = "integration" if token.is_app else "personal access token"
        raise ApiError(403, f"Resource not accessible by {what}", headers=headers)
    return repository


def _has_all(token: Token, choice: str) -> bool:
    return all(token.may(*needed.strip().split("=")) for needed in choice.split(","))


def answer(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:  # noqa: ANN401 (JSON)
    """Return a document."""
    return JSONResponse(document, status, headers)


def no_content() -> Response:
    """Return an answer without a body."""
    return Response(status_code=204)
