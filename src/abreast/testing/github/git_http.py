"""git over HTTP: git's own ``http-backend`` behind a token that may read, or read and push."""

import asyncio
import base64
import binascii
import os
from email.parser import BytesHeaderParser

from starlette.requests import Request
from starlette.responses import Response

from abreast.testing.github.model import GitHubState, Repository, Token

BACKEND = ("git", "http-backend")


class GitHttp:
    """Serves repositories to git. ``is_away`` makes all of them answer 503."""

    def __init__(self, state: GitHubState) -> None:
        self._state = state
        self.is_away = False

    async def serve(self, request: Request) -> Response:
        """Answer a request of git."""
        if self.is_away:
            return Response("Service Unavailable\n", 503)
        token = self._token(request)
        if token is None:
            return Response("Bad credentials\n", 401, {"WWW-Authenticate": 'Basic realm="GitHub"'})
        repository = self._state.repositories.get(f"{request.path_params['owner']}/{request.path_params['repo']}")
        if repository is None or not token.may("contents", "read"):
            return Response("Repository not found.\n", 404)
        if _is_push(request) and not token.may("contents", "write"):
            return Response(f"Permission to {repository.full_name}.git denied to {token.login}.\n", 403)
        return await _run_backend(request, repository)

    def _token(self, request: Request) -> Token | None:
        """Return the token, which is the password; the name beside it says nothing."""
        kind, _, value = request.headers.get("Authorization", "").partition(" ")
        if kind.lower() != "basic":
            return None
        try:
            password = base64.b64decode(value).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return None
        return self._state.tokens.get(password)


def _is_push(request: Request) -> bool:
    return "git-receive-pack" in (request.query_params.get("service", ""), request.path_params["path"])


async def _run_backend(request: Request, repository: Repository) -> Response:
    body = await request.body()
    environment = {
        "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(repository.path), "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{request.path_params['path']}", "REQUEST_METHOD": request.method,
        "QUERY_STRING": request.url.query, "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""), "CONTENT_LENGTH": str(len(body)),
        "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""), "REMOTE_USER": "git", "REMOTE_ADDR": "127.0.0.1",
        "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *BACKEND, env=environment, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate(body)
    head, _, content = output.partition(b"\r\n\r\n")
    headers = dict(BytesHeaderParser().parsebytes(head).items())
    status = int(headers.pop("Status", "200").split()[0])
    return Response(content, status, headers)
