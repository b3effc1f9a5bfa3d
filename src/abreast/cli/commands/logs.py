"""The output of services, builds and candidates."""

import asyncio
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from abreast.cli.log_tail import KeptLog, Log, LogFile, LogTail
from abreast.cli.selection import choose_deployment, known_environment, locate_workspace, read_record
from abreast.cli.terminal_text import visible
from abreast.cli.views.event_lines import event_lines
from abreast.core.errors import UsageError
from abreast.core.events import EventKind
from abreast.core.model import DEFAULT_PLATFORM
from abreast.core.states import DeploymentState
from abreast.ledger.interface import Deployment, Ledger
from abreast.wiring.workspace import Workspace

LINES_OF_SERVICES = 50
"""Lines of each live service that are printed first; of a deployment's output, all are."""

_FAILED = frozenset({DeploymentState.TURNED_BACK, DeploymentState.STUCK})


@dataclass(frozen=True, slots=True)
class _Output:
    """What can be shown: logs by label, why a deployment failed, and the names that ``--service`` may select."""

    logs: Mapping[str, Log]
    failure: Sequence[str]
    services: Sequence[str]


def logs(
    deployment: str | None, environment: str | None, services: tuple[str, ...], line_count: int | None, *, follow: bool
) -> int:
    """Print the output of one deployment, or of the live services and of what the latest deployment failed at."""
    workspace = locate_workspace()
    with asyncio.Runner() as runner, read_record(workspace) as ledger:
        if deployment is not None:
            output = _deployment_output(workspace, ledger, deployment, environment)
        else:
            line_count = line_count or LINES_OF_SERVICES
            output = _live_output(workspace, ledger, environment, services, line_count, runner)
        _check_services_exist(services, output.services)
        if not output.logs and not output.failure:
            is_first = not ledger.deployments(limit=1)
            print(
                "nothing has been deployed yet. next: abreast deploy" if is_first else "no output yet", file=sys.stderr
            )
            return 0
        tail = LogTail({
            label: log for label, log in sorted(output.logs.items()) if not services or label.split(" ")[0] in services
        })  # fmt: skip
        _print_lines(tail.last(line_count))
        _print_lines(output.failure)
        if follow:
            _print_lines(tail.follow())
    return 0


def _deployment_output(workspace: Workspace, ledger: Ledger, requested: str, environment: str | None) -> _Output:
    chosen = choose_deployment(ledger, requested, environment)
    services = [part.name for part in ledger.stored_plan(chosen.id).services]
    kept = {_log_label(name): KeptLog(text) for name, text in ledger.output(chosen.id).items()}
    return _Output({**kept, **_deployment_logs(workspace, chosen)}, (), services)


def _live_output(
    workspace: Workspace, ledger: Ledger, environment: str | None, services: Sequence[str], line_count: int,
    runner: asyncio.Runner,
) -> _Output:  # fmt: skip
    name = known_environment(workspace, ledger, environment)
    return _Output(
        _service_logs(workspace, ledger, name, line_count, runner),
        tuple(_failure_lines(ledger, name, services)),
        (*workspace.service_names(), *ledger.live_services(name)),
    )


def _check_services_exist(requested: Sequence[str], known: Iterable[str]) -> None:
    choices = list(dict.fromkeys(known))
    for name in requested:
        if name not in choices:
            raise UsageError(f"there is no service {name!r}", need=f"one of: {', '.join(choices)}")


def _failure_lines(ledger: Ledger, environment: str, services: Sequence[str]) -> Iterator[str]:
    """Yield why the latest deployment of an environment failed, with the output that its failures carry."""
    for latest in ledger.deployments(environment, 1):
        if latest.state not in _FAILED:
            return
        failures = [event for event in ledger.events(latest.id) if event.kind is EventKind.FAILED]
        yield f"the latest deployment failed: {latest.release} ({latest.commit[:7]})"
        for event in failures:
            if not services or event.service in services:
                yield from event_lines(event)
        yield f"next: abreast logs {latest.id}"


def _deployment_logs(workspace: Workspace, deployment: Deployment) -> Mapping[str, Log]:
    return _log_files([
        *(workspace.deployment_logs / deployment.id).glob("*.log"),
        *(workspace.state / "logs" / deployment.environment).glob(f"*-{deployment.id}.log"),
    ])  # fmt: skip


def _service_logs(
    workspace: Workspace, ledger: Ledger, environment: str, line_count: int, runner: asyncio.Runner
) -> Mapping[str, Log]:
    """Return the logs of the live services: files of those that run here, and what other platforms keep."""
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
    return {_log_label(file.name): LogFile(file) for file in files if file.exists()}


def _log_label(name: str) -> str:
    """Return ``backend`` for a service's own log, ``backend build`` for its build's, ``backend test`` for a gate's."""
    stem = name.removesuffix(".log").replace(".", " ")
    return stem[:-27] if len(stem) > 27 and stem[-27] == "-" else stem


def _print_lines(lines: Iterable[str]) -> None:
    for line in lines:
        print(visible(line), flush=True)
