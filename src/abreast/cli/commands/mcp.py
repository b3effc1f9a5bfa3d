"""``abreast mcp``: the commands that an agent may give, as a server of the Model Context Protocol."""

import sys
from importlib.util import find_spec
from pathlib import Path

from abreast.cli.lazy import load
from abreast.cli.working_directory import working_directory
from abreast.core.errors import UsageError

TIME_LIMIT = 600.0
"""Seconds after which a command of the server is ended, if nothing else is asked for."""


def mcp(folder: Path | None, time_limit: float | None) -> int:
    """Serve on standard input and output until the client closes them. Raises UsageError without the extra."""
    if find_spec("mcp") is None:
        raise UsageError(
            "the Model Context Protocol is not installed", need="abreast[mcp]", next="pip install 'abreast[mcp]'"
        )
    chosen = (folder or working_directory()).resolve()
    if not chosen.is_dir():
        raise UsageError(f"there is no folder {chosen}", need="the folder of a project", next="abreast mcp --folder …")
    if sys.stdin.isatty():
        print("waits for a client that speaks the Model Context Protocol on standard input", file=sys.stderr)
    load("abreast.cli.mcp.server:serve")(chosen, time_limit or TIME_LIMIT)
    return 0
