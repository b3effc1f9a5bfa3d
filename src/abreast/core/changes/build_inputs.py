"""What a build is made from, as one digest: what has the same needs not be built again."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from abreast.core.codec import dump
from abreast.core.model import Service


def digest_build_inputs(
    service: Service,
    environment: str,
    files: Mapping[str, str],
    secrets: Mapping[str, str],
    extra_files: Sequence[str],
    machine: str,
) -> str:
    """Return a digest, in hexadecimal, of a service's build: its command, the files that count, its variables.

    ``files``: an id of each file's content; ``secrets``: what tells their values apart; ``along``: files that the
    platform wants beside the output; ``machine``: its architecture.
    """
    inputs = {
        "service": service.name,
        "build": dump(service.build),
        "environment": environment,
        "files": sorted(files.items()),
        "env": sorted(service.env.items()),
        "secrets": sorted(secrets.items()),
        "along": list(extra_files),
        "machine": machine,
    }
    return hashlib.sha256(json.dumps(inputs).encode(errors="surrogateescape")).hexdigest()
