"""The static-dir platform: a folder of releases, local or over SSH, and a link to the live one."""

import asyncio
import shlex
import shutil
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.errors import PlatformError, TransientError
from abreast.core.model import Address, Service, Version
from abreast.machine.tasks import run_all
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
from abreast.platforms.servable_files import PUBLIC_DOT_FOLDER

CURRENT, RELEASES = "current", "releases"
SSH_COMMAND = "ssh -o BatchMode=yes -o ConnectTimeout=10"
UNREACHABLE_EXIT_CODES = frozenset({10, 12, 30, 35, 255})
"""Exit codes of rsync and ssh for a failed or lost connection."""

_LEFT_OUT = ("--include=.htaccess", f"--include={PUBLIC_DOT_FOLDER}/", "--exclude=.*")
"""Options of rsync: the first that matches decides. ``.htaccess`` is for the web server, which hands it to nobody."""


class StaticDirSettings(BaseModel):
    """The folder that a frontend is copied to. Your web server serves `current` in it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    to: Annotated[str, Field(pattern=r"^([A-Za-z0-9_.@-]+:)?/[^:]*$")] = Field(
        description="The target folder, such as `/srv/www/shop`, or `user@host:/srv/www/shop` over SSH."
    )
    url: Annotated[str, Field(pattern=r"^https?://")] = Field(description="The public URL.")
    ssh: str = Field(SSH_COMMAND, description="The SSH command that connects to the host.")


class StaticDirPlatform(Platform):
    """Copies each release into a folder of its own with rsync. A traffic switch changes the link ``current``."""

    name = "static-dir"

    def capabilities(self, service: Service) -> Capabilities:  # noqa: ARG002 (the same for every folder)
        """No candidates: a release has no address before it is linked."""
        notes = ("is checked after traffic switches: a release has no address before it is linked",)
        return Capabilities(has_candidates=False, notes=notes)

    async def live_version(self, service: Service) -> Version | None:
        """Return the linked release, whoever linked it."""
        linked = (await _TargetFolder(service).run_script("readlink {current} || true")).strip()
        release = linked.rpartition("/")[2]
        return _version(f"{service.name}-{release}", service, release) if release else None

    async def diagnose(self, service: Service) -> list[Diagnostic]:
        """Check that rsync is installed and the folder is writable."""
        await self.live_version(service)
        folder = _TargetFolder(service)
        if not shutil.which("rsync"):
            return [Diagnostic(DiagnosticSeverity.FAULT, "", "rsync is not installed", "rsync, which copies the site")]
        if not (await folder.run_script("test -w {top} && echo yes || true")).strip():
            return [
                Diagnostic(
                    DiagnosticSeverity.FAULT,
                    "",
                    f"{folder} does not exist or is not writable",
                    "a writable folder",
                )
            ]
        return [Diagnostic(DiagnosticSeverity.OK, "", f"{folder} is writable")]

    async def stage(self, request: StageRequest, report: Reporter) -> Version:  # noqa: ARG002 (one step)
        """Copy the artifact beside the other releases. Unchanged files are hard-linked, not sent."""
        folder = _TargetFolder(request.service)
        await folder.run_script("mkdir -p {releases}")
        await folder.copy(str(request.artifact_path), request.version_id)
        return _version(request.version_id, request.service, request.version_id)

    async def switch_traffic(self, moves: Sequence[TrafficMove], report: Reporter) -> None:  # noqa: ARG002 (one step)
        """Point each link at its release atomically; remove the link where the target is None."""
        await run_all(*(self._link_release(move) for move in moves))

    async def retire(self, versions: Sequence[VersionRef], drain: float) -> None:  # noqa: ARG002 (open files survive their deletion)
        """Delete the releases, except a linked one."""
        for version in versions:
            script = 'test "$(readlink {current})" = {link} || rm -rf {release}'
            await _TargetFolder(version.service).run_script(script, version.id)

    async def observe(self, versions: Sequence[VersionRef]) -> Mapping[str, Observation]:
        """Return whether each release exists."""
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
        exists = (
            await _TargetFolder(version.service).run_script("test -d {release} && echo yes || true", release)
        ).strip()
        return Observation(present=exists == "yes", exit_reason="" if exists else "its folder was deleted")


class _TargetFolder:
    """A service's target folder, local or over SSH."""

    def __init__(self, service: Service) -> None:
        self._host, _, self._path = str(service.settings["to"]).rpartition(":")
        self._ssh = str(service.settings.get("ssh", SSH_COMMAND))

    def __str__(self) -> str:
        return f"{self._host or 'this machine'}:{self._path}"

    async def run_script(self, script: str, release: str = "") -> str:
        """Run a shell script on the folder's host and return its output. Raises PlatformError or TransientError."""
        link = f"{RELEASES}/{release}"
        paths = {"top": "", "current": CURRENT, "releases": RELEASES, "release": link}
        quoted = {name: shlex.quote(f"{self._path}/{path}") for name, path in paths.items()}
        command = script.format(**quoted, link=shlex.quote(link))
        return await self._run(
            [*shlex.split(self._ssh), self._host, command] if self._host else ["/bin/sh", "-c", command]
        )

    async def copy(self, source: str, release: str) -> None:
        """Sync ``source`` to the release's folder, by content alone: times differ with each build, or are all the same.

        With times, rsync would link nothing that was built again. Without, an unchanged file keeps the `Last-Modified`
        that browsers know. Leaves out what a web server would hand to anybody: dot files, and links to outside.
        """
        destination = f"{self._path}/{RELEASES}/{release}/"
        target = f"{self._host}:{destination}" if self._host else destination
        link_dest = ["--link-dest", f"../../{CURRENT}/"]
        await self._run(
            ["rsync", "-a", "--no-times", "--checksum", "--delete", "--safe-links", *_LEFT_OUT, *link_dest,
             "-e", self._ssh, f"{source}/", target]
        )  # fmt: skip

    async def _run(self, command: Sequence[str]) -> str:
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
            )
        except FileNotFoundError as error:
            raise PlatformError(
                f"{command[0]} is not installed", need=f"{command[0]}, which the static-dir platform runs"
            ) from error
        try:
            stdout, stderr = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.communicate()  # waits for its children, too; since Python 3.13, wait() does not
            raise
        if process.returncode:
            last = stderr.decode(errors="replace").strip().rpartition("\n")[2]
            kind = TransientError if process.returncode in UNREACHABLE_EXIT_CODES else PlatformError
            raise kind(f"{self}: {last or f'{command[0]} exited with {process.returncode}'}", need="a writable folder")
        return stdout.decode(errors="replace")


def _version(id: str, service: Service, release: str) -> Version:
    url = str(service.settings["url"]).rstrip("/")
    return Version(id, service.name, probes=(), url=url, live_probes=(Address(url),), handle={"release": release})


PLUGIN = PlatformPlugin(StaticDirSettings, lambda _: StaticDirPlatform())
