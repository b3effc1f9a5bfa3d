"""Container images: build and push commands, and the record that pins an image by digest."""

import json
import shlex
from collections.abc import Mapping
from typing import Any

from abreast.core.frozen_dataclass import dataclass

RECORD_FILE = "image.json"
"""The only file in an image's artifact."""

INSPECT_OUTPUT_FILE = ".abreast-image.json"


@dataclass(frozen=True, slots=True)
class ContainerImage:
    """An image in its registry. ``pinned``: its name with digest. ``size`` is in bytes."""

    pinned: str
    tags: tuple[str, ...]
    id: str
    size: int


def build_and_push_commands(name: str, dockerfile: str, context: str, release: str, commit: str) -> str:
    """Return the shell commands that build an image, tag it by release and commit, push and inspect it."""
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
    """Parse ``docker image inspect``. Raises ValueError if the image has no registry digest."""
    (details,) = json.loads(content)
    pinned = [digest for digest in details.get("RepoDigests") or () if digest.startswith(f"{name}@sha256:")]
    if not pinned:
        raise ValueError(f"no registry digest for {name}")
    tags = tuple(tag for tag in details.get("RepoTags") or () if tag.startswith(f"{name}:"))
    return ContainerImage(pinned[0], tags, str(details["Id"]), int(details["Size"]))


def parse_record(content: bytes) -> ContainerImage:
    """Parse the record in an image's artifact. Raises ValueError if it is not valid."""
    record: Mapping[str, Any] = json.loads(content)
    return ContainerImage(record["pinned"], tuple(record["tags"]), record["id"], record["size"])
