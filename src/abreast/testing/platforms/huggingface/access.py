"""Tokens, the addresses of Spaces, and error responses."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from abreast.testing.platforms.huggingface.space_runtime import Space

TOKEN, READ_TOKEN = "hf_write", "hf_read"


def can_write(request: Request) -> bool:
    """Return whether the token may write. Raises PermissionError(401) for an unknown token."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if token not in {TOKEN, READ_TOKEN}:
        raise PermissionError(401)
    return token == TOKEN


def require_write(request: Request) -> None:
    """Raise PermissionError(403) for a token that may not write, PermissionError(401) for an unknown one."""
    if not can_write(request):
        raise PermissionError(403)


def requested_space(spaces: Mapping[str, Space], request: Request) -> Space:
    """Return the Space in the request's path. Raises KeyError where it does not exist."""
    return spaces[f"{request.path_params['owner']}/{request.path_params['name']}"]


def authorized_space(spaces: Mapping[str, Space], request: Request) -> Space:
    """Return the Space in the request's path. Raises PermissionError(401) for an unknown token."""
    can_write(request)
    return requested_space(spaces, request)


def base_url(request: Request) -> str:
    """Return the emulator's address, without a trailing slash."""
    return str(request.base_url).rstrip("/")


def space_url(request: Request, space_id: str) -> str:
    """Return the address of a Space's page."""
    return f"{base_url(request)}/spaces/{space_id}"


async def not_found_response(_: Request, __: Exception) -> Response:
    """Answer a KeyError as the Hub answers a missing repository."""
    return JSONResponse({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})


async def refused_response(_: Request, error: Exception) -> Response:
    """Answer a PermissionError, whose argument is the status: 401 or 403."""
    status = int(error.args[0])
    message = "Invalid credentials in Authorization header" if status == 401 else "You need write access to this repo"
    return JSONResponse({"error": message}, status)
