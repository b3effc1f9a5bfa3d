"""The strategy ``recreate``: in the turn, the previous version stops before the new one starts.

Kubernetes has it as ``Recreate``. It is for what cannot run twice: abreast.yml says so, or code that listens on a port
of its own.
"""

import json
from collections.abc import Mapping, Sequence

from abreast.core.errors import PlatformError
from abreast.core.model import Service, ServiceType, Version
from abreast.core.strategy import Strategy, decide_strategy
from abreast.machine.kernel import SOCKETS
from abreast.machine.process import process_groups
from abreast.platforms.interface import Reporter, StageRequest, TrafficMove
from abreast.platforms.local.instance_specs import VersionSpec, app_port
from abreast.platforms.local.processes import TERMINATION_GRACE, VersionProcesses
from abreast.platforms.local.router.router import Router
from abreast.platforms.local.supervisor.client import Instance

DRAIN = 2.0
"""Seconds that requests in flight have before the previous version stops: new ones get an error meanwhile."""

_ENV = "env"

_NOTES = {
    ServiceType.WEB: "in the turn the previous version stops, and users get an error until this one answers",
    ServiceType.WORKER: "in the turn the previous version stops, and nothing works until this one has started",
    ServiceType.SCHEDULED: "in the turn a run of the previous version is ended; this one's begin after that",
}


def strategies(service: Service) -> tuple[Strategy, ...]:
    """Return how users can get to the next version of a service, the default first."""
    if service.run is None:
        return (Strategy.BLUE_GREEN,)
    return (Strategy.RECREATE,) if app_port(service) else (Strategy.BLUE_GREEN, Strategy.RECREATE)


def is_recreated(service: Service) -> bool:
    """Whether a version of the service starts in the turn, when the others have stopped."""
    return decide_strategy(service.strategy, strategies(service)) is Strategy.RECREATE


def recreation_note(service: Service) -> str:
    """Return what the plan says of such a service."""
    if port := app_port(service):
        return (
            f"its code listens on port {port}, so two versions cannot run side by side: in the turn the previous one "
            "stops, and users get an error until the new one answers; read $PORT in the code to avoid that"
        )
    return _NOTES[service.type]


def start_settings(request: StageRequest) -> Mapping[str, str]:
    """Return the handle of a version that starts in the turn: its variables, without the secret ones."""
    return {_ENV: json.dumps({name: text for name, text in request.env.items() if name not in request.secrets})}


def versions_to_start(moves: Sequence[TrafficMove]) -> dict[str, VersionSpec]:
    """Return, by service, the versions of these moves that start in the turn.

    Raises PlatformError if a secret of one has no value any more.
    """
    return {
        move.service.name: _version_spec(move, move.target)
        for move in moves
        if move.target and _ENV in move.target.handle
    }


async def recreate_version(
    version: VersionSpec, drain: float, router: Router, processes: VersionProcesses, report: Reporter
) -> None:
    """Start a version that traffic has switched to, once all others of its service have stopped.

    Those without users have ``drain`` seconds to end.
    """
    service = version.service
    present = {*router.table().targets, *processes.recorded_versions()} - {version.id}
    others = sorted(id_ for id_ in present if id_.rpartition("-")[0] == service.name)
    await router.drain(others, DRAIN)
    await processes.stop(others, TERMINATION_GRACE if service.has_address else max(drain, TERMINATION_GRACE))
    await report(service.name, f"local: {', '.join(others)} has stopped" if others else "local: no other version runs")
    await processes.start(version)


def _version_spec(move: TrafficMove, target: Version) -> VersionSpec:
    """Return what starts a version. Raises PlatformError if a secret has no value any more."""
    missing = sorted(name for name in move.service.secrets if name not in move.env)
    if missing:
        raise PlatformError(
            f"{move.service.name} cannot be started: {', '.join(missing)} has no value",
            need="the secrets that it started with",
            next=f"export {missing[0]}=…",
        )
    return VersionSpec(target.id, move.service, {**move.env, **json.loads(target.handle[_ENV])}, move.secrets)


def other_port(instances: Sequence[Instance]) -> int | None:
    """Return a port that processes of these instances listen on, though it is not theirs; None if there is none."""
    groups = process_groups([instance.pid for instance in instances])
    listening = SOCKETS.listening(pid for pids in groups.values() for pid in pids)
    for instance in instances:
        names = {name for pid in groups.get(instance.pid, ()) for name in _sockets(pid)}
        if found := [port for port, theirs in listening.items() if port != instance.port and theirs & names]:
            return min(found)
    return None


def _sockets(pid: int) -> frozenset[str]:
    try:
        return frozenset(SOCKETS.of_process(pid))
    except ProcessLookupError:
        return frozenset()
