"""The API of repositories: Spaces, trees, branches, commits and git LFS."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abreast.testing.platforms.huggingface.access import (
    authorized_space,
    base_url,
    can_write,
    require_write,
    space_url,
)
from abreast.testing.platforms.huggingface.repository import Commit, RepositoryStore, TreeEntry
from abreast.testing.platforms.huggingface.runtime_api import runtime_json
from abreast.testing.platforms.huggingface.space_runtime import Space, SpaceRuntime

LFS_THRESHOLD = 10 * 1024 * 1024
"""Files of this size or larger are uploaded by git LFS, apart from their commit."""

TREE_PAGE_SIZE = 1000
"""Entries of a tree in one response."""


class RepositoryApi:
    """Handlers of the requests about accounts and repositories. ``add_space`` creates a Space."""

    def __init__(
        self, spaces: Mapping[str, Space], store: RepositoryStore, runtime: SpaceRuntime,
        add_space: Callable[[str], Space],
    ) -> None:  # fmt: skip
        self._spaces = spaces
        self._store = store
        self._runtime = runtime
        self._add_space = add_space

    def routes(self) -> list[Route]:
        """Return the routes of all handlers."""
        api = "/api/spaces/{owner}/{name}"
        return [
            Route("/api/whoami-v2", _whoami),
            Route("/api/repos/create", self._create_space, methods=["POST"]),
            Route("/api/validate-yaml", _validate_card, methods=["POST"]),
            Route(api, self._get_space),
            Route(f"{api}/revision/{{revision}}", self._get_space),
            Route(f"{api}/tree/{{revision}}", self._list_tree),
            Route(f"{api}/commits/{{revision}}", self._list_commits),
            Route(f"{api}/branch/{{branch:path}}", self._change_branch, methods=["POST", "DELETE"]),
            Route(f"{api}/preupload/{{revision}}", self._preupload, methods=["POST"]),
            Route(f"{api}/paths-info/{{revision}}", self._get_paths_info, methods=["POST"]),
            Route(f"{api}/commit/{{revision}}", self._create_commit, methods=["POST"]),
            Route("/spaces/{owner}/{name}/resolve/{revision}/{path:path}", self._download_file),
            Route("/spaces/{owner}/{name}.git/info/lfs/objects/batch", self._lfs_batch, methods=["POST"]),
            Route("/lfs/{oid}", self._upload_lfs_object, methods=["PUT"]),
            Route("/lfs/{oid}/verify", self._verify_lfs_object, methods=["POST"]),
        ]

    async def _create_space(self, request: Request) -> Response:
        require_write(request)
        body = await request.json()
        space_id = f"{body.get('organization') or 'owner'}/{body['name']}"
        url = space_url(request, space_id)
        if space_id in self._spaces:
            return JSONResponse({"error": "You already created this space repo", "url": url}, 409)
        space = self._add_space(space_id)
        space.sdk, space.private = body.get("sdk", "docker"), bool(body.get("private"))
        return JSONResponse({"url": url, "name": space_id, "id": "1"})

    async def _get_space(self, request: Request) -> Response:
        space = authorized_space(self._spaces, request)
        commit = self._store.resolve(space.branches, request.path_params.get("revision", "main"))
        return JSONResponse({
            "id": space.id, "author": space.id.split("/")[0], "sha": commit.id, "private": space.private,
            "sdk": space.sdk, "lastModified": commit.date, "createdAt": commit.date, "likes": 0, "tags": [],
            "subdomain": space.id.replace("/", "-"), "host": f"{base_url(request)}/h/{space.id}",
            "runtime": runtime_json(space), "siblings": [{"rfilename": path} for path in commit.tree],
        })  # fmt: skip

    async def _list_tree(self, request: Request) -> Response:
        commit = self._requested_commit(request)
        start = int(request.query_params.get("cursor", 0))
        entries = [_entry_json(path, entry) for path, entry in sorted(commit.tree.items())]
        next_page = request.url.include_query_params(cursor=start + TREE_PAGE_SIZE)
        headers = {"Link": f'<{next_page}>; rel="next"'} if start + TREE_PAGE_SIZE < len(entries) else {}
        return JSONResponse(entries[start : start + TREE_PAGE_SIZE], headers=headers)

    async def _get_paths_info(self, request: Request) -> Response:
        commit = self._requested_commit(request)
        paths = parse_qs((await request.body()).decode())["paths"]
        return JSONResponse([_entry_json(path, commit.tree[path]) for path in paths if path in commit.tree])

    async def _list_commits(self, request: Request) -> Response:
        commits = self._store.history(self._requested_commit(request))[:50]
        return JSONResponse([
            {"id": commit.id, "title": commit.title, "message": "", "date": commit.date, "authors": []}
            for commit in commits
        ])  # fmt: skip

    async def _change_branch(self, request: Request) -> Response:
        require_write(request)
        space, name = authorized_space(self._spaces, request), request.path_params["branch"]
        if request.method == "DELETE":
            del space.branches[name]
            return Response(status_code=204)
        if name in space.branches:
            return JSONResponse({"error": "Reference already exists"}, 409)
        start = (await request.json()).get("startingPoint", "main")
        space.branches[name] = [self._store.resolve(space.branches, start).id]
        return Response(status_code=201)

    async def _download_file(self, request: Request) -> Response:
        return Response(self._store.content(self._requested_commit(request).tree[request.path_params["path"]]))

    async def _preupload(self, request: Request) -> Response:
        require_write(request)
        tree = self._requested_commit(request).tree
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["size"] >= LFS_THRESHOLD else "regular",
                "shouldIgnore": False,
                "oid": tree[file["path"]].oid if file["path"] in tree else None,
            }
            for file in (await request.json())["files"]
        ]
        return JSONResponse({"files": files})

    async def _lfs_batch(self, request: Request) -> Response:
        require_write(request)
        authorized_space(self._spaces, request)
        objects = []
        for requested in (await request.json())["objects"]:
            href = f"{base_url(request)}/lfs/{requested['oid']}"
            actions = {"upload": {"href": href, "header": {}}, "verify": {"href": f"{href}/verify", "header": {}}}
            is_stored = requested["oid"] in self._store.blobs
            objects.append({**requested, "authenticated": True, **({} if is_stored else {"actions": actions})})
        return JSONResponse({"transfer": "basic", "objects": objects})

    async def _upload_lfs_object(self, request: Request) -> Response:
        oid, content = request.path_params["oid"], await request.body()
        if hashlib.sha256(content).hexdigest() != oid:
            return JSONResponse({"error": "the content does not match its SHA-256"}, 400)
        self._store.blobs[oid] = content
        return Response()

    async def _verify_lfs_object(self, request: Request) -> Response:
        oid = request.path_params["oid"]
        return JSONResponse({"oid": oid}, 200 if oid in self._store.blobs else 404)

    async def _create_commit(self, request: Request) -> Response:
        require_write(request)
        space, branch = authorized_space(self._spaces, request), request.path_params["revision"]
        lines = [json.loads(line) for line in (await request.body()).splitlines() if line]
        header = lines[0]["value"]
        parent = self._store.resolve(space.branches, branch)
        if header.get("parentCommit", parent.id) != parent.id:
            return JSONResponse({"error": "A commit has happened since. Please refresh and try again."}, 412)
        tree = dict(parent.tree)
        for line in lines[1:]:
            self._store.apply_operation(tree, line["key"], line["value"])
        commit = self._store.store_commit(header["summary"], tree, (parent.id,))
        space.branches[branch].append(commit.id)
        if branch == "main":
            self._runtime.queue_build(space, commit)
        url = f"{space_url(request, space.id)}/commit/{commit.id}"
        return JSONResponse({"success": True, "commitOid": commit.id, "commitUrl": url, "hookOutput": ""})

    def _requested_commit(self, request: Request) -> Commit:
        branches = authorized_space(self._spaces, request).branches
        return self._store.resolve(branches, request.path_params["revision"])


async def _whoami(request: Request) -> Response:
    token = {"displayName": "token", "role": "write" if can_write(request) else "read"}
    auth = {"type": "access_token", "accessToken": token}
    return JSONResponse({"type": "user", "id": "1", "name": "owner", "auth": auth})


async def _validate_card(request: Request) -> Response:
    can_write(request)
    return JSONResponse({"errors": [], "warnings": []})


def _entry_json(path: str, entry: TreeEntry) -> dict[str, Any]:
    lfs = {"lfs": {"oid": entry.lfs, "size": entry.size, "pointerSize": 134}} if entry.lfs else {}
    return {"type": "file", "oid": entry.oid, "size": entry.size, "path": path, **lfs}
