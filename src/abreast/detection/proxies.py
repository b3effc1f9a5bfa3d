"""Paths of a site that go to another service, as other platforms and development servers are told."""

import re

from abreast.detection.draft import Authority, ServiceDraft

KEPT, CUT = "proxied", "proxied without its path"
"""Keys of a draft: paths that arrive as they are, and paths that are cut off on the way, which `routes` never does."""


def propose_proxy(draft: ServiceDraft, path: str, target: str, source: str) -> None:
    """Propose a rewrite of ``path`` to the URL ``target``, such as ``/api/*`` to ``https://api.example.com/api/*``."""
    plain = _without_wildcard(path)
    arrives = _without_wildcard(re.sub(r"^\w+://[^/]*", "", target))
    if plain:
        draft.propose(KEPT if arrives == plain else CUT, plain, source, Authority.PLATFORM)


def _without_wildcard(path: str) -> str:
    return re.sub(r"/?(\*|:|\(|\$).*$", "", path).rstrip("/")
