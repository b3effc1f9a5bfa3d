"""The routes of a frontend: Envoy serves its files itself, with what browsers and caches expect."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from abreast.platforms.local.router.site import ENCODINGS, PLAIN, is_hashed
from abreast.platforms.local.router.table import Site

Json = dict[str, Any]
FILE_SERVER = "type.googleapis.com/envoy.extensions.filters.http.file_server.v3.FileServerConfig"
FILE_MANAGER: Json = {"id": "sites", "thread_pool": {"thread_count": 2}}
HEADER_MUTATION = "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute"
IMMUTABLE = "public, max-age=31536000, immutable"
REVALIDATE = "no-cache"
LARGEST_FALLBACK = 4 << 20

_TEXTS = {
    "html": "text/html", "htm": "text/html", "css": "text/css", "js": "text/javascript", "mjs": "text/javascript",
    "txt": "text/plain", "md": "text/markdown", "xml": "text/xml", "csv": "text/csv", "vtt": "text/vtt",
}  # fmt: skip
CONTENT_TYPES = {
    **{ending: f"{kind}; charset=utf-8" for ending, kind in _TEXTS.items()},
    "json": "application/json", "map": "application/json", "webmanifest": "application/manifest+json",
    "svg": "image/svg+xml", "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif",
    "webp": "image/webp", "avif": "image/avif", "ico": "image/x-icon", "bmp": "image/bmp",
    "woff": "font/woff", "woff2": "font/woff2", "ttf": "font/ttf", "otf": "font/otf",
    "wasm": "application/wasm", "pdf": "application/pdf", "zip": "application/zip", "gz": "application/gzip",
    "mp3": "audio/mpeg", "mp4": "video/mp4", "webm": "video/webm", "ogg": "audio/ogg", "wav": "audio/wav",
}  # fmt: skip


def site_routes(site: Site) -> list[Json]:
    """Return the routes of a site, most particular first; their number does not grow with its files.

    The ETag is the release's, one for each encoding: weak, since it says no more than "of this release".
    """
    return [
        _no_other_method(),
        _not_modified(site),
        *(route for encoding in ENCODINGS for route in _encoded(site, encoding)),
        *_named(site, PLAIN, [name for name in _names(site.folder / PLAIN) if is_hashed(name)], IMMUTABLE),
        _files(site, PLAIN, {"safe_regex": {"regex": r".*\.[^/]+"}}, REVALIDATE),
        *_named(site, PLAIN, _without_ending(site), REVALIDATE),
        *_fallback(site),
    ]


def _no_other_method() -> Json:
    reading = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}, "invert_match": True}
    headers = [_header("allow", "GET, HEAD"), _header("cache-control", "no-store")]
    return {
        "match": {"prefix": "/", "headers": [reading]},
        "direct_response": {"status": 405},
        "typed_per_filter_config": _mutated(headers),
    }


def _not_modified(site: Site) -> Json:
    known = {"name": "if-none-match", "string_match": {"contains": site.etag}}
    return {
        "match": {"prefix": "/", "headers": [known]},
        "direct_response": {"status": 304},
        # Envoy gives each direct 3xx answer a location; one that says "not modified" has none.
        "typed_per_filter_config": _mutated([*_headers(site, REVALIDATE), {"remove": "location"}]),
    }


def _encoded(site: Site, encoding: str) -> list[Json]:
    """Serve what the build compressed to those who accept it; a folder's page is its index.html."""
    names = _names(site.folder / encoding)
    hashed = [name for name in names if is_hashed(name)]
    others = [name for name in names if not is_hashed(name)]
    pages = [name.removesuffix("index.html") for name in others if Path(name).name == "index.html"]
    wanted = {"name": "accept-encoding", "string_match": {"safe_regex": {"regex": _accepts(encoding)}}}
    told = [_header("content-encoding", encoding)]
    return [
        *_named(site, encoding, hashed, IMMUTABLE, [wanted], told),
        *_named(site, encoding, [*others, *pages], REVALIDATE, [wanted], told),
    ]


def _fallback(site: Site) -> list[Json]:
    """Answer paths of the application itself, which are no files, with its first page."""
    page = site.folder / PLAIN / "index.html"
    if not page.is_file() or page.stat().st_size > LARGEST_FALLBACK:
        return []
    headers = [
        *_headers(site, REVALIDATE),
        _header("content-type", CONTENT_TYPES["html"], action="OVERWRITE_IF_EXISTS_OR_ADD"),
    ]
    body = {"filename": str(page)}
    return [
        {
            "match": {"prefix": "/"},
            "direct_response": {"status": 200, "body": body},
            "typed_per_filter_config": _mutated(headers),
        }
    ]


def _named(
    site: Site,
    tree: str,
    names: Sequence[str],
    control: str,
    wanted: Sequence[Json] = (),
    told: Sequence[Json] = (),
) -> list[Json]:
    """Serve just these files of a tree, to requests with the headers ``wanted``."""
    if not names:
        return []
    return [_files(site, tree, {"safe_regex": {"regex": _any_of(names)}, "headers": list(wanted)}, control, told)]


def _files(site: Site, tree: str, match: Json, control: str, extra: Iterable[Json] = ()) -> Json:
    mapping = {"request_path_prefix": "/", "file_path_prefix": f"{site.folder / tree}/"}
    return {
        "match": match,
        "direct_response": {"status": 404},
        "typed_per_filter_config": {
            **_mutated([*_headers(site, control), *extra]),
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


def _mutated(mutations: list[Json]) -> Json:
    """Change the response's headers by a filter of their own: the file server answers past the route's."""
    per_route = {"@type": HEADER_MUTATION, "mutations": {"response_mutations": mutations}}
    return {"header_mutation": per_route}


def _headers(site: Site, control: str) -> list[Json]:
    return [
        _header("etag", f'W/"{site.etag}"'),
        _header("cache-control", control),
        _header("vary", "accept-encoding"),
        _header("x-content-type-options", "nosniff"),
    ]


def _header(name: str, value: str, action: str = "ADD_IF_ABSENT") -> Json:
    return {"append": {"header": {"key": name, "value": value}, "append_action": action}}


def _accepts(encoding: str) -> str:
    """Match an Accept-Encoding that names the encoding, unless with quality 0 (RFC 9110, 12.5.3)."""
    return rf"(?i)(.*,)?\s*{encoding}\s*(;\s*q=(1(\.0*)?|0?\.0*[1-9]\d*)\s*)?(,.*)?"


def _without_ending(site: Site) -> list[str]:
    """Return the paths without an ending that are there: files, and folders with a page of their own."""
    names = _names(site.folder / PLAIN)
    files = [name for name in names if "." not in Path(name).name]
    pages = [name.removesuffix("index.html") for name in names if Path(name).name == "index.html"]
    return [*files, *pages, *(page.rstrip("/") for page in pages if page)]


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _any_of(names: Iterable[str]) -> str:
    alternatives = "|".join(re.escape(quote(name, safe="/!$&'()*+,;=:@~")) for name in names)
    return f"/({alternatives})"
