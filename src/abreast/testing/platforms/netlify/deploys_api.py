"""The API of deploys: create, upload, list, publish, lock, roll back."""

import hashlib
import io
import mimetypes
import re
import secrets
import zipfile

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from abreast.testing.platforms.common import utc_timestamp
from abreast.testing.platforms.netlify.documents import deploy_document
from abreast.testing.platforms.netlify.lifecycle import Lifecycle
from abreast.testing.platforms.netlify.model import (
    API,
    PRODUCTION_BRANCH,
    Deploy,
    NetlifyState,
    RefusedError,
    json_body,
    page_of,
)

DEPLOY = f"{API}/deploys/{{deploy}}"
SITE_DEPLOYS = f"{API}/sites/{{site}}/deploys"
_TRUE = "true"


class DeploysApi:
    """Serves the operations of deploys."""

    def __init__(self, state: NetlifyState, lifecycle: Lifecycle) -> None:
        self._state = state
        self._lifecycle = lifecycle

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        one = f"{SITE_DEPLOYS}/{{deploy}}"
        return [
            Route(f"{DEPLOY}/files/{{path:path}}", self._upload_file, methods=["PUT"]),
            Route(f"{DEPLOY}/functions/{{name}}", self._upload_function, methods=["PUT"]),
            Route(SITE_DEPLOYS, self._list, methods=["GET"]),
            Route(SITE_DEPLOYS, self._create, methods=["POST"]),
            Route(one, self._update, methods=["PUT"]),
            Route(one, self._get, methods=["GET"]),
            Route(one, self._delete, methods=["DELETE"]),
            Route(f"{one}/restore", self._restore, methods=["POST"]),
            Route(f"{API}/sites/{{site}}/rollback", self._roll_back, methods=["PUT"]),
            Route(DEPLOY, self._get, methods=["GET"]),
            Route(DEPLOY, self._delete, methods=["DELETE"]),
            Route(f"{DEPLOY}/cancel", self._cancel, methods=["POST"]),
            Route(f"{DEPLOY}/lock", self._lock, methods=["POST"]),
            Route(f"{DEPLOY}/unlock", self._unlock, methods=["POST"]),
        ]

    async def _list(self, request: Request) -> Response:
        site, query = self._state.authorized_site(request), request.query_params
        deploys = list(self._state.deploys_of(site))
        if query.get("latest-published") == _TRUE:
            deploys = [deploy for deploy in deploys if deploy.id == site.live_deploy_id]
        if query.get("production") == _TRUE:
            deploys = [deploy for deploy in deploys if deploy.context == "production"]
        if query.get("deploy-previews") == _TRUE:
            deploys = []
        for name in ("state", "branch"):
            if name in query:
                deploys = [deploy for deploy in deploys if getattr(deploy, name) == query[name]]
        return JSONResponse([deploy_document(self._state, request, deploy) for deploy in page_of(request, deploys)])

    async def _create(self, request: Request) -> Response:
        site, body = self._state.authorized_site(request), await json_body(request, dict)
        deploy = Deploy(
            id=secrets.token_hex(12),
            site_id=site.id,
            title=request.query_params.get("title", body.get("title", "")),
            draft=bool(body.get("draft")),
            branch=body.get("branch") or PRODUCTION_BRANCH,
            created_at=utc_timestamp(),
        )
        if "files" in body or "functions" in body:
            self._lifecycle.accept(deploy, body)
        self._state.deploys[deploy.id] = deploy
        return self._answer(request, deploy)

    async def _update(self, request: Request) -> Response:
        deploy, body = self._state.authorized_deploy(request), await json_body(request, dict)
        self._lifecycle.accept(deploy, body)
        return self._answer(request, deploy)

    async def _get(self, request: Request) -> Response:
        deploy = self._state.authorized_deploy(request)
        self._lifecycle.advance(deploy)
        return self._answer(request, deploy)

    async def _delete(self, request: Request) -> Response:
        deploy = self._state.authorized_deploy(request)
        site = self._state.sites[deploy.site_id]
        if site.live_deploy_id == deploy.id:
            raise RefusedError(422, "the published deploy cannot be deleted")
        if site.branch_deploys.get(deploy.branch) == deploy.id:
            del site.branch_deploys[deploy.branch]
        del self._state.deploys[deploy.id]
        return Response(status_code=204)

    async def _upload_file(self, request: Request) -> Response:
        deploy, content = self._state.authorized_deploy(request), await request.body()
        path = request.path_params["path"]
        digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        if deploy.files.get(path.lstrip("/")) != digest:
            raise RefusedError(422, f"{path} does not match the digest of the deploy")
        self._lifecycle.receive(deploy, digest, content)
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        return JSONResponse({"id": path, "path": f"/{path}", "sha": digest, "mime_type": kind, "size": len(content)})

    async def _upload_function(self, request: Request) -> Response:
        deploy, content = self._state.authorized_deploy(request), await request.body()
        name, runtime = request.path_params["name"], request.query_params.get("runtime", "")
        digest = hashlib.sha256(content).hexdigest()
        if deploy.functions.get(name) != digest:
            raise RefusedError(422, f"the function {name} does not match the digest of the deploy")
        if re.match(r"js|nodejs", runtime) and not zipfile.is_zipfile(io.BytesIO(content)):
            raise RefusedError(422, f"the function {name} is not a zip archive")
        if not runtime:
            raise RefusedError(422, f"the function {name} has no runtime")
        deploy.runtimes[name] = runtime
        self._lifecycle.receive(deploy, digest, content)
        return JSONResponse({"id": f"{deploy.id}-{name}", "name": name, "sha": digest})

    async def _cancel(self, request: Request) -> Response:
        deploy = self._state.authorized_deploy(request)
        if deploy.state == "ready":
            raise RefusedError(422, "the deploy is ready")
        deploy.state, deploy.error, deploy.pending_states = "error", "Canceled", []
        return self._answer(request, deploy, 201)

    async def _restore(self, request: Request) -> Response:
        """Publish a deploy, also one of a locked site, which is then no longer locked."""
        deploy = self._state.authorized_deploy(request)
        if deploy.state != "ready":
            raise RefusedError(422, "the deploy is not ready")
        self._lifecycle.publish(deploy)
        return self._answer(request, deploy, 201)

    async def _roll_back(self, request: Request) -> Response:
        self._lifecycle.roll_back(self._state.authorized_site(request))
        return Response(status_code=204)

    async def _lock(self, request: Request) -> Response:
        deploy = self._state.authorized_deploy(request)
        if self._state.sites[deploy.site_id].live_deploy_id != deploy.id:
            raise RefusedError(422, "only the published deploy can be locked")
        deploy.locked = True
        return self._answer(request, deploy)

    async def _unlock(self, request: Request) -> Response:
        deploy = self._state.authorized_deploy(request)
        deploy.locked = False
        return self._answer(request, deploy)

    def _answer(self, request: Request, deploy: Deploy, status: int = 200) -> Response:
        return JSONResponse(deploy_document(self._state, request, deploy), status)
