"""Images: how they are built and pushed, and what is kept of one: its name with the digest that its registry gave."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RECORD_FILE = "image.json"
"""What an image's artifact holds."""

INSPECT_OUTPUT_FILE = ".abreast-image.json"


@dataclass(frozen=True, slots=True)
class ContainerImage:
    """An image in its registry; ``pinned`` names it by digest, ``size`` is in bytes."""

    pinned: str
    tags: tuple[str, ...]
    id: str
    size: int


def build_and_push_commands(name: str, dockerfile: str, context: str, release: str, commit: str) -> str:
    """Return the shell commands that build an image, tag it with release and commit, push both, and look at it."""
    tags = [f"{name}:{release}", f"{name}:{commit}"]
    labels = {"org.opencontainers.image.revision": commit, "org.opencontainers.image.version": release}
    build = ["docker", "build", "--file", dockerfile]
    build += [part for tag in tags for part in ("--tag", tag)]
    build += [part for label, value in labels.items() for part in ("--label", f"{label}={value}")]
    steps = [
        shlex.join([*build, context]),
        *(shlex.join(["docker", "push", "--quiet", tag]) for tag in tags),
        f"{shlex.join(['docker', 'image', 'inspect', tags[-1]])} > {INSPECT_OUTPUT_FILE}",
    ]
    return " && ".join(steps)


def parse_inspect_output(name: str, content: bytes) -> ContainerImage:
    """Return an image as ``docker image inspect`` tells it; raises ValueError where its registry gave no digest."""
    (details,) = json.loads(content)
    pinned = [digest for digest in details.get("RepoDigests") or () if digest.startswith(f"{name}@sha256:")]
    if not pinned:
        raise ValueError(f"the registry gave no digest for {name}")
    tags = tuple(tag for tag in details.get("RepoTags") or () if tag.startswith(f"{name}:"))
    return ContainerImage(pinned[0], tags, str(details["Id"]), int(details["Size"]))


def parse_record(content: bytes) -> ContainerImage:
    """Return the image of an artifact; raises ValueError where it is none."""
    record: Mapping[str, Any] = json.loads(content)
    return ContainerImage(record["pinned"], tuple(record["tags"]), record["id"], record["size"])
