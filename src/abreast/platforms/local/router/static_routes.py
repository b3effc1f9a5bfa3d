"""The routes of a static site: Envoy serves its files, with caching, compression and ETags."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from abreast.platforms.local.router.routing_table import Site
from abreast.platforms.local.router.static_site import ENCODINGS, PLAIN, is_hashed

Json = dict[str, Any]
FILE_SERVER = "type.googleapis.com/envoy.extensions.filters.http.file_server.v3.FileServerConfig"
FILE_MANAGER: Json = {"id": "sites", "thread_pool": {"thread_count": 2}}
HEADER_MUTATION = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute"
IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"
MAX_FALLBACK_SIZE = 4 << 20

_TEXT_TYPES = {
    "html": "text/html", "htm": "text/html", "css": "text/css", "js": "text/javascript", "mjs": "text/javascript",
    "txt": "text/plain", "md": "text/markdown", "xml": "text/xml", "csv": "text/csv", "vtt": "text/vtt",
}  # fmt: skip
CONTENT_TYPES = {
    **{ending: f"{kind}; charset=utf-8" for ending, kind in _TEXT_TYPES.items()},
    "json": "application/json", "map": "application/json", "webmanifest": "application/manifest+json",
    "svg": "image/svg+xml", "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif",
    "webp": "image/webp", "avif": "image/avif", "ico": "image/x-icon", "bmp": "image/bmp",
    "woff": "font/woff", "woff2": "font/woff2", "ttf": "font/ttf", "otf": "font/otf",
    "wasm": "application/wasm", "pdf": "application/pdf", "zip": "application/zip", "gz": "application/gzip",
    "mp3": "audio/mpeg", "mp4": "video/mp4", "webm": "video/webm", "ogg": "audio/ogg", "wav": "audio/wav",
}  # fmt: skip


def site_routes(site: Site) -> list[Json]:
    """Return the routes of a site, most specific first. Their number does not grow with its files.

    The ETag identifies the release, not the file, and is therefore weak.
    """
    return [
        _method_not_allowed_route(),
        _not_modified_route(site),
        *(route for encoding in ENCODINGS for route in _encoded_routes(site, encoding)),
        *_named_file_routes(
            site, PLAIN, [name for name in _file_names(site.folder / PLAIN) if is_hashed(name)], IMMUTABLE
        ),
        _file_server_route(site, PLAIN, {"safe_regex": {"regex": r".*\.[^/]+"}}, REVALIDATE),
        *_named_file_routes(site, PLAIN, _extensionless_paths(site), REVALIDATE),
        *_fallback_routes(site),
    ]


def _method_not_allowed_route() -> Json:
    reading = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}, "invert_match": True}
    headers = [_header("allow", "GET, HEAD"), _header("cache-control", "no-store")]
    return {
        "match": {"prefix": "/", "headers": [reading]},
        "direct_response": {"status": 405},
        "typed_per_filter_config": _header_mutation(headers),
    }


def _not_modified_route(site: Site) -> Json:
    known = {"name": "if-none-match", "string_match": {"contains": site.etag}}
    return {
        "match": {"prefix": "/", "headers": [known]},
        "direct_response": {"status": 304},
        # Envoy adds a location to every direct 3xx answer; a 304 must have none.
        "typed_per_filter_config": _header_mutation([*_response_headers(site, REVALIDATE), {"remove": "location"}]),
    }


def _encoded_routes(site: Site, encoding: str) -> list[Json]:
    """Serve precompressed files to clients that accept the encoding. A folder's page is its index.html."""
    names = _file_names(site.folder / encoding)
    hashed = [name for name in names if is_hashed(name)]
    others = [name for name in names if not is_hashed(name)]
    pages = [name.removesuffix("index.html") for name in others if Path(name).name == "index.html"]
    accept_encoding = {
        "name": "accept-encoding",
        "string_match": {"safe_regex": {"regex": _accept_encoding_regex(encoding)}},
    }
    encoding_headers = [_header("content-encoding", encoding)]
    return [
        *_named_file_routes(site, encoding, hashed, IMMUTABLE, [accept_encoding], encoding_headers),
        *_named_file_routes(site, encoding, [*others, *pages], REVALIDATE, [accept_encoding], encoding_headers),
    ]


def _fallback_routes(site: Site) -> list[Json]:
    """Answer all other paths with index.html, for single-page applications."""
    page = site.folder / PLAIN / "index.html"
    if not page.is_file() or page.stat().st_size > MAX_FALLBACK_SIZE:
        return []
    headers = [
        *_response_headers(site, REVALIDATE),
        _header("content-type", CONTENT_TYPES["html"], action="OVERWRITE_IF_EXISTS_OR_ADD"),
    ]
    body = {"filename": str(page)}
    return [
        {
            "match": {"prefix": "/"},
            "direct_response": {"status": 200, "body": body},
            "typed_per_filter_config": _header_mutation(headers),
        }
    ]


def _named_file_routes(
    site: Site,
    tree: str,
    names: Sequence[str],
    cache_control: str,
    request_headers: Sequence[Json] = (),
    response_headers: Sequence[Json] = (),
) -> list[Json]:
    """Serve the files ``names`` of a tree to requests that match ``request_headers``."""
    if not names:
        return []
    return [
        _file_server_route(
            site,
            tree,
            {"safe_regex": {"regex": _any_name_regex(names)}, "headers": list(request_headers)},
            cache_control,
            response_headers,
        )
    ]


def _file_server_route(
    site: Site, tree: str, match: Json, cache_control: str, extra_headers: Iterable[Json] = ()
) -> Json:
    mapping = {"request_path_prefix": "/", "file_path_prefix": f"{site.folder / tree}/"}
    return {
        "match": match,
        "direct_response": {"status": 404},
        "typed_per_filter_config": {
            **_header_mutation([*_response_headers(site, cache_control), *extra_headers]),
            "envoy.filters.http.file_server": {
                "@type": FILE_SERVER,
                "manager_config": FILE_MANAGER,
                "path_mappings": [mapping],
                "content_types": CONTENT_TYPES,
                "default_content_type": "application/octet-stream",
                "directory_behaviors": [{"default_file": "index.html"}],
            },
        },
    }


def _header_mutation(mutations: list[Json]) -> Json:
    """Set response headers by a filter: the file server ignores those of the route."""
    per_route = {"@type": HEADER_MUTATION, "mutations": {"response_mutations": mutations}}
    return {"header_mutation": per_route}


def _response_headers(site: Site, cache_control: str) -> list[Json]:
    return [
        _header("etag", f'W/"{site.etag}"'),
        _header("cache-control", cache_control),
        _header("vary", "accept-encoding"),
        _header("x-content-type-options", "nosniff"),
    ]


def _header(name: str, value: str, action: str = "ADD_IF_ABSENT") -> Json:
    return {"append": {"header": {"key": name, "value": value}, "append_action": action}}


def _accept_encoding_regex(encoding: str) -> str:
    """Match an Accept-Encoding that names the encoding, unless with quality 0 (RFC 9110, 12.5.3)."""
    return rf"(?i)(.*,)?\s*{encoding}\s*(;\s*q=(1(\.0*)?|0?\.0*[1-9]\d*)\s*)?(,.*)?"


def _extensionless_paths(site: Site) -> list[str]:
    """Return the paths without a suffix: files, and folders with an index.html."""
    names = _file_names(site.folder / PLAIN)
    files = [name for name in names if "." not in Path(name).name]
    pages = [name.removesuffix("index.html") for name in names if Path(name).name == "index.html"]
    return [*files, *pages, *(page.rstrip("/") for page in pages if page)]


def _file_names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _any_name_regex(names: Iterable[str]) -> str:
    alternatives = "|".join(re.escape(quote(name, safe="/!$&'()*+,;=:@~")) for name in names)
    return f"/({alternatives})"
