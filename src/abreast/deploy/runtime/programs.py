"""The programs that commands begin with: whether they are installed on this machine."""

import asyncio
import re
from collections.abc import Mapping

from abreast.core.errors import UsageError
from abreast.core.model import Service

INSTALLATION_PAGES = {
    "go": "https://go.dev/doc/install", "cargo": "https://rustup.rs", "bundle": "https://www.ruby-lang.org/en/downloads",
    "php": "https://www.php.net/downloads", "composer": "https://getcomposer.org/download",
    "mvn": "https://maven.apache.org/install.html", "gradle": "https://gradle.org/install",
    "dotnet": "https://dotnet.microsoft.com/download", "npm": "https://nodejs.org/en/download",
    "hugo": "https://gohugo.io/installation", "zola": "https://www.getzola.org/documentation/getting-started/installation",
}  # fmt: skip
"""Where programs come from that commands of ``abreast init`` begin with, and that nothing in a repository installs."""

_PROGRAM = re.compile(r"\s*(?:exec\s+)?([A-Za-z0-9._+/-]+)(?=\s|$)")


async def missing_program(command: str, env: Mapping[str, str]) -> str:
    """Return the program that a command begins with, if it is not installed; "" if it is, or is no plain name."""
    match = _PROGRAM.match(command)
    program = match[1] if match else ""
    if not program or "/" in program or await _is_installed(program, env):
        return ""
    return program


async def old_node(service: Service, env: Mapping[str, str]) -> UsageError | None:
    """Return the error for a Node on the PATH that is older than the service needs; None if it is new enough."""
    if service.node is None:
        return None
    told = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", "node --version",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL, env={**env, **service.env},
    )  # fmt: skip
    version = (await told.communicate())[0].decode(errors="replace").strip().removeprefix("v")
    if version and _numbers(version) >= _numbers(service.node):
        return None
    what = f"{service.name} needs Node {service.node}: the node on the PATH is {version or 'missing'}"
    return UsageError(what, need=f"Node {service.node} or newer on the PATH", next=f"nvm install {service.node}")


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


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
