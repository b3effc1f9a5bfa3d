"""Services whose code listens on a port of its own: only one version can run, so the new one replaces the other.

Kubernetes calls this strategy `Recreate`.
"""

import json
from collections.abc import Mapping, Sequence

from abreast.core.errors import PlatformError
from abreast.core.model import Version
from abreast.machine.kernel import SOCKETS
from abreast.machine.process import process_groups
from abreast.platforms.interface import StageRequest, TrafficMove
from abreast.platforms.local.instance_specs import VersionSpec
from abreast.platforms.local.processes import VersionProcesses
from abreast.platforms.local.router.router import Router
from abreast.platforms.local.supervisor.client import Instance

DRAIN = 2.0
"""Seconds that requests in flight have before the previous version stops: new ones get an error meanwhile."""

_ENV = "env"


def replacement_note(port: int) -> str:
    """Return what the plan says of such a service."""
    return (
        f"its code listens on port {port}, so two versions cannot run side by side: in the turn the previous one "
        "stops, and users get an error until the new one answers; read $PORT in the code to avoid that"
    )


def start_settings(request: StageRequest) -> Mapping[str, str]:
    """Return the handle of a version that starts later: its variables, without the secret ones."""
    return {_ENV: json.dumps({name: text for name, text in request.env.items() if name not in request.secrets})}


def previous_versions(moves: Sequence[TrafficMove], router: Router) -> tuple[str, ...]:
    """Return the versions of these services in the routing table that traffic does not switch to."""
    targets = {move.target.id for move in moves if move.target}
    services = {move.service.name for move in moves}
    return tuple(id_ for id_ in router.table().targets if id_.rpartition("-")[0] in services and id_ not in targets)


async def replace_versions(moves: Sequence[TrafficMove], old: Sequence[str], processes: VersionProcesses) -> None:
    """Stop the ``old`` versions, which have no users any more, and start those that traffic switched to."""
    await processes.stop(old)
    for move in moves:
        if move.target:
            await processes.start(_version_spec(move, move.target))


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
