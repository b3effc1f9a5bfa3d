"""Serves the sites and the permalinks of their deploys, with their rules."""

import mimetypes
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from abreast.core.site_rules.rules import RULE_FILES, parse_rules
from abreast.core.site_rules.site import (
    LANGUAGE_COOKIE,
    FileAnswer,
    MissingAnswer,
    ProxyAnswer,
    RedirectAnswer,
    SiteRequest,
    StaticSite,
    preferred_language,
)
from abreast.testing.platforms.netlify.functions import function_for_path
from abreast.testing.platforms.netlify.model import Deploy, NetlifyState
from abreast.testing.platforms.service_process import pass_on

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
READING = frozenset({"GET", "HEAD"})
PROXY_TIMEOUT = 26.0
"""Seconds after which Netlify ends a request that a rule passes on."""

HOST_SUFFIX = ".localhost"


class SiteServer:
    """Serves what users get. Requests for functions are answered with 501 and the function's name."""

    def __init__(self, state: NetlifyState) -> None:
        self._state = state

    def routes(self) -> list[BaseRoute]:
        """Return the routes of sites (``/s/NAME/``) and of deploys and branches (``/d/ID--NAME/``)."""
        return [
            Route("/d/{deploy}/{path:path}", self._serve_deploy, methods=METHODS),
            Route("/s/{name}/{path:path}", self._serve_site, methods=METHODS),
        ]

    async def _serve_deploy(self, request: Request) -> Response:
        name, _, site = request.path_params["deploy"].partition("--")
        branches = self._state.sites[f"site-{site}"].branch_deploys
        return await self._serve(branches.get(name, name), request)

    async def _serve_site(self, request: Request) -> Response:
        wanted = request.path_params["name"]
        site = next(site for site in self._state.sites.values() if site.name == wanted)
        return await self._serve(site.live_deploy_id or "", request)

    async def _serve(self, id: str, request: Request) -> Response:
        deploy = self._state.deploys.get(id)
        if deploy is None:
            return Response("Not Found", 404)
        if function := self._function(deploy, f"/{request.path_params['path']}"):
            return function
        answer = self._static_site(deploy).answer(_site_request(request))
        match answer:
            case RedirectAnswer(location, status):
                return Response(status_code=status, headers={"location": location})
            case ProxyAnswer(url, headers):
                return await pass_on(request, url, headers, PROXY_TIMEOUT)
            case MissingAnswer(target) if function := self._function(deploy, target):
                return function
            case _ if request.method not in READING:
                return Response(status_code=405, headers={"allow": "GET, HEAD"})
            case FileAnswer(_, status, _) if status in self._state.unsupported_statuses:
                return Response("Not Found", 404)
            case FileAnswer(file, status, headers):
                return self._file_response(deploy, file, status, headers)
            case MissingAnswer(_, "", headers):
                return Response("Not Found", 404, dict(headers), "text/plain")
            case MissingAnswer(_, file, headers):
                return self._file_response(deploy, file, 404, headers)

    def _function(self, deploy: Deploy, path: str) -> Response | None:
        function = function_for_path(deploy, self._state.blobs, path)
        return Response(f"the emulator does not run the function {function}", 501) if function else None

    def _static_site(self, deploy: Deploy) -> StaticSite:
        rules = {name: self._read(deploy, name).decode() for name in RULE_FILES if name in deploy.files}
        return StaticSite((name for name, sha in deploy.files.items() if sha in self._state.blobs), parse_rules(rules))

    def _read(self, deploy: Deploy, path: str) -> bytes:
        return self._state.blobs.get(deploy.files[path], b"")

    def _file_response(self, deploy: Deploy, file: str, status: int, headers: Mapping[str, str]) -> Response:
        kind = mimetypes.guess_type(file)[0] or "application/octet-stream"
        response = Response(self._read(deploy, file), status, media_type=kind)
        response.headers.update(headers)
        return response


class SiteHosts:
    """Serves the site NAME at the host ``NAME.localhost`` too, as an origin of its own, and a deploy at its permalink.

    Wraps an application that has the routes of SiteServer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lead a request for a host of a site to the site's routes."""
        if scope["type"] == "http":
            host = dict(scope["headers"]).get(b"host", b"").decode("latin-1").partition(":")[0]
            if host.endswith(HOST_SUFFIX):
                name = host.removesuffix(HOST_SUFFIX)
                prefix = f"/{'d' if '--' in name else 's'}/{name}"
                scope = {**scope, "path": prefix + scope["path"], "raw_path": prefix.encode() + scope["raw_path"]}
        await self._app(scope, receive, send)


def _site_request(request: Request) -> SiteRequest:
    path = request.scope["raw_path"].decode("latin-1").split("/", 3)[3]
    cookie = request.cookies.get(LANGUAGE_COOKIE, "")
    return SiteRequest(
        f"/{path}",
        request.url.query,
        request.url.scheme,
        request.url.hostname or "",
        preferred_language(request.headers.get("accept-language", ""), cookie),
        frozenset(request.cookies),
    )
