"""The route of a static site: a script finds the file for a request, and Envoy's file server sends it."""

from functools import cache
from typing import Any

from abreast.platforms.local.router.routing_table import Site
from abreast.platforms.local.router.site_tables import PROXY_HEADER, SCRIPT
from abreast.platforms.local.router.static_site import TABLES

Json = dict[str, Any]
_FILE_SERVER_FILTER = "envoy.filters.http.file_server"
_FILE_SERVER = "type.googleapis.com/envoy.extensions.filters.http.file_server.v3.FileServerConfig"
_FILE_MANAGER: Json = {"id": "sites", "thread_pool": {"thread_count": 2}}
_LUA_FILTER = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"
_LUA_ROUTE = "type.googleapis.com/envoy.extensions.filters.http.lua.v3.LuaPerRoute"
_SITE_SCRIPT = "site"
PROXY_TIMEOUT = "26s"
"""How long Netlify waits for the server that a rewrite leads to."""

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


SITE_FILTERS = ("lua", _FILE_SERVER_FILTER)
"""The names of the filters of sites."""


def site_filters() -> list[Json]:
    """Return the filters of sites: the script, then the file server. A route that needs them turns them on."""
    script = {"@type": _LUA_FILTER, "source_codes": {_SITE_SCRIPT: {"inline_string": _script()}}}
    server = {"@type": _FILE_SERVER, "manager_config": _FILE_MANAGER}
    return [
        {"name": "lua", "disabled": True, "typed_config": script},
        {"name": _FILE_SERVER_FILTER, "disabled": True, "typed_config": server},
    ]


@cache
def _script() -> str:
    return SCRIPT.read_text()


def site_routes(site: Site) -> list[Json]:
    """Return the routes of a site, most specific first. Their number does not depend on its files and rules."""
    return [*([_proxy_route()] if site.proxies else []), _file_route(site)]


def _proxy_route() -> Json:
    """Pass a request on to the server that the script chose."""
    return {
        "match": {"prefix": "/", "headers": [{"name": PROXY_HEADER, "present_match": True}]},
        "route": {
            "cluster_header": PROXY_HEADER,
            "timeout": PROXY_TIMEOUT,
            "upgrade_configs": [{"upgrade_type": "websocket", "enabled": False}],
        },
    }


def _file_route(site: Site) -> Json:
    return {
        "match": {"prefix": "/"},
        "direct_response": {"status": 404},
        "typed_per_filter_config": {
            "lua": _turned_on(
                {
                    "@type": _LUA_ROUTE,
                    "name": _SITE_SCRIPT,
                    "filter_context": {"tables": str(site.folder / TABLES)},
                }
            ),
            _FILE_SERVER_FILTER: _turned_on(
                {
                    "@type": _FILE_SERVER,
                    "manager_config": _FILE_MANAGER,
                    "path_mappings": [{"request_path_prefix": "/", "file_path_prefix": f"{site.folder}/"}],
                    "content_types": CONTENT_TYPES,
                    "default_content_type": "application/octet-stream",
                }
            ),
        },
    }


def _turned_on(config: Json) -> Json:
    """Return what turns a filter on in a route. Others do without it, which costs them nothing."""
    return {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": config}
