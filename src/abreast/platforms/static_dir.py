"""The platform of a folder that a web server serves, here or over SSH: releases side by side, and a link to one."""

import asyncio
import shlex
import shutil
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.errors import PlatformError, TransientError
from abreast.core.model import Address, Service, Version
from abreast.platforms.interface import (
    Capabilities,
    Observation,
    Platform,
    PlatformPlugin,
    Reporter,
    StageRequest,
    TrafficMove,
    VersionRef,
)

CURRENT, RELEASES = "current", "releases"
SSH_COMMAND = "ssh -o BatchMode=yes -o ConnectTimeout=10"
UNREACHABLE_EXIT_CODES = frozenset({10, 12, 30, 35, 255})
"""Exit codes of rsync and ssh that say that the other side was not reached, or was lost on the way."""


class StaticDirSettings(BaseModel):
    """Which folder a frontend is copied to; the web server serves its `current`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    to: Annotated[str, Field(pattern=r"^([A-Za-z0-9_.@-]+:)?/[^:]*$")] = Field(
        description="The folder: `/srv/www/shop`, or `user@host:/srv/www/shop` over SSH."
    )
    url: Annotated[str, Field(pattern=r"^https?://")] = Field(description="Where users reach it.")
    ssh: str = Field(SSH_COMMAND, description="The command that reaches the host.")


class StaticDirPlatform(Platform):
    """Copies each release with rsync into a folder of its own; the turn changes the link ``current`` to it."""

    name = "static-dir"

    def capabilities(self, service: Service) -> Capabilities:  # noqa: ARG002 (the same for every folder)
        """No candidate can be asked, since what is not linked has no address."""
        notes = ("is checked in the turn: a release has no address before it is linked",)
        return Capabilities(has_candidates=False, notes=notes)

    async def live_version(self, service: Service) -> Version | None:
        """Return the release that is linked, whoever linked it."""
        linked = (await _TargetFolder(service).run_script("readlink {current} || true")).strip()
        release = linked.rpartition("/")[2]
        return _version(f"{service.name}-{release}", service, release) if release else None

    async def diagnose(self, service: Service) -> list[Diagnostic]:
        """Tell whether the folder is there and can be written to, with the program that copies."""
        await self.live_version(service)
        folder = _TargetFolder(service)
        if not shutil.which("rsync"):
            return [Diagnostic(DiagnosticSeverity.FAULT, "", "rsync is not here", "rsync, to copy a site")]
        if not (await folder.run_script("test -w {top} && echo yes || true")).strip():
            return [
                Diagnostic(
                    DiagnosticSeverity.FAULT,
                    "",
                    f"{folder} is not there, or not to be written to",
                    "a folder to write to",
                )
            ]
        return [Diagnostic(DiagnosticSeverity.OK, "", f"{folder} can be written to")]

    async def stage(self, order: StageRequest, report: Reporter) -> Version:  # noqa: ARG002 (one step)
        """Copy the artifact beside the releases that are there; what did not change is linked, not sent."""
        folder = _TargetFolder(order.service)
        await folder.run_script("mkdir -p {releases}")
        await folder.copy(str(order.artifact_path), order.version_id)
        return _version(order.version_id, order.service, order.version_id)

    async def switch_traffic(self, moves: Sequence[TrafficMove], report: Reporter) -> None:  # noqa: ARG002 (one step)
        """Link each release in one step; without one, take the link away."""
        await asyncio.gather(*(self._link_release(move) for move in moves))

    async def retire(self, versions: Sequence[VersionRef], drain: float) -> None:  # noqa: ARG002 (a server has it open)
        """Delete the releases, but never the one that is linked."""
        for version in versions:
            script = 'test "$(readlink {current})" = {link} || rm -rf {release}'
            await _TargetFolder(version.service).run_script(script, version.id)

    async def observe(self, versions: Sequence[VersionRef]) -> Mapping[str, Observation]:
        """Tell of each release whether it is there."""
        return {version.id: await self._observe(version) for version in versions}

    async def _link_release(self, move: TrafficMove) -> None:
        folder = _TargetFolder(move.service)
        if move.target is None:
            await folder.run_script("rm -f {current}")
            return
        script = "test -d {release} && ln -sfn {link} {current}.next && mv -T {current}.next {current}"
        await folder.run_script(script, move.target.handle["release"])

    async def _observe(self, version: VersionRef) -> Observation:
        release = version.handle.get("release", version.id)
        there = (
            await _TargetFolder(version.service).run_script("test -d {release} && echo yes || true", release)
        ).strip()
        return Observation(present=there == "yes", exit_reason="" if there else "somebody deleted it")


class _TargetFolder:
    """A service's folder, wherever it is."""

    def __init__(self, service: Service) -> None:
        self._host, _, self._path = str(service.settings["to"]).rpartition(":")
        self._ssh = str(service.settings.get("ssh", SSH_COMMAND))

    def __str__(self) -> str:
        return f"{self._host or 'this machine'}:{self._path}"

    async def run_script(self, script: str, release: str = "") -> str:
        """Run a script where the folder is and return what it prints; raises PlatformError, TransientError."""
        link = f"{RELEASES}/{release}"
        paths = {"top": "", "current": CURRENT, "releases": RELEASES, "release": link}
        known = {name: shlex.quote(f"{self._path}/{path}") for name, path in paths.items()}
        command = script.format(**known, link=shlex.quote(link))
        return await self._run(
            [*shlex.split(self._ssh), self._host, command] if self._host else ["/bin/sh", "-c", command]
        )

    async def copy(self, source: str, release: str) -> None:
        """Make the release's folder what ``source`` is, judged by content: a build may give all files one time."""
        destination = f"{self._path}/{RELEASES}/{release}/"
        target = f"{self._host}:{destination}" if self._host else destination
        beside = ["--link-dest", f"../../{CURRENT}/"]
        await self._run(["rsync", "-a", "--checksum", "--delete", *beside, "-e", self._ssh, f"{source}/", target])

    async def _run(self, command: Sequence[str]) -> str:
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
            )
        except FileNotFoundError as error:
            raise PlatformError(f"{command[0]} is not here", need=f"{command[0]}, to copy a site") from error
        try:
            stdout, stderr = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        if process.returncode:
            last = stderr.decode(errors="replace").strip().rpartition("\n")[2]
            kind = TransientError if process.returncode in UNREACHABLE_EXIT_CODES else PlatformError
            raise kind(
                f"{self}: {last or f'{command[0]} ended with {process.returncode}'}", need="a folder to write to"
            )
        return stdout.decode(errors="replace")


def _version(id: str, service: Service, release: str) -> Version:
    url = str(service.settings["url"]).rstrip("/")
    return Version(id, service.name, probes=(), url=url, live_probes=(Address(url),), handle={"release": release})


PLUGIN = PlatformPlugin(StaticDirSettings, lambda _: StaticDirPlatform())
