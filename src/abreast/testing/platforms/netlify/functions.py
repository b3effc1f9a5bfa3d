"""Which requests a deploy answers by a function. The emulator runs none of them."""

import json
import re
from collections.abc import Iterable, Mapping

from abreast.testing.platforms.netlify.model import Deploy

EDGE_FUNCTIONS = ".netlify/internal/edge-functions/"
"""Where Netlify's own clients put bundled edge functions among a deploy's files."""

FUNCTION_PATH = "/.netlify/functions/"


def has_edge_functions(files: Iterable[str]) -> bool:
    """Whether a deploy's files contain edge functions."""
    return any(path.startswith(EDGE_FUNCTIONS) for path in files)


def function_for_path(deploy: Deploy, blobs: Mapping[str, bytes], path: str) -> str:
    """Return the name of the edge function or function that answers ``path``, "" if none does."""
    for name, patterns in _edge_routes(deploy, blobs):
        if re.search(patterns, path):
            return name
    if path.startswith(FUNCTION_PATH):
        name = path.removeprefix(FUNCTION_PATH).split("/")[0]
        return name if name in deploy.functions else ""
    for name, config in deploy.functions_config.items():
        routes = config.get("routes") or ()
        if any(path == route.get("literal") or _matches(route.get("expression"), path) for route in routes):
            return name
    return ""


def _matches(expression: str | None, path: str) -> bool:
    return bool(expression and re.search(expression, path))


def _edge_routes(deploy: Deploy, blobs: Mapping[str, bytes]) -> Iterable[tuple[str, str]]:
    manifest = blobs.get(deploy.files.get(f"{EDGE_FUNCTIONS}manifest.json", ""))
    routes = json.loads(manifest).get("routes", []) if manifest else []
    return ((route["function"], route["pattern"]) for route in routes)
