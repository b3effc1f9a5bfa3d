"""The API of sites: what they are, their files, branches and certificates; and who may change them."""

import mimetypes
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from abreast.testing.platforms.common import require_token
from abreast.testing.platforms.netlify.documents import site_document
from abreast.testing.platforms.netlify.model import ACCOUNT, API, TOKEN, USER, Deploy, NetlifyState, base_url, page_of

SITE = f"{API}/sites/{{site}}"
OTHER_MEMBER = {"id": "2", "email": "other@example.org", "role": "Owner"}


class SitesApi:
    """Serves the operations of sites, the team and the user."""

    def __init__(self, state: NetlifyState) -> None:
        self._state = state

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        team = f"{API}/{ACCOUNT['slug']}"
        return [
            Route(f"{API}/accounts", self._list_accounts, methods=["GET"]),
            Route(f"{API}/accounts/{{account}}", self._get_account, methods=["GET"]),
            Route(f"{API}/user", self._get_user, methods=["GET"]),
            Route(f"{team}/members", self._list_members, methods=["GET"]),
            Route(f"{team}/members/{{member}}", self._get_member, methods=["GET"]),
            Route(f"{team}/sites", self._list, methods=["GET"]),
            Route(f"{API}/sites", self._list, methods=["GET"]),
            Route(SITE, self._get, methods=["GET"]),
            Route(f"{SITE}/ssl", self._certificate, methods=["GET", "POST"]),
            Route(f"{SITE}/deployed-branches", self._list_branches, methods=["GET"]),
            Route(f"{SITE}/files", self._list_files, methods=["GET"]),
            Route(f"{SITE}/files/{{path:path}}", self._get_file, methods=["GET"]),
        ]

    async def _list_accounts(self, request: Request) -> Response:
        require_token(request, TOKEN)
        return JSONResponse([ACCOUNT])

    async def _get_account(self, request: Request) -> Response:
        require_token(request, TOKEN)
        if request.path_params["account"] not in {ACCOUNT["id"], ACCOUNT["slug"]}:
            raise KeyError(request.path_params["account"])
        return JSONResponse(ACCOUNT)

    async def _get_user(self, request: Request) -> Response:
        require_token(request, TOKEN)
        return JSONResponse(USER)

    def _members(self, request: Request) -> dict[str, dict[str, str]]:
        require_token(request, TOKEN)
        return {member["id"]: member for member in (OTHER_MEMBER, {**USER, "role": self._state.role})}

    async def _list_members(self, request: Request) -> Response:
        return JSONResponse(list(self._members(request).values()))

    async def _get_member(self, request: Request) -> Response:
        return JSONResponse(self._members(request)[request.path_params["member"]])

    async def _list(self, request: Request) -> Response:
        """Return the sites whose name contains ``name``; of guests there are none."""
        require_token(request, TOKEN)
        name, guests = request.query_params.get("name", ""), request.query_params.get("filter") == "guest"
        sites = [site for site in self._state.sites.values() if name in site.name and not guests]
        return JSONResponse([site_document(self._state, request, site) for site in page_of(request, sites)])

    async def _get(self, request: Request) -> Response:
        return JSONResponse(site_document(self._state, request, self._state.authorized_site(request)))

    async def _certificate(self, request: Request) -> Response:
        site = self._state.authorized_site(request)
        if request.method == "POST" and site.certificate_expires_at is None:
            site.certificate_expires_at = datetime.now(UTC) + timedelta(days=90)
        if site.certificate_expires_at is None:
            raise KeyError(site.id)
        return JSONResponse(
            {"state": "issued", "domains": [site.domain], "expires_at": site.certificate_expires_at.isoformat()}
        )

    async def _list_branches(self, request: Request) -> Response:
        site = self._state.authorized_site(request)
        branches = []
        for name, deploy in site.branch_deploys.items():
            url = f"{base_url(request)}/d/{name}--{site.name}"
            branches.append({"id": name, "name": name, "slug": name, "deploy_id": deploy, "url": url, "ssl_url": url})
        return JSONResponse(branches)

    async def _list_files(self, request: Request) -> Response:
        live = self._state.live_deploy(self._state.authorized_site(request))
        return JSONResponse([self._file(live, path) for path in live.files] if live else [])

    async def _get_file(self, request: Request) -> Response:
        live = self._state.live_deploy(self._state.authorized_site(request))
        path = request.path_params["path"].lstrip("/")
        if live is None or path not in live.files:
            raise KeyError(path)
        return JSONResponse(self._file(live, path))

    def _file(self, deploy: Deploy, path: str) -> dict[str, Any]:
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        size = len(self._state.blobs.get(deploy.files[path], b""))
        return {"id": f"/{path}", "path": f"/{path}", "sha": deploy.files[path], "mime_type": kind, "size": size}
