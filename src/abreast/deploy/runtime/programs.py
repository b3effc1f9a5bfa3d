"""The programs that commands begin with: whether they are installed on this machine."""

import asyncio
import re
from collections.abc import Mapping

_PROGRAM = re.compile(r"\s*(?:exec\s+)?([A-Za-z0-9._+/-]+)(?=\s|$)")


async def missing_program(command: str, env: Mapping[str, str]) -> str:
    """Return the program that a command begins with, if it is not installed; "" if it is, or is no plain name."""
    match = _PROGRAM.match(command)
    program = match[1] if match else ""
    if not program or "/" in program or await _is_installed(program, env):
        return ""
    return program


async def _is_installed(program: str, env: Mapping[str, str]) -> bool:
    """Ask the shell that would run the program, since it also has builtins and keywords."""
    lookup = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", 'command -v "$0"', program,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=dict(env),
    )  # fmt: skip
    return await lookup.wait() == 0
