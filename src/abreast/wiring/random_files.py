"""Random values that are made once and kept in a file, for its owner only."""

import os
import secrets
import shlex
from contextlib import suppress
from pathlib import Path

from abreast.core.errors import StateError


def random_bytes(file: Path, size: int = 32) -> bytes:
    """Return the content of a file; where there is none, it is made. Of two processes that make it, one wins.

    Raises StateError for one of another size, such as an empty one after a power failure.
    """
    if not file.exists():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        candidate = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
        candidate.touch(mode=0o600)
        candidate.write_bytes(secrets.token_bytes(size))
        with suppress(FileExistsError):
            file.hardlink_to(candidate)
        candidate.unlink()
    content = file.read_bytes()
    if len(content) != size:
        raise StateError(
            f"{file} is damaged: it has {len(content)} bytes, not {size}",
            need="the file from a backup, or none: a new one is made then",
            next=f"rm {shlex.quote(str(file))}",
        )
    return content
