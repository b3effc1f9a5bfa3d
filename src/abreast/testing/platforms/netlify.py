"""Netlify's API, emulated: sites, deploys by digest, drafts, publishing, locks; and the sites themselves."""

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

from abreast.testing.platforms.common import authorised, now
from abreast.testing.platforms.faults import Faults
from abreast.testing.platforms.netlify_rules import headers, redirects
from abreast.testing.platforms.running import fetched

TOKEN = "netlify-token"  # noqa: S105 (the emulator's own)
ME = {"id": "1", "email": "me@example.org", "full_name": "Me"}
MAIN = "main"
"""The branch of production."""

RULES = ("_redirects", "_headers", "netlify.toml")
ACCOUNT = {"id": "acc1", "name": "Team", "slug": "team", "type": "PRO", "roles_allowed": ["Owner"]}


@dataclass
class Deploy:
    """A deploy as it is kept: ``files`` maps paths to SHA-1s, ``steps`` are states yet to come."""

    id: str
    site_id: str
    title: str
    draft: bool
    files: dict[str, str] = field(default_factory=dict)
    state: str = "new"
    steps: list[str] = field(default_factory=list)
    branch: str = "main"
    created: str = ""
    published: str | None = None
    locked: bool = False
    error: str | None = None
    lacking: set[str] = field(default_factory=set)
    due: float = 0.0


@dataclass
class Site:
    """A site; ``live`` is the deploy that its users reach, ``certified`` when the certificate of its domain ends."""

    id: str
    name: str
    live: str | None = None
    branches: dict[str, str] = field(default_factory=dict)
    env: dict[str, dict[str, Any]] = field(default_factory=dict)
    domain: str = ""
    certified: datetime | None = None


class NetlifyEmulator:
    """Use ``app`` with ``Served``; ``sites``, ``deploys`` and ``faults.planned`` can be read and changed.

    ``stuck``: a deploy stays in this state for ever. ``broken``: deploys end as ``error`` with this reason.
    ``takes`` gives the seconds for which a deploy is worked on once all files are there.
    """

    def __init__(self) -> None:
        self.sites: dict[str, Site] = {}
        self.deploys: dict[str, Deploy] = {}
        self.blobs: dict[str, bytes] = {}
        self.stuck: str | None = None
        self.broken: str | None = None
        self.role = "Developer"
        self.takes: Callable[[], float] = float
        api = "/api/v1"
        self.faults = Faults(Starlette(routes=[
            Route(f"{api}/deploys/{{deploy}}/files/{{path:path}}", self._upload, methods=["PUT"]),
            Route(f"{api}/accounts", self._accounts),
            Route(f"{api}/user", self._user),
            Route(f"{api}/{ACCOUNT['slug']}/members", self._members),
            Route(f"{api}/accounts/{{account}}/env", self._variables, methods=["GET", "POST"]),
            Route(f"{api}/accounts/{{account}}/env/{{key}}", self._set_variable, methods=["PATCH"]),
            Route(f"{api}/sites", self._sites),
            Route(f"{api}/sites/{{site}}", self._site),
            Route(f"{api}/sites/{{site}}/ssl", self._certificate, methods=["GET", "POST"]),
            Route(f"{api}/sites/{{site}}/deployed-branches", self._deployed_branches),
            Route(f"{api}/sites/{{site}}/deploys", self._list, methods=["GET"]),
            Route(f"{api}/sites/{{site}}/deploys", self._create, methods=["POST"]),
            Route(f"{api}/sites/{{site}}/deploys/{{deploy}}", self._update, methods=["PUT"]),
            Route(f"{api}/sites/{{site}}/deploys/{{deploy}}", self._get, methods=["GET"]),
            Route(f"{api}/sites/{{site}}/deploys/{{deploy}}/restore", self._restore, methods=["POST"]),
            Route(f"{api}/deploys/{{deploy}}", self._get, methods=["GET"]),
            Route(f"{api}/deploys/{{deploy}}", self._delete, methods=["DELETE"]),
            Route(f"{api}/deploys/{{deploy}}/cancel", self._cancel, methods=["POST"]),
            Route(f"{api}/deploys/{{deploy}}/lock", self._lock, methods=["POST"]),
            Route(f"{api}/deploys/{{deploy}}/unlock", self._unlock, methods=["POST"]),
            Route("/d/{deploy}/{path:path}", self._serve_deploy),
            Route("/s/{name}/{path:path}", self._serve_site),
        ], exception_handlers={KeyError: _not_found, PermissionError: _refused}))  # fmt: skip
        self.app = self.faults

    def add_site(self, name: str) -> Site:
        """Make a site, without a deploy."""
        site = Site(f"site-{name}", name)
        self.sites[site.id] = site
        return site

    # ── what is asked ──────────────────────────────────────────────────────────────────────────

    async def _accounts(self, request: Request) -> Response:
        authorised(request, TOKEN)
        return JSONResponse([ACCOUNT])

    async def _user(self, request: Request) -> Response:
        authorised(request, TOKEN)
        return JSONResponse(ME)

    async def _members(self, request: Request) -> Response:
        authorised(request, TOKEN)
        return JSONResponse([{"id": "2", "email": "other@example.org", "role": "Owner"}, {**ME, "role": self.role}])

    async def _variables(self, request: Request) -> Response:
        authorised(request, TOKEN)
        site = self.sites.get(request.query_params.get("site_id", ""), Site("", ""))
        if request.method == "GET":
            return JSONResponse(list(site.env.values()))
        added = {one["key"]: one for one in await request.json()}
        if taken := site.env.keys() & added.keys():
            return JSONResponse({"code": 409, "message": f"{min(taken)} is there already"}, 409)
        site.env |= added
        return JSONResponse(list(added.values()), 201)

    async def _set_variable(self, request: Request) -> Response:
        authorised(request, TOKEN)
        value = await request.json()
        variable = self.sites[request.query_params["site_id"]].env[request.path_params["key"]]
        context = value["context"], value.get("context_parameter")
        kept = [one for one in variable["values"] if (one["context"], one.get("context_parameter")) != context]
        variable["values"] = [*kept, value]
        return JSONResponse(variable, 201)

    async def _deployed_branches(self, request: Request) -> Response:
        site = self._asked_site(request)
        told = []
        for name, deploy in site.branches.items():
            url = f"{_base(request)}/d/{name}--{site.name}"
            told.append({"id": name, "name": name, "slug": name, "deploy_id": deploy, "url": url, "ssl_url": url})
        return JSONResponse(told)

    async def _sites(self, request: Request) -> Response:
        authorised(request, TOKEN)
        name = request.query_params.get("name")
        return JSONResponse([self._of_site(request, one) for one in self.sites.values() if name in {None, one.name}])

    async def _site(self, request: Request) -> Response:
        return JSONResponse(self._of_site(request, self._asked_site(request)))

    async def _certificate(self, request: Request) -> Response:
        site = self._asked_site(request)
        if request.method == "POST" and site.certified is None:
            site.certified = datetime.now(UTC) + timedelta(days=90)
        if site.certified is None:
            return JSONResponse({"code": 404, "message": "Not Found"}, 404)
        return JSONResponse({"state": "issued", "domains": [site.domain], "expires_at": site.certified.isoformat()})

    async def _list(self, request: Request) -> Response:
        site = self._asked_site(request)
        page, size = (int(request.query_params.get(name, value)) for name, value in (("page", 1), ("per_page", 100)))
        found = [one for one in reversed(self.deploys.values()) if one.site_id == site.id]
        return JSONResponse([self._of_deploy(request, one) for one in found[(page - 1) * size : page * size]])

    async def _create(self, request: Request) -> Response:
        site, body = self._asked_site(request), await request.json()
        deploy = Deploy(
            id=secrets.token_hex(12),
            site_id=site.id,
            title=request.query_params.get("title", body.get("title", "")),
            draft=bool(body.get("draft")),
            branch=body.get("branch") or MAIN,
            created=now(),
        )
        self.deploys[deploy.id] = deploy
        if "files" in body:
            self._take(deploy, body)
        return JSONResponse(self._of_deploy(request, deploy))

    async def _update(self, request: Request) -> Response:
        deploy, body = self._asked_deploy(request), await request.json()
        self._take(deploy, body)
        return JSONResponse(self._of_deploy(request, deploy))

    async def _get(self, request: Request) -> Response:
        deploy = self._asked_deploy(request)
        self._go_on(deploy)
        return JSONResponse(self._of_deploy(request, deploy))

    async def _delete(self, request: Request) -> Response:
        deploy = self._asked_deploy(request)
        if self.sites[deploy.site_id].live == deploy.id:
            return JSONResponse({"code": 422, "message": "the published deploy cannot be deleted"}, 422)
        del self.deploys[deploy.id]
        return Response(status_code=204)

    async def _upload(self, request: Request) -> Response:
        deploy, content = self._asked_deploy(request), await request.body()
        path = request.path_params["path"]
        digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        if deploy.files.get(path.lstrip("/")) != digest:
            return JSONResponse({"code": 422, "message": f"{path} is not what the deploy said"}, 422)
        self.blobs[digest] = content
        for one in self.deploys.values():
            one.lacking.discard(digest)
        if not deploy.lacking and not self.broken:
            self._complete(deploy)
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        told = {"id": path, "path": f"/{path}", "sha": digest, "mime_type": kind, "size": len(content)}
        return JSONResponse(told)

    async def _cancel(self, request: Request) -> Response:
        deploy = self._asked_deploy(request)
        deploy.state, deploy.error, deploy.steps = "error", "Canceled", []
        return JSONResponse(self._of_deploy(request, deploy), 201)

    async def _restore(self, request: Request) -> Response:
        site, deploy = self._asked_site(request), self._asked_deploy(request)
        live = self.deploys.get(site.live or "")
        if deploy.state != "ready":
            return JSONResponse({"code": 422, "message": "the deploy is not ready"}, 422)
        if not (live and live.locked):
            self._publish(deploy)
        return JSONResponse(self._of_deploy(request, deploy), 201)

    async def _lock(self, request: Request) -> Response:
        return self._locked(request, now=True)

    async def _unlock(self, request: Request) -> Response:
        return self._locked(request, now=False)

    def _locked(self, request: Request, *, now: bool) -> Response:
        deploy = self._asked_deploy(request)
        deploy.locked = now
        return JSONResponse(self._of_deploy(request, deploy))

    # ── what users see ─────────────────────────────────────────────────────────────────────────

    async def _serve_deploy(self, request: Request) -> Response:
        name, _, site = request.path_params["deploy"].partition("--")
        branches = self.sites[f"site-{site}"].branches
        return await self._served(branches.get(name, name), request.path_params["path"])

    async def _serve_site(self, request: Request) -> Response:
        site = next(one for one in self.sites.values() if one.name == request.path_params["name"])
        return await self._served(site.live or "", request.path_params["path"])

    async def _served(self, deploy: str, path: str) -> Response:
        files = self.deploys[deploy].files if deploy in self.deploys else {}
        rules = {name: self.blobs[files[name]].decode() for name in RULES if files.get(name) in self.blobs}
        answer = self._file(files, path)
        for rule in redirects(rules):
            to = rule.target(f"/{path}")
            if to is not None and (rule.force or answer is None):
                answer = await self._led(files, to, rule.status)
                break
        answer = answer or Response("Not Found", 404)
        answer.headers.update(headers(rules, f"/{path}"))
        return answer

    def _file(self, files: dict[str, str], path: str) -> Response | None:
        for name in (path, f"{path}/index.html".lstrip("/"), f"{path}.html"):
            if name in files and files[name] in self.blobs and name not in RULES:
                kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
                return Response(self.blobs[files[name]], media_type=kind)
        return None

    async def _led(self, files: dict[str, str], to: str, status: int) -> Response | None:
        """Answer as a rule says: from elsewhere, with another file, or with a redirect."""
        if status != 200:
            return Response(status_code=status, headers={"location": to})
        return await fetched(to) if "://" in to else self._file(files, to.lstrip("/"))

    # ── how a deploy gets on ───────────────────────────────────────────────────────────────────

    def _take(self, deploy: Deploy, body: dict[str, Any]) -> None:
        deploy.files = {path.lstrip("/"): digest for path, digest in body.get("files", {}).items()}
        deploy.lacking = set(deploy.files.values()).difference(self.blobs)
        if self.broken:
            deploy.state, deploy.steps = "processing", ["error"]
        elif deploy.lacking:
            deploy.state, deploy.steps = ("preparing", ["prepared"]) if body.get("async") else ("uploading", [])
        else:
            self._complete(deploy)

    def _complete(self, deploy: Deploy) -> None:
        deploy.state, deploy.steps, deploy.due = "processing", ["ready"], time.monotonic() + self.takes()

    def _go_on(self, deploy: Deploy) -> None:
        if not deploy.steps or deploy.state == self.stuck or time.monotonic() < deploy.due:
            return
        deploy.state = deploy.steps.pop(0)
        if deploy.state == "error":
            deploy.error = self.broken
        if deploy.state == "ready" and deploy.branch != MAIN:
            self.sites[deploy.site_id].branches[deploy.branch] = deploy.id
        elif deploy.state == "ready" and not deploy.draft:
            live = self.deploys.get(self.sites[deploy.site_id].live or "")
            if not (live and live.locked):
                self._publish(deploy)

    def _publish(self, deploy: Deploy) -> None:
        deploy.draft, deploy.published = False, now()
        self.sites[deploy.site_id].live = deploy.id

    # ── how it is told ─────────────────────────────────────────────────────────────────────────

    def _of_site(self, request: Request, site: Site) -> dict[str, Any]:
        address = f"{_base(request)}/s/{site.name}"
        live = self.deploys.get(site.live or "")
        return {
            "id": site.id, "name": site.name, "state": "current", "url": address, "ssl_url": address,
            "admin_url": f"{_base(request)}/admin/{site.name}", "account_id": ACCOUNT["id"],
            "account_slug": ACCOUNT["slug"], "account_name": ACCOUNT["name"], "ssl": True, "force_ssl": True,
            "custom_domain": site.domain, "build_settings": {}, "capabilities": {},
            "created_at": "2026-01-01T00:00:00.000Z",
            **({"published_deploy": self._of_deploy(request, live)} if live else {}),
        }  # fmt: skip

    def _of_deploy(self, request: Request, deploy: Deploy) -> dict[str, Any]:
        site = self.sites[deploy.site_id]
        address, permalink = f"{_base(request)}/s/{site.name}", f"{_base(request)}/d/{deploy.id}--{site.name}"
        told = {
            "id": deploy.id, "site_id": site.id, "state": deploy.state, "name": site.name, "draft": deploy.draft,
            "url": address, "ssl_url": address, "deploy_url": permalink, "deploy_ssl_url": permalink,
            "admin_url": f"{_base(request)}/admin/{site.name}", "required": sorted(deploy.lacking),
            "required_functions": [], "branch": deploy.branch,
            "context": "production" if deploy.branch == MAIN else "branch-deploy", "locked": deploy.locked,
            "title": deploy.title, "created_at": deploy.created, "updated_at": deploy.created,
        }  # fmt: skip
        return {
            **told,
            **({"published_at": deploy.published} if deploy.published else {}),
            **({"error_message": deploy.error} if deploy.error else {}),
        }

    def _asked_site(self, request: Request) -> Site:
        authorised(request, TOKEN)
        wanted = request.path_params["site"]
        return next((one for one in self.sites.values() if one.name == wanted), None) or self.sites[wanted]

    def _asked_deploy(self, request: Request) -> Deploy:
        authorised(request, TOKEN)
        return self.deploys[request.path_params["deploy"]]


async def _not_found(_: Request, __: Exception) -> Response:
    return JSONResponse({"code": 404, "message": "Not Found"}, 404)


async def _refused(_: Request, __: Exception) -> Response:
    return JSONResponse({"code": 401, "message": "Access Denied"}, 401)


def _base(request: Request) -> str:
    return str(request.base_url).rstrip("/")
