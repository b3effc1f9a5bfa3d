"""An example plug-in for abreast: a platform, ``shelf``, and a gate, ``file-size``.

The shelf is a folder that a web server serves. Each version stands on it as ``versions/ID``; users get what the link
``current`` points to, so traffic switches when the link is replaced.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from abreast.core.errors import PlatformError
from abreast.core.gates import Gate, GateResult, GateVerdict
from abreast.core.model import Address, Service, Version
from abreast.gates.interface import GateContext, GatePlugin
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


class ShelfSettings(BaseModel):
    """What abreast.yml says under ``shelf:``."""

    model_config = ConfigDict(extra="forbid")

    folder: str = Field(description="The shelf; the web server serves its `current`.")
    url: str = Field(description="Where users reach the service.")


class Shelf(Platform):
    """Serves frontends from a folder on this machine."""

    name = "shelf"

    def capabilities(self, service: Service) -> Capabilities:
        """A version has no address before traffic switches, so it is checked right after."""
        return Capabilities(has_candidates=False, notes=("is checked once users are on it: a shelf has one address",))

    async def stage(self, request: StageRequest, report: Reporter) -> Version:
        """Copy the artifact onto the shelf, beside what is live."""
        target = _versions(request.service) / request.version_id
        if not target.exists():
            unfinished = target.with_name(f".{target.name}")
            shutil.rmtree(unfinished, ignore_errors=True)
            shutil.copytree(request.artifact_path, unfinished)
            unfinished.rename(target)
            await report(request.service.name, f"shelf: {target} is staged")
        url = str(request.service.settings["url"])
        handle = {"version": request.version_id}
        return Version(request.version_id, request.service.name, (), url, live_probes=(Address(url),), handle=handle)

    async def switch_traffic(self, moves: Sequence[TrafficMove], report: Reporter) -> None:
        """Point each link at its version, in one rename."""
        for move in moves:
            current = _versions(move.service).with_name("current")
            if move.target is None:
                current.unlink(missing_ok=True)
                continue
            version = _versions(move.service) / move.target.handle["version"]
            if not version.is_dir():
                raise PlatformError(f"{version} is not on the shelf", need="a staged version", next="abreast deploy")
            link = current.with_name(".current")
            link.unlink(missing_ok=True)
            link.symlink_to(version.relative_to(current.parent))
            link.replace(current)

    async def observe(self, versions: Sequence[VersionRef]) -> Mapping[str, Observation]:
        """A version is present while its folder is there."""
        return {
            version.id: Observation(present=(_versions(version.service) / version.handle.get("version", "-")).is_dir())
            for version in versions
        }

    async def retire(self, versions: Sequence[VersionRef], drain: float) -> None:
        """Remove versions, but never the one that users are on."""
        for version in versions:
            folder = _versions(version.service) / version.id
            current = folder.parent.with_name("current")
            if not current.is_symlink() or current.resolve() != folder.resolve():
                shutil.rmtree(folder, ignore_errors=True)


def _versions(service: Service) -> Path:
    folder = Path(str(service.settings["folder"])) / "versions"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


PLATFORM = PlatformPlugin(settings=ShelfSettings, create=lambda _: Shelf())


class FileSizeSettings(BaseModel):
    """What abreast.yml says under ``gates: file-size:``."""

    model_config = ConfigDict(extra="forbid")

    kilobytes: int = Field(1024, ge=1, description="How large a committed file may be.")


async def check_file_sizes(gate: Gate, context: GateContext) -> tuple[GateResult, ...]:
    """Refuse a commit with files larger than the limit; ``context.workdir`` is a clean checkout of it."""
    limit = int(str(gate.settings["kilobytes"])) * 1024
    paths = [Path(folder) / name for folder, _, names in os.walk(context.workdir) for name in names]
    large = sorted(path.relative_to(context.workdir).as_posix() for path in paths if path.lstat().st_size > limit)
    if not large:
        return (GateResult(gate.name, GateVerdict.PASSED),)
    return (GateResult(gate.name, GateVerdict.FAILED, f"files larger than {limit} bytes: {len(large)}", tuple(large)),)


GATE = GatePlugin(evaluate=check_file_sizes, settings=FileSizeSettings)
