"""Tokens, the addresses of Spaces, and error responses."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from abreast.testing.platforms.huggingface.space_runtime import Space

TOKEN, READ_TOKEN = "hf_write", "hf_read"
USER = "owner"
"""The account of both tokens."""


class HubError(Exception):
    """A refusal: a status, a message, and what the Hub calls it in ``X-Error-Code``."""

    def __init__(self, status: int, message: str, code: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code
        self.headers = headers or {}


def unauthorized() -> HubError:
    """Return the refusal of a token that nobody has."""
    return HubError(401, "Invalid credentials in Authorization header")


def token_of(request: Request) -> str:
    """Return the token of a request, "" without one. Raises HubError for an unknown one."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if token not in {TOKEN, READ_TOKEN, ""}:
        raise unauthorized()
    return token


def require_token(request: Request) -> str:
    """Return the token of a request. Raises HubError without one."""
    token = token_of(request)
    if not token:
        raise unauthorized()
    return token


def require_write(request: Request, space: Space | None = None) -> None:
    """Raise HubError for a token that may not write, or not change this Space."""
    if require_token(request) != TOKEN or (space is not None and space.read_only):
        raise HubError(403, "You need write access to this repo")


def readable_space(spaces: Mapping[str, Space], request: Request) -> Space:
    """Return the Space in the request's path. Raises HubError where it is private or missing."""
    token = token_of(request)
    space = spaces.get(f"{request.path_params['owner']}/{request.path_params['name']}")
    if space is not None and (token or not space.private):
        return space
    if not token:
        raise HubError(401, "Invalid username or password.", "RepoNotFound")
    raise HubError(404, "Repository not found", "RepoNotFound")


def writable_space(spaces: Mapping[str, Space], request: Request) -> Space:
    """Return the Space in the request's path, which the token may change. Raises HubError."""
    space = readable_space(spaces, request)
    require_write(request, space)
    return space


def base_url(request: Request) -> str:
    """Return the emulator's address, without a trailing slash."""
    return str(request.base_url).rstrip("/")


def storage_url(request: Request) -> str:
    """Return the address of the storage behind the Hub: another host, which must not get the token."""
    other = "127.0.0.1" if request.base_url.hostname == "localhost" else "localhost"
    return str(request.base_url.replace(hostname=other)).rstrip("/")


def space_url(request: Request, space_id: str) -> str:
    """Return the address of a Space's page."""
    return f"{base_url(request)}/spaces/{space_id}"


async def error_response(_: Request, error: Exception) -> Response:
    """Answer a HubError as the Hub does."""
    assert isinstance(error, HubError)
    code = {"X-Error-Code": error.code} if error.code else {}
    headers = {**error.headers, **code, "X-Error-Message": error.message}
    return JSONResponse({"error": error.message}, error.status, headers)


async def bad_request_response(_: Request, error: Exception) -> Response:
    """Answer a request that lacks a field, or whose body is not of its form."""
    return JSONResponse({"error": f"Bad request: {error}"}, 400)


async def not_emulated_response(request: Request) -> Response:
    """Answer what this emulator does not have: never with a success."""
    return JSONResponse({"error": f"not emulated: {request.method} {request.url.path}"}, 501)
