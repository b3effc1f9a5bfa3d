"""Commands that read the ledger and the logs: history, show, logs."""

import asyncio
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from abreast.cli.log_tail import Log, LogFile, LogTail
from abreast.cli.progress import ProgressDisplay
from abreast.cli.selection import choose_deployment, choose_environment, locate_workspace
from abreast.cli.terminal_text import visible
from abreast.cli.views import deployments as view
from abreast.core.model import DEFAULT_PLATFORM
from abreast.ledger.interface import Ledger
from abreast.wiring.workspace import Workspace


def history(environment: str | None, limit: int, *, as_json: bool) -> int:
    """List deployments, newest first."""
    with locate_workspace().open_ledger() as ledger:
        deployments = ledger.deployments(environment, limit)
    if as_json:
        print(json.dumps([view.deployment_json(deployment) for deployment in deployments], indent=2))
    else:
        nothing = ["nothing has been deployed yet. next: abreast deploy"]
        _print_lines(view.history_lines(deployments) if deployments else nothing)
    return 0


def show(deployment: str | None, *, watch: bool, as_json: bool) -> int:
    """Show one deployment in full, or follow it until it ends."""
    with locate_workspace().open_ledger() as ledger:
        chosen = choose_deployment(ledger, deployment)
        if watch and not chosen.state.is_final:
            display = ProgressDisplay(ledger, sys.stdout)
            asyncio.run(display.follow(chosen.id))
            return ledger.deployment(chosen.id).exit_code
        events = ledger.events(chosen.id)
    if as_json:
        print(json.dumps(view.deployment_json(chosen, events), indent=2))
    else:
        _print_lines(view.deployment_lines(chosen, events))
    return 0


def logs(
    deployment: str | None, environment: str | None, services: tuple[str, ...], line_count: int, *, follow: bool
) -> int:
    """Print the logs of the live services, or of one deployment's commands."""
    workspace = locate_workspace()
    with asyncio.Runner() as runner:
        with workspace.open_ledger() as ledger:
            found = (
                _deployment_logs(workspace, ledger, deployment)
                if deployment is not None
                else _service_logs(workspace, ledger, environment, line_count, runner)
            )
        selected = {
            label: log for label, log in sorted(found.items()) if not services or label.split(" ")[0] in services
        }
        if not selected:
            print("no output yet", file=sys.stderr)
            return 0
        tail = LogTail(selected)
        _print_lines(tail.last(line_count))
        if follow:
            _print_lines(tail.follow())
    return 0


def _deployment_logs(workspace: Workspace, ledger: Ledger, id: str) -> Mapping[str, Log]:
    deployment = ledger.deployment(id)
    return _log_files([
        *(workspace.deployment_logs / deployment.id).glob("*.log"),
        *(workspace.state / "logs" / deployment.environment).glob(f"*-{deployment.id}.log"),
    ])  # fmt: skip


def _service_logs(
    workspace: Workspace, ledger: Ledger, requested: str | None, line_count: int, runner: asyncio.Runner
) -> Mapping[str, Log]:
    """Return the logs of the live services: files of those that run here, and what other platforms keep."""
    environment = choose_environment(workspace.environment_names(), requested)
    live = ledger.live_services(environment)
    folder = workspace.state / "logs" / environment
    files = _log_files([folder / f"{service.version.id}.log" for service in live.values()])
    elsewhere = {name: service for name, service in live.items() if service.platform != DEFAULT_PLATFORM}
    if not elsewhere:
        return files
    from abreast.cli.platform_log import platform_logs  # noqa: PLC0415 (slow, and local services do not need it)
    from abreast.wiring.assembly import Assembly  # noqa: PLC0415 (slow, as above)

    kept = platform_logs(Assembly(workspace).platforms(environment), elsewhere, line_count, runner)
    for name in sorted(elsewhere.keys() - kept):
        print(f"{name}: {elsewhere[name].platform} keeps no output that abreast can read", file=sys.stderr)
    return {**files, **kept}


def _log_files(files: Iterable[Path]) -> dict[str, Log]:
    return {_log_label(file): LogFile(file) for file in files if file.exists()}


def _log_label(file: Path) -> str:
    """Return ``backend`` for a service's own log, ``backend build`` for its build's, ``backend test`` for a gate's."""
    stem = file.name.removesuffix(".log").replace(".", " ")
    return stem[:-27] if len(stem) > 27 and stem[-27] == "-" else stem


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(visible(line), flush=True)
