"""Netlify's API, emulated: sites, deploys by digest, drafts, publishing, locks. It also serves the sites."""

import hashlib
import mimetypes
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abreast.testing.platforms.common import require_token, utc_timestamp
from abreast.testing.platforms.fault_injection import FaultInjector
from abreast.testing.platforms.netlify_rules import headers_for_path, parse_redirects
from abreast.testing.platforms.service_process import fetch_response

TOKEN = "netlify-token"  # noqa: S105 (the emulator's own)
USER = {"id": "1", "email": "me@example.org", "full_name": "Me"}
PRODUCTION_BRANCH = "main"

RULE_FILES = ("_redirects", "_headers", "netlify.toml")
ACCOUNT = {"id": "acc1", "name": "Team", "slug": "team", "type": "PRO", "roles_allowed": ["Owner"]}


@dataclass
class Deploy:
    """A deploy. ``files`` maps paths to SHA-1s. ``state`` changes to ``pending_states``, not before ``done_at``."""

    id: str
    site_id: str
    title: str
    draft: bool
    files: dict[str, str] = field(default_factory=dict)
    state: str = "new"
    pending_states: list[str] = field(default_factory=list)
    branch: str = "main"
    created_at: str = ""
    published_at: str | None = None
    locked: bool = False
    error: str | None = None
    missing_digests: set[str] = field(default_factory=set)
    done_at: float = 0.0


@dataclass
class Site:
    """A site. ``branch_deploys`` maps branches to deploy ids, ``env`` names to variables as the API returns them."""

    id: str
    name: str
    live_deploy_id: str | None = None
    branch_deploys: dict[str, str] = field(default_factory=dict)
    env: dict[str, dict[str, Any]] = field(default_factory=dict)
    domain: str = ""
    certificate_expires_at: datetime | None = None


class NetlifyEmulator:
    """Serve ``app`` with ``ThreadedServer``. Tests read and change the other attributes, and ``faults.planned``.

    ``stuck_state``: deploys never leave this state. ``build_error``: deploys end as ``error`` with this message.
    ``role``: the token owner's role in the team. ``work_seconds`` returns the processing time of a deploy whose
    files are all uploaded.
    """

    def __init__(self) -> None:
        self.sites: dict[str, Site] = {}
        self.deploys: dict[str, Deploy] = {}
        self.blobs: dict[str, bytes] = {}
        self.stuck_state: str | None = None
        self.build_error: str | None = None
        self.role = "Developer"
        self.work_seconds: Callable[[], float] = float
        api = "/api/v1"
        self.faults = FaultInjector(Starlette(routes=[
            Route(f"{api}/deploys/{{deploy}}/files/{{path:path}}", self._upload_file, methods=["PUT"]),
            Route(f"{api}/accounts", self._list_accounts),
            Route(f"{api}/user", self._get_user),
            Route(f"{api}/{ACCOUNT['slug']}/members", self._list_members),
            Route(f"{api}/accounts/{{account}}/env", self._variables, methods=["GET", "POST"]),
            Route(f"{api}/accounts/{{account}}/env/{{key}}", self._set_variable, methods=["PATCH"]),
            Route(f"{api}/sites", self._list_sites),
            Route(f"{api}/sites/{{site}}", self._get_site),
            Route(f"{api}/sites/{{site}}/ssl", self._certificate, methods=["GET", "POST"]),
            Route(f"{api}/sites/{{site}}/deployed-branches", self._list_deployed_branches),
            Route(f"{api}/sites/{{site}}/deploys", self._list_deploys, methods=["GET"]),
            Route(f"{api}/sites/{{site}}/deploys", self._create_deploy, methods=["POST"]),
            Route(f"{api}/sites/{{site}}/deploys/{{deploy}}", self._update_deploy, methods=["PUT"]),
            Route(f"{api}/sites/{{site}}/deploys/{{deploy}}", self._get_deploy, methods=["GET"]),
            Route(f"{api}/sites/{{site}}/deploys/{{deploy}}/restore", self._restore_deploy, methods=["POST"]),
            Route(f"{api}/deploys/{{deploy}}", self._get_deploy, methods=["GET"]),
            Route(f"{api}/deploys/{{deploy}}", self._delete_deploy, methods=["DELETE"]),
            Route(f"{api}/deploys/{{deploy}}/cancel", self._cancel_deploy, methods=["POST"]),
            Route(f"{api}/deploys/{{deploy}}/lock", self._lock_deploy, methods=["POST"]),
            Route(f"{api}/deploys/{{deploy}}/unlock", self._unlock_deploy, methods=["POST"]),
            Route("/d/{deploy}/{path:path}", self._serve_deploy),
            Route("/s/{name}/{path:path}", self._serve_site),
        ], exception_handlers={KeyError: _not_found_response, PermissionError: _unauthorized_response}))  # fmt: skip
        self.app = self.faults

    def add_site(self, name: str) -> Site:
        """Add a site without a deploy."""
        site = Site(f"site-{name}", name)
        self.sites[site.id] = site
        return site

    # ── API requests ───────────────────────────────────────────────────────────────────────────

    async def _list_accounts(self, request: Request) -> Response:
        require_token(request, TOKEN)
        return JSONResponse([ACCOUNT])

    async def _get_user(self, request: Request) -> Response:
        require_token(request, TOKEN)
        return JSONResponse(USER)

    async def _list_members(self, request: Request) -> Response:
        require_token(request, TOKEN)
        return JSONResponse([{"id": "2", "email": "other@example.org", "role": "Owner"}, {**USER, "role": self.role}])

    async def _variables(self, request: Request) -> Response:
        require_token(request, TOKEN)
        site = self.sites.get(request.query_params.get("site_id", ""), Site("", ""))
        if request.method == "GET":
            return JSONResponse(list(site.env.values()))
        added = {variable["key"]: variable for variable in await request.json()}
        if existing := site.env.keys() & added.keys():
            return JSONResponse({"code": 409, "message": f"{min(existing)} already exists"}, 409)
        site.env |= added
        return JSONResponse(list(added.values()), 201)

    async def _set_variable(self, request: Request) -> Response:
        require_token(request, TOKEN)
        value = await request.json()
        variable = self.sites[request.query_params["site_id"]].env[request.path_params["key"]]
        context = value["context"], value.get("context_parameter")
        kept = [value for value in variable["values"] if (value["context"], value.get("context_parameter")) != context]
        variable["values"] = [*kept, value]
        return JSONResponse(variable, 201)

    async def _list_deployed_branches(self, request: Request) -> Response:
        site = self._authorized_site(request)
        branches = []
        for name, deploy in site.branch_deploys.items():
            url = f"{_base_url(request)}/d/{name}--{site.name}"
            branches.append({"id": name, "name": name, "slug": name, "deploy_id": deploy, "url": url, "ssl_url": url})
        return JSONResponse(branches)

    async def _list_sites(self, request: Request) -> Response:
        require_token(request, TOKEN)
        name = request.query_params.get("name")
        sites = [site for site in self.sites.values() if name in {None, site.name}]
        return JSONResponse([self._site_json(request, site) for site in sites])

    async def _get_site(self, request: Request) -> Response:
        return JSONResponse(self._site_json(request, self._authorized_site(request)))

    async def _certificate(self, request: Request) -> Response:
        site = self._authorized_site(request)
        if request.method == "POST" and site.certificate_expires_at is None:
            site.certificate_expires_at = datetime.now(UTC) + timedelta(days=90)
        if site.certificate_expires_at is None:
            return JSONResponse({"code": 404, "message": "Not Found"}, 404)
        return JSONResponse(
            {"state": "issued", "domains": [site.domain], "expires_at": site.certificate_expires_at.isoformat()}
        )

    async def _list_deploys(self, request: Request) -> Response:
        site = self._authorized_site(request)
        page, size = (int(request.query_params.get(name, value)) for name, value in (("page", 1), ("per_page", 100)))
        deploys = [deploy for deploy in reversed(self.deploys.values()) if deploy.site_id == site.id]
        return JSONResponse([self._deploy_json(request, each) for each in deploys[(page - 1) * size : page * size]])

    async def _create_deploy(self, request: Request) -> Response:
        site, body = self._authorized_site(request), await request.json()
        deploy = Deploy(
            id=secrets.token_hex(12),
            site_id=site.id,
            title=request.query_params.get("title", body.get("title", "")),
            draft=bool(body.get("draft")),
            branch=body.get("branch") or PRODUCTION_BRANCH,
            created_at=utc_timestamp(),
        )
        self.deploys[deploy.id] = deploy
        if "files" in body:
            self._accept_files(deploy, body)
        return JSONResponse(self._deploy_json(request, deploy))

    async def _update_deploy(self, request: Request) -> Response:
        deploy, body = self._authorized_deploy(request), await request.json()
        self._accept_files(deploy, body)
        return JSONResponse(self._deploy_json(request, deploy))

    async def _get_deploy(self, request: Request) -> Response:
        deploy = self._authorized_deploy(request)
        self._advance(deploy)
        return JSONResponse(self._deploy_json(request, deploy))

    async def _delete_deploy(self, request: Request) -> Response:
        deploy = self._authorized_deploy(request)
        if self.sites[deploy.site_id].live_deploy_id == deploy.id:
            return JSONResponse({"code": 422, "message": "the published deploy cannot be deleted"}, 422)
        del self.deploys[deploy.id]
        return Response(status_code=204)

    async def _upload_file(self, request: Request) -> Response:
        deploy, content = self._authorized_deploy(request), await request.body()
        path = request.path_params["path"]
        digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        if deploy.files.get(path.lstrip("/")) != digest:
            return JSONResponse({"code": 422, "message": f"{path} does not match the digest of the deploy"}, 422)
        self.blobs[digest] = content
        for other in self.deploys.values():
            other.missing_digests.discard(digest)
        if not deploy.missing_digests and not self.build_error:
            self._start_processing(deploy)
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        file = {"id": path, "path": f"/{path}", "sha": digest, "mime_type": kind, "size": len(content)}
        return JSONResponse(file)

    async def _cancel_deploy(self, request: Request) -> Response:
        deploy = self._authorized_deploy(request)
        deploy.state, deploy.error, deploy.pending_states = "error", "Canceled", []
        return JSONResponse(self._deploy_json(request, deploy), 201)

    async def _restore_deploy(self, request: Request) -> Response:
        site, deploy = self._authorized_site(request), self._authorized_deploy(request)
        live = self.deploys.get(site.live_deploy_id or "")
        if deploy.state != "ready":
            return JSONResponse({"code": 422, "message": "the deploy is not ready"}, 422)
        if not (live and live.locked):
            self._publish(deploy)
        return JSONResponse(self._deploy_json(request, deploy), 201)

    async def _lock_deploy(self, request: Request) -> Response:
        return self._set_locked(request, locked=True)

    async def _unlock_deploy(self, request: Request) -> Response:
        return self._set_locked(request, locked=False)

    def _set_locked(self, request: Request, *, locked: bool) -> Response:
        deploy = self._authorized_deploy(request)
        deploy.locked = locked
        return JSONResponse(self._deploy_json(request, deploy))

    # ── Sites ──────────────────────────────────────────────────────────────────────────────────

    async def _serve_deploy(self, request: Request) -> Response:
        name, _, site = request.path_params["deploy"].partition("--")
        branches = self.sites[f"site-{site}"].branch_deploys
        return await self._serve_path(branches.get(name, name), request.path_params["path"])

    async def _serve_site(self, request: Request) -> Response:
        site = next(site for site in self.sites.values() if site.name == request.path_params["name"])
        return await self._serve_path(site.live_deploy_id or "", request.path_params["path"])

    async def _serve_path(self, deploy: str, path: str) -> Response:
        files = self.deploys[deploy].files if deploy in self.deploys else {}
        rules = {name: self.blobs[files[name]].decode() for name in RULE_FILES if files.get(name) in self.blobs}
        response = self._file_response(files, path)
        for rule in parse_redirects(rules):
            to = rule.destination_for(f"/{path}")
            if to is not None and (rule.force or response is None):
                response = await self._redirect_response(files, to, rule.status)
                break
        response = response or Response("Not Found", 404)
        response.headers.update(headers_for_path(rules, f"/{path}"))
        return response

    def _file_response(self, files: dict[str, str], path: str) -> Response | None:
        for name in (path, f"{path}/index.html".lstrip("/"), f"{path}.html"):
            if name in files and files[name] in self.blobs and name not in RULE_FILES:
                kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
                return Response(self.blobs[files[name]], media_type=kind)
        return None

    async def _redirect_response(self, files: dict[str, str], destination: str, status: int) -> Response | None:
        """Return a redirect, a file of the deploy, or another server's response."""
        if status != 200:
            return Response(status_code=status, headers={"location": destination})
        if "://" in destination:
            return await fetch_response(destination)
        return self._file_response(files, destination.lstrip("/"))

    # ── Deploys ────────────────────────────────────────────────────────────────────────────────

    def _accept_files(self, deploy: Deploy, body: dict[str, Any]) -> None:
        deploy.files = {path.lstrip("/"): digest for path, digest in body.get("files", {}).items()}
        deploy.missing_digests = set(deploy.files.values()).difference(self.blobs)
        if self.build_error:
            deploy.state, deploy.pending_states = "processing", ["error"]
        elif deploy.missing_digests:
            deploy.state = "preparing" if body.get("async") else "uploading"
            deploy.pending_states = ["prepared"] if body.get("async") else []
        else:
            self._start_processing(deploy)

    def _start_processing(self, deploy: Deploy) -> None:
        deploy.state, deploy.pending_states = "processing", ["ready"]
        deploy.done_at = time.monotonic() + self.work_seconds()

    def _advance(self, deploy: Deploy) -> None:
        if not deploy.pending_states or deploy.state == self.stuck_state or time.monotonic() < deploy.done_at:
            return
        deploy.state = deploy.pending_states.pop(0)
        if deploy.state == "error":
            deploy.error = self.build_error
        if deploy.state == "ready" and deploy.branch != PRODUCTION_BRANCH:
            self.sites[deploy.site_id].branch_deploys[deploy.branch] = deploy.id
        elif deploy.state == "ready" and not deploy.draft:
            live = self.deploys.get(self.sites[deploy.site_id].live_deploy_id or "")
            if not (live and live.locked):
                self._publish(deploy)

    def _publish(self, deploy: Deploy) -> None:
        deploy.draft, deploy.published_at = False, utc_timestamp()
        self.sites[deploy.site_id].live_deploy_id = deploy.id

    # ── Responses ──────────────────────────────────────────────────────────────────────────────

    def _site_json(self, request: Request, site: Site) -> dict[str, Any]:
        address = f"{_base_url(request)}/s/{site.name}"
        live = self.deploys.get(site.live_deploy_id or "")
        return {
            "id": site.id, "name": site.name, "state": "current", "url": address, "ssl_url": address,
            "admin_url": f"{_base_url(request)}/admin/{site.name}", "account_id": ACCOUNT["id"],
            "account_slug": ACCOUNT["slug"], "account_name": ACCOUNT["name"], "ssl": True, "force_ssl": True,
            "custom_domain": site.domain, "build_settings": {}, "capabilities": {},
            "created_at": "2026-01-01T00:00:00.000Z",
            **({"published_deploy": self._deploy_json(request, live)} if live else {}),
        }  # fmt: skip

    def _deploy_json(self, request: Request, deploy: Deploy) -> dict[str, Any]:
        site = self.sites[deploy.site_id]
        address, permalink = f"{_base_url(request)}/s/{site.name}", f"{_base_url(request)}/d/{deploy.id}--{site.name}"
        document = {
            "id": deploy.id, "site_id": site.id, "state": deploy.state, "name": site.name, "draft": deploy.draft,
            "url": address, "ssl_url": address, "deploy_url": permalink, "deploy_ssl_url": permalink,
            "admin_url": f"{_base_url(request)}/admin/{site.name}", "required": sorted(deploy.missing_digests),
            "required_functions": [], "branch": deploy.branch,
            "context": "production" if deploy.branch == PRODUCTION_BRANCH else "branch-deploy", "locked": deploy.locked,
            "title": deploy.title, "created_at": deploy.created_at, "updated_at": deploy.created_at,
        }  # fmt: skip
        return {
            **document,
            **({"published_at": deploy.published_at} if deploy.published_at else {}),
            **({"error_message": deploy.error} if deploy.error else {}),
        }

    def _authorized_site(self, request: Request) -> Site:
        require_token(request, TOKEN)
        name_or_id = request.path_params["site"]
        by_name = {site.name: site for site in self.sites.values()}
        return by_name.get(name_or_id) or self.sites[name_or_id]

    def _authorized_deploy(self, request: Request) -> Deploy:
        require_token(request, TOKEN)
        return self.deploys[request.path_params["deploy"]]


async def _not_found_response(_: Request, __: Exception) -> Response:
    return JSONResponse({"code": 404, "message": "Not Found"}, 404)


async def _unauthorized_response(_: Request, __: Exception) -> Response:
    return JSONResponse({"code": 401, "message": "Access Denied"}, 401)


def _base_url(request: Request) -> str:
    return str(request.base_url).rstrip("/")
