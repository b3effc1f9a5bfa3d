"""Packages that a package.json asks for in versions which do not take each other: npm refuses those (ERESOLVE)."""

import re
from collections.abc import Mapping

_HIGHEST_PEER: Mapping[tuple[str, int], tuple[str, int]] = {
    ("react-scripts", 3): ("typescript", 3), ("react-scripts", 4): ("typescript", 4),
    ("react-scripts", 5): ("typescript", 4), ("@material-ui/core", 4): ("react", 17),
    ("eslint-config-airbnb", 18): ("eslint", 7), ("eslint-config-airbnb", 19): ("eslint", 8),
    ("@testing-library/react", 12): ("react", 17),
}  # fmt: skip
"""The highest major version of a peer that a major version of a package takes: its ``peerDependencies`` on npm."""


def refused_peer(dependencies: Mapping[str, str]) -> str:
    """Return which package does not take the version that is asked for of another one, "" if none is known."""
    for (name, major), (peer, highest) in _HIGHEST_PEER.items():
        if _lowest_major(dependencies.get(name, "")) == major and _lowest_major(dependencies.get(peer, "")) > highest:
            return f"{name} {major} takes no {peer} {dependencies[peer]}"
    return ""


def _lowest_major(wanted: str) -> int:
    """Return the lowest major version of a range, 0 if it has none."""
    found = [re.match(r"\s*(?:[~^=v]|>=)?\s*(\d+)", part) for part in wanted.split("||")]
    return min((int(match[1]) if match else 0 for match in found), default=0)
