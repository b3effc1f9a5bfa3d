"""Commands that only look."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from abreast.cli.log_tail import LogTail
from abreast.cli.progress import ProgressDisplay
from abreast.cli.target_selection import choose_deployment, choose_environment
from abreast.cli.views import deployments
from abreast.config import reference
from abreast.wiring.workspace import PLUGIN_SETTINGS, Workspace


def watch_status(print_status: Callable[[], int]) -> int:
    """Look again every second, until Ctrl-C."""
    while True:
        if sys.stdout.isatty():
            print("\x1b[2J\x1b[H", end="")
        code = print_status()
        sys.stdout.flush()
        try:
            time.sleep(1)
        except KeyboardInterrupt:
            return code


def history(cwd: Path, environment: str | None, limit: int, *, as_json: bool) -> int:
    """List deployments."""
    with Workspace.locate(cwd, os.environ).open_ledger() as ledger:
        found = ledger.deployments(environment, limit)
    if as_json:
        print(json.dumps([deployments.deployment_json(one) for one in found], indent=2))
    else:
        _print_lines(deployments.history_lines(found) if found else ["nothing was deployed yet. next: abreast deploy"])
    return 0


def show(cwd: Path, deployment_id: str | None, *, watch: bool, as_json: bool) -> int:
    """Show one deployment, or follow it."""
    with Workspace.locate(cwd, os.environ).open_ledger() as ledger:
        deployment = choose_deployment(ledger, deployment_id)
        if watch and not deployment.state.is_final:
            display = ProgressDisplay(ledger, sys.stdout)
            asyncio.run(display.follow(ledger.stored_plan(deployment.id)))
            return ledger.deployment(deployment.id).exit_code
        events = ledger.events(deployment.id)
    if as_json:
        print(json.dumps(deployments.deployment_json(deployment, events), indent=2))
    else:
        _print_lines(deployments.deployment_lines(deployment, events))
    return 0


def logs(
    cwd: Path,
    deployment_id: str | None,
    environment_name: str | None,
    services: tuple[str, ...],
    line_count: int,
    *,
    follow: bool,
) -> int:
    """Show what services, or a deployment's commands, printed."""
    workspace = Workspace.locate(cwd, os.environ)
    with workspace.open_ledger() as ledger:
        if deployment_id is not None:
            one = ledger.deployment(deployment_id)
            built = (workspace.state / "logs" / "deployments" / one.id).glob("*.log")
            files = [*built, *(workspace.state / "logs" / one.environment).glob(f"*-{one.id}.log")]
        else:
            environment = choose_environment(workspace.load_project().environments, environment_name)
            live = ledger.live_services(environment).values()
            files = [workspace.state / "logs" / environment / f"{one.version.id}.log" for one in live]
    wanted = {_log_label(file): file for file in sorted(files) if file.exists()}
    if services:
        wanted = {label: file for label, file in wanted.items() if label.split(" ")[0] in services}
    if not wanted:
        print("nothing was printed yet", file=sys.stderr)
        return 0
    tail = LogTail(wanted)
    _print_lines(tail.last(line_count))
    if follow:
        _print_lines(tail.follow())
    return 0


def schema() -> int:
    """Print the JSON Schema of abreast.yml."""
    print(json.dumps(reference.json_schema(PLUGIN_SETTINGS.platforms), indent=2))
    return 0


def docs(section: str | None) -> int:
    """Print the reference."""
    print(reference.markdown(PLUGIN_SETTINGS.platforms, section), end="")
    return 0


def _log_label(file: Path) -> str:
    """``backend`` for a service's own output, ``backend build`` for its build's, ``backend test`` for its gate's."""
    stem = file.name.removesuffix(".log").replace(".", " ")
    return stem[:-27] if len(stem) > 27 and stem[-27] == "-" else stem


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)
