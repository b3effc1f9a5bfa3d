"""The process of a close watch: it outlives the command that began it, and writes to a log of its deployment."""

import asyncio
import os
import sys
from pathlib import Path

from abreast.cli.redaction import redact
from abreast.deploy.close_watch import DURATION, watch_closely
from abreast.ledger.interface import Ledger
from abreast.machine.process import start_detached
from abreast.wiring.assembly import Assembly
from abreast.wiring.workspace import Workspace, later, utc_now


def begin_close_watch(workspace: Workspace, ledger: Ledger, environment: str) -> str:
    """Begin to watch what is live in an environment, in a process of its own. Returns a line that says so.

    A run of a CI system ends with its machine: nothing would be left of such a process.
    """
    if workspace.ci_run:
        return f"nobody watches it after this run: abreast status --env {environment} --watch"
    deployment = next(found for found in ledger.deployments(environment) if found.kind.is_releasing)
    until = later(utc_now(), DURATION)
    log = workspace.deployment_logs / deployment.id / "close-watch.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with log.open("ab") as out:
        start_detached([sys.executable, "-m", __name__, str(workspace.root), deployment.id, until], out)
    return f"watched closely until {until}, and whoever is told of this environment is told if it degrades"


def main(root: str, deployment: str, until: str) -> None:
    """Watch until the end."""
    workspace = Workspace.locate(Path(root), os.environ)
    with workspace.open_ledger() as ledger:
        chosen = ledger.deployment(deployment)
        ports = Assembly(workspace).ports(chosen.environment, ledger)
        lock = workspace.environment_lock(chosen.environment, ledger)
        asyncio.run(watch_closely(ports, lock, chosen, until, _log))


def _log(line: str) -> None:
    print(f"{utc_now()}  {redact(line)}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
