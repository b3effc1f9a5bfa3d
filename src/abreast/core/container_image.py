"""Container images: build and push commands, and the record that pins an image by digest."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from abreast.core.frozen_dataclass import dataclass

RECORD_FILE = "image.json"
"""The only file in an image's artifact."""

INSPECT_OUTPUT_FILE = ".abreast-image.json"

_IS_DOCKER = "docker --version | grep -q ^Docker"  # Podman in its place refuses the digest of an image as a cache

IS_BUILDKIT = f"{_IS_DOCKER} && docker build --help 2>&1 | grep -q -e --progress"
"""Succeeds where Docker builds with BuildKit: the legacy builder has no such option."""


@dataclass(frozen=True, slots=True)
class ContainerImage:
    """An image in its registry. ``pinned``: its name with digest. ``size`` is in bytes."""

    pinned: str
    tags: tuple[str, ...]
    id: str
    size: int


def buildkit_cache_options(images: Sequence[str]) -> tuple[str, ...]:
    """Return the options by which BuildKit takes layers from images, and lets later builds take those of the new one.

    An image that is gone is skipped. What later builds need is in the new image: digests of its layers, and no layer of
    another stage, which may hold what must not leave the machine (https://docs.docker.com/build/cache/backends/inline/).
    """
    return ("--build-arg", "BUILDKIT_INLINE_CACHE=1", *cache_sources(images))


def cache_sources(images: Sequence[str]) -> tuple[str, ...]:
    """Return the options of ``docker build`` that name images whose layers it may take."""
    return tuple(part for image in images for part in ("--cache-from", image))


def pull_command(name: str, image: str) -> str:
    """Return the command that pulls an image for Docker's legacy builder, which fails if it would not help.

    That builder takes layers of local images only. If ``--cache-from`` names one, it takes no others, so that a machine
    that has built the image before is better off without.
    """
    has_none = f'test -z "$({shlex.join(["docker", "images", "--quiet", name])})"'
    return " && ".join((_IS_DOCKER, has_none, shlex.join(["docker", "pull", "--quiet", image])))


def build_and_push_commands(
    name: str, dockerfile: str, context: str, release: str, commit: str, cache_options: Sequence[str] = ()
) -> str:
    """Return the shell commands that build an image, tag it by release and commit, push and inspect it."""
    tags = [f"{name}:{release}", f"{name}:{commit}"]
    labels = {"org.opencontainers.image.revision": commit, "org.opencontainers.image.version": release}
    build = ["docker", "build", "--file", dockerfile, *cache_options]
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
