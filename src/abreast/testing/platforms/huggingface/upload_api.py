"""The API that changes repositories: upload modes, git LFS, commits."""

import base64
import fnmatch
import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abreast.testing.platforms.huggingface.access import HubError, base_url, space_url, storage_url, writable_space
from abreast.testing.platforms.huggingface.repository import Commit, RepositoryStore, TreeEntry
from abreast.testing.platforms.huggingface.repository_api import API
from abreast.testing.platforms.huggingface.repository_views import find_commit
from abreast.testing.platforms.huggingface.space_runtime import Space

LFS_THRESHOLD = 10 * 1024 * 1024
"""Files of this size or larger are uploaded by git LFS or Xet, apart from their commit."""

MAX_FILES = 256
"""Files in one request for upload modes, and objects in one of git LFS."""

_LFS_JSON = "application/vnd.git-lfs+json"


class UploadApi:
    """Handlers of uploads and commits. ``refused_objects``: the SHA-256 of content that the storage does not take."""

    def __init__(
        self, spaces: Mapping[str, Space], store: RepositoryStore, refused_objects: Mapping[str, str],
        on_push: Callable[[Space], None],
    ) -> None:  # fmt: skip
        self._spaces = spaces
        self._store = store
        self._refused_objects = refused_objects
        self._on_push = on_push

    def routes(self) -> list[Route]:
        """Return the routes of all handlers."""
        return [
            Route(f"{API}/preupload/{{revision}}", self._preupload, methods=["POST"]),
            Route(f"{API}/commit/{{revision}}", self._commit, methods=["POST"]),
            Route("/spaces/{owner}/{name}.git/info/lfs/objects/batch", self._lfs_batch, methods=["POST"]),
            Route("/storage/{oid}", self._store_object, methods=["PUT"]),
            Route("/spaces/{owner}/{name}/lfs/{oid}/verify", self._verify_object, methods=["POST"]),
        ]

    async def _preupload(self, request: Request) -> Response:
        space = writable_space(self._spaces, request)
        _refuse_pull_request(request)
        tree = find_commit(self._store, space, request.path_params["revision"]).tree
        files = (await request.json())["files"]
        if len(files) > MAX_FILES:
            raise HubError(413, f"at most {MAX_FILES} files")
        return JSONResponse({"files": [
            {
                "path": file["path"],
                "uploadMode": "lfs" if _is_large(self._store, tree, file) else "regular",
                "shouldIgnore": False,
                "oid": (tree[file["path"]].lfs or tree[file["path"]].oid) if file["path"] in tree else None,
            }
            for file in files
        ]})  # fmt: skip

    async def _lfs_batch(self, request: Request) -> Response:
        space, body = writable_space(self._spaces, request), await request.json()
        if not request.headers.get("Content-Type", "").startswith(_LFS_JSON):
            raise HubError(422, f"Content-Type must be {_LFS_JSON}")
        if body.get("operation") != "upload" or "basic" not in body.get("transfers", []):
            raise HubError(501, "not emulated: git LFS other than basic uploads")
        if len(body["objects"]) > MAX_FILES:
            raise HubError(413, f"at most {MAX_FILES} objects")
        find_commit(self._store, space, body["ref"]["name"])
        answers = [self._lfs_object(request, space, asked) for asked in body["objects"]]
        return JSONResponse({"transfer": "basic", "objects": answers}, media_type=_LFS_JSON)

    def _lfs_object(self, request: Request, space: Space, asked: dict[str, Any]) -> dict[str, Any]:
        oid = str(asked["oid"])
        if oid in self._refused_objects:
            return {**asked, "error": {"code": 403, "message": self._refused_objects[oid]}}
        if oid in self._store.blobs:
            return {**asked, "authenticated": True}
        upload = {"href": f"{storage_url(request)}/storage/{oid}", "header": {}}
        verify = {"href": f"{base_url(request)}/spaces/{space.id}/lfs/{oid}/verify"}
        return {**asked, "authenticated": True, "actions": {"upload": upload, "verify": verify}}

    async def _store_object(self, request: Request) -> Response:
        oid, content = request.path_params["oid"], await request.body()
        if "Authorization" in request.headers:
            raise HubError(400, "Only one auth mechanism allowed")
        if hashlib.sha256(content).hexdigest() != oid:
            raise HubError(400, "the content does not match its SHA-256")
        if not content:
            raise HubError(501, "an empty object")
        self._store.blobs[oid] = content
        return Response(headers={"ETag": f'"{oid}"'})

    async def _verify_object(self, request: Request) -> Response:
        writable_space(self._spaces, request)
        body, oid = await request.json(), request.path_params["oid"]
        if oid not in self._store.blobs or body.get("size") != len(self._store.blobs[oid]):
            raise HubError(404, "the object was not uploaded")
        return JSONResponse({"oid": oid})

    async def _commit(self, request: Request) -> Response:
        space, branch = writable_space(self._spaces, request), request.path_params["revision"]
        _refuse_pull_request(request)
        if not request.headers.get("Content-Type", "").startswith("application/x-ndjson"):
            raise HubError(400, "Content-Type must be application/x-ndjson")
        lines = [json.loads(line) for line in (await request.body()).splitlines() if line]
        if branch not in space.branches:
            raise HubError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        parent, header = find_commit(self._store, space, branch), lines[0]["value"]
        if header.get("parentCommit", parent.id) != parent.id:
            raise HubError(412, "A commit has happened since. Please refresh and try again.")
        commit = self._store.store_commit(header["summary"], self._changed_tree(parent, lines[1:]), (parent.id,))
        space.commit_ids.add(commit.id)
        space.branches[branch].append(commit.id)
        if branch == "main":
            self._on_push(space)
        url = f"{space_url(request, space.id)}/commit/{commit.id}"
        return JSONResponse({"success": True, "commitOid": commit.id, "commitUrl": url, "hookOutput": ""})

    def _changed_tree(self, parent: Commit, lines: list[dict[str, Any]]) -> dict[str, TreeEntry]:
        tree = dict(parent.tree)
        try:
            for line in lines:
                self._store.apply_operation(tree, line["key"], line["value"])
        except FileNotFoundError as error:
            raise HubError(404, f"Entry not found: {error}", "EntryNotFound") from error
        return tree


def _is_large(store: RepositoryStore, tree: Mapping[str, TreeEntry], file: dict[str, Any]) -> bool:
    """Return whether a file belongs in LFS: by its size, because it is binary, or by the tree's attributes."""
    if file["size"] >= LFS_THRESHOLD or b"\0" in base64.b64decode(file["sample"]):
        return True
    attributes = store.content(tree[".gitattributes"]).decode() if ".gitattributes" in tree else ""
    patterns = [line.split()[0] for line in attributes.splitlines() if "filter=lfs" in line]
    name = file["path"].rpartition("/")[2]
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _refuse_pull_request(request: Request) -> None:
    for asked in ("create_pr", "hot_reload"):
        if request.query_params.get(asked):
            raise HubError(501, f"not emulated: {asked}")
