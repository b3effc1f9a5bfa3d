"""The API that serves the files of repositories, and the storage behind it."""

import hashlib
import hmac
from collections.abc import Mapping
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from abreast.testing.platforms.huggingface.access import HubError, base_url, readable_space, storage_url
from abreast.testing.platforms.huggingface.repository import Commit, RepositoryStore, TreeEntry
from abreast.testing.platforms.huggingface.repository_views import find_commit, find_entry
from abreast.testing.platforms.huggingface.space_runtime import Space

_SIGNING_KEY = b"emulator"


class DownloadApi:
    """Handlers of downloads. A small file of a public Space is behind a redirect, a large one on another host."""

    def __init__(self, spaces: Mapping[str, Space], store: RepositoryStore) -> None:
        self._spaces = spaces
        self._store = store

    def routes(self) -> list[Route]:
        """Return the routes of all handlers."""
        return [
            Route("/spaces/{owner}/{name}/resolve/{revision}/{path:path}", self._resolve),
            Route("/spaces/{owner}/{name}/raw/{revision}/{path:path}", self._get_raw),
            Route("/api/resolve-cache/spaces/{owner}/{name}/{revision}/{path:path}", self._get_cached),
            Route("/storage/{oid}", self._get_stored),
        ]

    async def _resolve(self, request: Request) -> Response:
        space, commit, entry = self._requested_file(request)
        path = request.path_params["path"]
        if entry.lfs:
            return self._storage_redirect(request, space, commit, entry)
        if space.private or not entry.size:
            return _file_response(request, self._store.content(entry), _headers(commit, entry.oid))
        etag = f'"{entry.oid}"'
        at = f"/api/resolve-cache/spaces/{space.id}/{commit.id}/{quote(path)}"
        location = f"{at}?{quote(request.url.path, safe='')}=&etag={quote(etag)}"
        linked = {"X-Linked-Size": str(entry.size), "X-Linked-ETag": etag}
        headers = {"Location": location, **_headers(commit, entry.oid), **linked}
        return Response(f"Temporary Redirect. Redirecting to {at}", 307, headers)

    def _storage_redirect(self, request: Request, space: Space, commit: Commit, entry: TreeEntry) -> Response:
        assert entry.lfs
        location = f"{storage_url(request)}/storage/{entry.lfs}?signature={_signature(entry.lfs)}"
        headers = {
            "Location": location, "X-Repo-Commit": commit.id,
            "X-Linked-Size": str(entry.size), "X-Linked-ETag": f'"{entry.lfs}"',
        }  # fmt: skip
        if xet_hash := self._store.xet_hashes.get(entry.lfs):
            refresh = f"{base_url(request)}/api/spaces/{space.id}/xet-read-token/{commit.id}"
            headers |= {"X-Xet-Hash": xet_hash, "Link": f'<{refresh}>; rel="xet-auth"'}
        return Response(status_code=302, headers=headers)

    async def _get_raw(self, request: Request) -> Response:
        _, commit, entry = self._requested_file(request)
        if entry.lfs:
            raise HubError(501, "not emulated: the pointer of a large file")
        return _file_response(request, self._store.content(entry), _headers(commit, entry.oid))

    async def _get_cached(self, request: Request) -> Response:
        _, commit, entry = self._requested_file(request)
        return _file_response(request, self._store.content(entry), _headers(commit, entry.oid))

    async def _get_stored(self, request: Request) -> Response:
        """Answer as a storage with signed URLs: another credential is refused, and no other host is served."""
        oid, query = request.path_params["oid"], request.query_params
        if "Authorization" in request.headers:
            raise HubError(400, "Only one auth mechanism allowed")
        if oid not in self._store.blobs or not hmac.compare_digest(query.get("signature", ""), _signature(oid)):
            raise HubError(403, "Access denied")
        return _file_response(request, self._store.blobs[oid], {"ETag": f'"{oid}"'})

    def _requested_file(self, request: Request) -> tuple[Space, Commit, TreeEntry]:
        space = readable_space(self._spaces, request)
        commit = find_commit(self._store, space, request.path_params["revision"])
        return space, commit, find_entry(commit, request.path_params["path"])


def _signature(oid: str) -> str:
    return hmac.digest(_SIGNING_KEY, oid.encode(), hashlib.sha256).hex()


def _headers(commit: Commit, oid: str) -> dict[str, str]:
    return {"X-Repo-Commit": commit.id, "ETag": f'"{oid}"', "Accept-Ranges": "bytes"}


def _file_response(request: Request, content: bytes, headers: dict[str, str]) -> Response:
    """Return a file, or a range of it."""
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    asked = request.headers.get("Range")
    if asked is None:
        return Response(content, headers=headers, media_type="application/octet-stream")
    start, _, end = asked.removeprefix("bytes=").partition("-")
    first, last = int(start), min(int(end or len(content)), len(content) - 1)
    if first > last:
        raise HubError(416, "Range not satisfiable", headers={"Content-Range": f"bytes */{len(content)}"})
    span = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
    return Response(content[first : last + 1], 206, {**headers, **span}, "application/octet-stream")
