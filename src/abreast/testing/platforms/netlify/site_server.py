"""Serves the sites and the permalinks of their deploys, with their rules."""

import mimetypes

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from abreast.testing.platforms.netlify.functions import function_for_path
from abreast.testing.platforms.netlify.model import Deploy, NetlifyState
from abreast.testing.platforms.netlify.rules import headers_for_path, parse_redirects
from abreast.testing.platforms.service_process import fetch_response

RULE_FILES = ("_redirects", "_headers", "netlify.toml")
ERROR_PAGE = "404.html"
INTERNAL = ".netlify/"


class SiteServer:
    """Serves what users get. Requests for functions are answered with 501 and the function's name."""

    def __init__(self, state: NetlifyState) -> None:
        self._state = state

    def routes(self) -> list[BaseRoute]:
        """Return the routes of sites (``/s/NAME/``) and of deploys and branches (``/d/ID--NAME/``)."""
        return [Route("/d/{deploy}/{path:path}", self._serve_deploy), Route("/s/{name}/{path:path}", self._serve_site)]

    async def _serve_deploy(self, request: Request) -> Response:
        name, _, site = request.path_params["deploy"].partition("--")
        branches = self._state.sites[f"site-{site}"].branch_deploys
        return await self._serve_path(branches.get(name, name), request.path_params["path"])

    async def _serve_site(self, request: Request) -> Response:
        wanted = request.path_params["name"]
        site = next(site for site in self._state.sites.values() if site.name == wanted)
        return await self._serve_path(site.live_deploy_id or "", request.path_params["path"])

    async def _serve_path(self, id: str, path: str) -> Response:
        deploy = self._state.deploys.get(id)
        if deploy is None:
            return Response("Not Found", 404)
        if function := function_for_path(deploy, self._state.blobs, f"/{path}"):
            return Response(f"the emulator does not run the function {function}", 501)
        rules = {name: self._read(deploy, name).decode() for name in RULE_FILES if name in deploy.files}
        response = self._file_response(deploy, path)
        for rule in parse_redirects(rules):
            to = rule.destination_for(f"/{path}")
            if to is not None and (rule.force or response is None):
                response = await self._redirect_response(deploy, to, rule.status)
                break
        response = response or self._error_page(deploy)
        response.headers.update(headers_for_path(rules, f"/{path}"))
        return response

    def _read(self, deploy: Deploy, path: str) -> bytes:
        return self._state.blobs.get(deploy.files[path], b"")

    def _file_response(self, deploy: Deploy, path: str) -> Response | None:
        for name in (path, f"{path}/index.html".lstrip("/"), f"{path}.html"):
            digest = deploy.files.get(name)
            if digest in self._state.blobs and name not in RULE_FILES and not name.startswith(INTERNAL):
                kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
                return Response(self._read(deploy, name), media_type=kind)
        return None

    def _error_page(self, deploy: Deploy) -> Response:
        page = self._file_response(deploy, ERROR_PAGE) or Response("Not Found")
        page.status_code = 404
        return page

    async def _redirect_response(self, deploy: Deploy, destination: str, status: int) -> Response | None:
        """Return a redirect, a file of the deploy, or another server's response."""
        if "://" in destination and status == 200:
            return await fetch_response(destination)
        if status not in {200, 404}:
            return Response(status_code=status, headers={"location": destination})
        response = self._file_response(deploy, destination.lstrip("/"))
        if response:
            response.status_code = status
        return response
