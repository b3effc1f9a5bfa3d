"""Images: how they are built and pushed, and what is kept of one: its name with the digest that its registry gave."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FILE = "image.json"
"""What an image's artifact holds."""

INSPECTED = ".abreast-image.json"


@dataclass(frozen=True, slots=True)
class Image:
    """An image in its registry; ``pinned`` names it by digest, ``size`` is in bytes."""

    pinned: str
    tags: tuple[str, ...]
    id: str
    size: int


def commands(name: str, dockerfile: str, context: str, release: str, commit: str) -> str:
    """Return the shell commands that build an image, tag it with release and commit, push both, and look at it."""
    tags = [f"{name}:{release}", f"{name}:{commit}"]
    labels = {"org.opencontainers.image.revision": commit, "org.opencontainers.image.version": release}
    build = ["docker", "build", "--file", dockerfile]
    build += [part for tag in tags for part in ("--tag", tag)]
    build += [part for label, value in labels.items() for part in ("--label", f"{label}={value}")]
    steps = [
        shlex.join([*build, context]),
        *(shlex.join(["docker", "push", "--quiet", tag]) for tag in tags),
        f"{shlex.join(['docker', 'image', 'inspect', tags[-1]])} > {INSPECTED}",
    ]
    return " && ".join(steps)


def inspected(name: str, content: bytes) -> Image:
    """Return an image as ``docker image inspect`` tells it; raises ValueError where its registry gave no digest."""
    (told,) = json.loads(content)
    pinned = [digest for digest in told.get("RepoDigests") or () if digest.startswith(f"{name}@sha256:")]
    if not pinned:
        raise ValueError(f"the registry gave no digest for {name}")
    tags = tuple(tag for tag in told.get("RepoTags") or () if tag.startswith(f"{name}:"))
    return Image(pinned[0], tags, str(told["Id"]), int(told["Size"]))


def read(content: bytes) -> Image:
    """Return the image of an artifact; raises ValueError where it is none."""
    told: Mapping[str, Any] = json.loads(content)
    return Image(told["pinned"], tuple(told["tags"]), told["id"], told["size"])
