"""One digest of all inputs of a build. The same digest means the artifact can be reused."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from abreast.core.codec import dump
from abreast.core.flags import built_in_flags, flag_variables
from abreast.core.model import Service


def digest_build_inputs(
    service: Service,
    environment: str,
    files: Mapping[str, str],
    secrets: Mapping[str, str],
    extra_files: Sequence[str],
    machine: str,
    release: str = "",
) -> str:
    """Return the hexadecimal digest of a service's build inputs.

    ``files``: content ids by path. ``secrets``: fingerprints by name. ``extra_files``: files that the platform adds to
    the output. ``machine``: the CPU architecture, and the Python interpreter if there is one. ``release``: the release,
    if the build may write it into the output.
    """
    inputs = {
        "service": service.name,
        "build": dump(service.build),
        "folder": service.folder,
        "environment": environment,
        "files": sorted(files.items()),
        "env": sorted({**flag_variables(built_in_flags(service)), **service.env}.items()),
        "secrets": sorted(secrets.items()),
        "along": list(extra_files),
        "machine": machine,
        "release": release,
    }
    return hashlib.sha256(json.dumps(inputs).encode(errors="surrogateescape")).hexdigest()
