"""Xet storage: the tokens for it, and the content-addressed service behind it (version 1 of its API)."""

import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from abreast.testing.platforms.huggingface.access import HubError, readable_space, storage_url, writable_space
from abreast.testing.platforms.huggingface.repository import RepositoryStore
from abreast.testing.platforms.huggingface.repository_api import API
from abreast.testing.platforms.huggingface.space_runtime import Space
from abreast.testing.platforms.huggingface.xet_format import Chunk, Segment, ShardFile, parse_shard, parse_xorb

TOKEN_LIFETIME = 900
"""Seconds for which a token of the storage is valid."""

_SIGNING_KEY = b"emulator"


class XetApi:
    """Handlers of Xet uploads and downloads. A file that was uploaded is then an LFS object too."""

    def __init__(self, spaces: Mapping[str, Space], store: RepositoryStore) -> None:
        self._spaces = spaces
        self._store = store
        self._xorbs: dict[str, tuple[bytes, list[Chunk]]] = {}
        self._files: dict[str, ShardFile] = {}

    def routes(self) -> list[Route]:
        """Return the routes of all handlers."""
        return [
            Route(f"{API}/xet-read-token/{{revision}}", self._get_token),
            Route(f"{API}/xet-write-token/{{revision}}", self._get_token),
            Route("/v1/xorbs/default/{hash}", self._store_xorb, methods=["POST"]),
            Route("/v1/shards", self._register_shard, methods=["POST"]),
            Route("/v1/reconstructions/{hash}", self._get_reconstruction),
            Route("/v1/chunks/{prefix}/{hash}", self._find_chunk),
            Route("/v1/telemetry", self._take_telemetry, methods=["POST"]),
            Route("/xorbs/{hash}", self._get_xorb),
            Route("/v1/xorb-grants/{path:path}", _not_offered, methods=["POST"]),
            Route("/v2/{path:path}", _not_offered, methods=["GET", "POST"]),
        ]

    async def _get_token(self, request: Request) -> Response:
        scope = "write" if "/xet-write-token/" in request.url.path else "read"
        (writable_space if scope == "write" else readable_space)(self._spaces, request)
        expiry, endpoint = int(time.time()) + TOKEN_LIFETIME, storage_url(request)
        token = f"{scope}.{expiry}.{_signature(f'{scope}.{expiry}')}"
        return JSONResponse(
            {"accessToken": token, "exp": expiry, "casUrl": endpoint},
            headers={
                "X-Xet-Cas-Url": endpoint, "X-Xet-Access-Token": token, "X-Xet-Token-Expiration": str(expiry),
            },
        )  # fmt: skip

    async def _store_xorb(self, request: Request) -> Response:
        _require_scope(request, "write")
        hash_, data = request.path_params["hash"], await request.body()
        known = hash_ in self._xorbs
        self._xorbs[hash_] = data, parse_xorb(data)
        return JSONResponse({"was_inserted": not known})

    async def _register_shard(self, request: Request) -> Response:
        _require_scope(request, "write")
        for file in parse_shard(await request.body()):
            content = b"".join(map(self._segment_content, file.segments))
            sha256 = hashlib.sha256(content).hexdigest()
            if file.sha256 not in {"", sha256}:
                raise HubError(400, f"the content of {file.hash} does not match its SHA-256")
            self._files[file.hash] = file
            self._store.blobs[sha256], self._store.xet_hashes[sha256] = content, file.hash
        return JSONResponse({"result": 1})

    async def _get_reconstruction(self, request: Request) -> Response:
        """Answer how to put a file together, or the range of it that is asked for."""
        _require_scope(request, "read", "write")
        file = self._files.get(request.path_params["hash"])
        if file is None:
            raise HubError(404, "no such file")
        size = sum(segment.length for segment in file.segments)
        first, last = _byte_range(request, size)
        if first >= size:
            raise HubError(416, "Range not satisfiable")
        terms: list[Segment] = []
        offset = position = 0
        for segment in file.segments:
            if position + segment.length > first and position <= last:
                offset = offset if terms else first - position
                terms.append(segment)
            position += segment.length
        return JSONResponse({
            "offset_into_first_range": offset,
            "terms": [
                {"hash": term.xorb, "unpacked_length": term.length, "range": {"start": term.start, "end": term.end}}
                for term in terms
            ],
            "fetch_info": self._fetch_info(request, terms),
        })  # fmt: skip

    def _fetch_info(self, request: Request, terms: list[Segment]) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {}
        for term in dict.fromkeys(terms):
            chunks = self._xorbs[term.xorb][1]
            at = {"start": chunks[term.start].start, "end": chunks[term.end - 1].end - 1}
            url = f"{storage_url(request)}/xorbs/{term.xorb}?signature={_signature(term.xorb)}"
            entry = {"url": url, "url_range": at, "range": {"start": term.start, "end": term.end}}
            found.setdefault(term.xorb, []).append(entry)
        return found

    async def _get_xorb(self, request: Request) -> Response:
        hash_ = request.path_params["hash"]
        if not hmac.compare_digest(request.query_params.get("signature", ""), _signature(hash_)):
            raise HubError(403, "Access denied")
        data = self._xorbs[hash_][0]
        first, last = _byte_range(request, len(data))
        span = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
        return Response(data[first : last + 1], 206, span, "application/octet-stream")

    async def _find_chunk(self, request: Request) -> Response:
        _require_scope(request, "read", "write")
        raise HubError(404, "not tracked by global deduplication")

    async def _take_telemetry(self, request: Request) -> Response:
        _require_scope(request, "read", "write")
        return Response()

    def _segment_content(self, segment: Segment) -> bytes:
        if segment.xorb not in self._xorbs:
            raise HubError(400, f"the xorb {segment.xorb} was not uploaded")
        chunks = self._xorbs[segment.xorb][1][segment.start : segment.end]
        content = b"".join(chunk.content for chunk in chunks)
        if len(content) != segment.length:
            raise HubError(400, f"a segment of {len(content)} bytes that should have {segment.length}")
        return content


async def _not_offered(_: Request) -> Response:
    """Answer that a newer way is not there: clients go on to the one that is."""
    raise HubError(404, "not offered")


def _signature(text: str) -> str:
    return hmac.digest(_SIGNING_KEY, text.encode(), hashlib.sha256).hex()


def _require_scope(request: Request, *scopes: str) -> None:
    """Raise HubError for a token that is not of this storage, has another scope, or is over."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    scope, _, rest = token.partition(".")
    expiry, _, signature = rest.partition(".")
    if not hmac.compare_digest(signature, _signature(f"{scope}.{expiry}")) or int(expiry) < time.time():
        raise HubError(401, "Unauthorized")
    if scope not in scopes:
        raise HubError(403, "the token does not have the required scope")


def _byte_range(request: Request, size: int) -> tuple[int, int]:
    first, _, last = request.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
    return int(first), min(int(last or size), size - 1)
