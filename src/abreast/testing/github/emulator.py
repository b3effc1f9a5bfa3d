"""The emulator: one application of all routes, and what tests read and change."""

import uuid
from pathlib import Path
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from abreast.testing.github import documents
from abreast.testing.github.actions_api import ActionsApi
from abreast.testing.github.artifacts_api import ArtifactsApi
from abreast.testing.github.calls import ApiError, Call, Operation, OperationGate, answer
from abreast.testing.github.checks_api import ChecksApi
from abreast.testing.github.comments_api import CommentsApi
from abreast.testing.github.deployments_api import DeploymentsApi
from abreast.testing.github.environments_api import EnvironmentsApi
from abreast.testing.github.git_http import GitHttp
from abreast.testing.github.id_tokens import IdTokens, WorkflowJob
from abreast.testing.github.model import GitHubState, PullRequest, Repository, Token
from abreast.testing.github.rate_limits import RateLimits
from abreast.testing.github.repository_api import RepositoryApi
from abreast.testing.github.webhooks import Webhooks
from abreast.testing.platforms.fault_injection import FaultInjector

API_VERSIONS = frozenset({"2022-11-28"})
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
ENTERPRISE_PREFIX = "/api/v3"


class GitHubEmulator(GitHubState):
    """Serve ``app`` with ``ThreadedServer``. Its API is at ``/``, and at ``/api/v3`` as an Enterprise server's is.

    ``operations`` lists what is emulated. Tests read and
    change ``faults.planned``, ``rate_limits``, ``git.is_away``, ``id_tokens`` and the inherited state.
    """

    def __init__(self, limits: RateLimits | None = None) -> None:
        super().__init__()
        self.rate_limits = limits or RateLimits()
        self.git = GitHttp(self)
        self.id_tokens = IdTokens()
        self._gate = OperationGate(self)
        webhooks = Webhooks()
        self.operations = [
            *CommentsApi(self).operations(), *DeploymentsApi(self, webhooks).operations(),
            *ChecksApi(self).operations(), *EnvironmentsApi(self).operations(), *ActionsApi(self).operations(),
            *RepositoryApi(self, webhooks).operations(), *ArtifactsApi(self).operations(),
        ]  # fmt: skip
        routes = [
            Route("/rate_limit", self._rate_limit),
            Route("/users/{login}", self._user),
            *(self._route(operation) for operation in self.operations),
            Route("/{owner}/{repo}.git/{path:path}", self.git.serve, methods=METHODS),
        ]
        app = Starlette(routes=routes, exception_handlers={404: _not_emulated, 405: _not_emulated})
        self.faults = FaultInjector(_Limits(app, self.rate_limits))
        self.app = _Addresses(self.faults, self.id_tokens.faults)

    def add_token(self, value: str, **permissions: str) -> Token:
        """Add a token of a workflow, with permissions such as ``deployments="write"``; without any, all it can have."""
        token = Token(value, {"metadata": "read", **permissions}) if permissions else Token(value)
        self.tokens[value] = token
        return token

    def add_repository(self, owner: str, name: str, path: Path) -> Repository:
        """Add a repository; ``path`` is a bare git repository that exists, to which git may push."""
        made = Repository(self.next_id(), owner, name, path)
        made.git("config", "http.receivepack", "true")
        self.repositories[made.full_name] = made
        return made

    def add_pull_request(self, repository: Repository, number: int, *commits: str) -> PullRequest:
        """Add a pull request that has commits."""
        made = PullRequest(number, list(commits))
        repository.pull_requests.append(made)
        return made

    def add_job(self, job: WorkflowJob) -> WorkflowJob:
        """Add a job that may ask for ID tokens."""
        self.id_tokens.jobs.append(job)
        return job

    def _route(self, operation: Operation) -> Route:
        async def endpoint(request: Request) -> Response:
            return await self._gate.call(operation, request)

        return Route(operation.path, endpoint, methods=[operation.method])

    async def _rate_limit(self, request: Request) -> Response:
        try:
            return self.rate_limits.overview(self._gate.token_of(request).value)
        except ApiError as error:
            return error.response()

    async def _user(self, request: Request) -> Response:
        try:
            token = self._gate.token_of(request)
        except ApiError as error:
            return error.response()
        login = request.path_params["login"]
        if login not in self.users:
            return ApiError(404, "Not Found").response()
        call = Call(request, token, Repository(0, "", "", Path()))
        return answer(documents.public_user(call, login, self.users[login]))


class _Addresses:
    """Middleware: the API's address of an Enterprise server, names in paths that have a slash in them, other services.

    ``services`` answers what is no part of the API, as on an Enterprise server.
    """

    def __init__(self, app: ASGIApp, services: ASGIApp) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/_services/"):
            await self._services(scope, receive, send)
            return
        if scope["type"] == "http":
            raw = scope["raw_path"].decode()
            prefix = ENTERPRISE_PREFIX if raw.startswith(f"{ENTERPRISE_PREFIX}/") else ""
            raw = raw.removeprefix(prefix)
            path = "/".join(unquote(part).replace("/", "%2F") for part in raw.split("/"))
            scope = {**scope, "path": path, "raw_path": raw.encode(), "github.prefix": prefix}
        await self._app(scope, receive, send)


class _Limits:
    """Middleware before the API: rate limits, and what every request must have."""

    def __init__(self, app: ASGIApp, limits: RateLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or ".git/" in scope["path"] or scope["path"] == "/rate_limit":
            await self._app(scope, receive, send)
            return
        headers = MutableHeaders(scope=scope)
        token = headers.get("Authorization", "").rpartition(" ")[2]
        refusal = _refuse_headers(headers) or self._limits.refuse(token, scope["method"])

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = {**self._limits.headers(token), "X-GitHub-Request-Id": uuid.uuid4().hex}
                MutableHeaders(scope=message).update(told)
            await send(message)

        await (refusal or self._app)(scope, receive, send_with_headers)


def _refuse_headers(headers: MutableHeaders) -> Response | None:
    if not headers.get("User-Agent"):
        return ApiError(
            403, "Request forbidden by administrative rules. Please make sure your request has a User-Agent header"
        ).response()
    version = headers.get("X-GitHub-Api-Version", "2022-11-28")
    if version not in API_VERSIONS:
        return ApiError(400, f"'{version}' is not a supported version of the API").response()
    return None


async def _not_emulated(request: Request, _: Exception) -> Response:
    is_api = request.url.path.startswith(("/repos/", "/graphql", "/user", "/orgs/"))
    status = 501 if is_api else 404
    return ApiError(status, f"not emulated: {request.method} {request.url.path}").response()
