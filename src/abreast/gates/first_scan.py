"""A scan for secrets before there is a gate, for a baseline: what is there already, and what a commit adds later."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from pathlib import Path

from abreast.core.gates import Finding, Gate
from abreast.gates.interface import CommandOutcome, GateContext
from abreast.gates.secret_scan import link_or_copy, scan_secrets


def find_known_secrets(
    root: Path, files: Iterable[str], export_history: Callable[[Path], Iterator[Path]]
) -> tuple[Finding, ...]:
    """Return what the gate ``secrets`` would find in ``files`` and in the commits; nothing if it cannot look.

    ``export_history`` is as ``GateContext.export_outgoing``.
    """
    present = [file for file in files if (root / file).is_file() and not (root / file).is_symlink()]
    with tempfile.TemporaryDirectory(prefix="abreast-init-") as scratch:
        scan = asyncio.run(scan_secrets(Gate("secrets"), _context(root, present, export_history, Path(scratch))))
    return scan.findings


def _context(
    root: Path, files: Iterable[str], export_history: Callable[[Path], Iterator[Path]], scratch: Path
) -> GateContext:
    async def export(into: Path) -> AsyncIterator[Path]:
        for file in files:
            target = into / "files" / file
            target.parent.mkdir(parents=True, exist_ok=True)
            link_or_copy(root / file, target)
        yield into
        portions = await asyncio.to_thread(export_history, into.with_name("history"))
        while portion := await asyncio.to_thread(next, portions, None):
            yield portion

    async def run_command(_: str, text: str, env: Mapping[str, str], timeout: float) -> CommandOutcome:
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_shell(
            text, stdin=quiet, stdout=quiet, stderr=quiet, env={**os.environ, **env}
        )
        code = await asyncio.wait_for(process.wait(), timeout)
        return CommandOutcome("" if code == 0 else f"exit code {code}", (), code)

    async def nothing() -> Mapping[str, Path]:
        return {}

    async def unknown() -> None:
        return None

    return GateContext(root, scratch, "", run_command, unknown, export, nothing)
