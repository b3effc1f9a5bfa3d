"""What Render says of a version: whether it is live and, if nobody can probe it, whether it runs."""

import asyncio
from dataclasses import dataclass

from abreast.platforms.interface import Observation, VersionRef
from abreast.platforms.render.client import RenderClient
from abreast.platforms.render.deploys import Deploys, render_service_id, short_source
from abreast.platforms.render.resources import Deploy, FailureEvent, ServiceType

OBSERVATION_TTL, STATUS_TTL = 10.0, 5.0
"""Seconds for which an observation is reused; the second of services that are judged by it alone."""

TYPE_KEY = "type"
"""Where a version's handle has the type of its service."""

_WITHOUT_ADDRESS = frozenset({ServiceType.PRIVATE.value, ServiceType.WORKER.value})


@dataclass(frozen=True, slots=True)
class _Status:
    """What Render says of a service at one time."""

    live: Deploy | None
    failures: tuple[FailureEvent, ...] = ()
    has_instances: bool = True


class Observations:
    """Observes versions, and asks no more often than needed."""

    def __init__(self, render: RenderClient, deploys: Deploys) -> None:
        self._render = render
        self._deploys = deploys
        self._known: dict[str, tuple[float, _Status]] = {}

    def forget(self, id: str) -> None:
        """Ask again: the service has changed."""
        self._known.pop(id, None)

    async def observe(self, version: VersionRef) -> Observation:
        """Return whether the service runs the version, and how often it ended, if nobody can probe it."""
        id_ = render_service_id(version.service)
        status = await self._status(id_, judged=version.handle.get(TYPE_KEY) in _WITHOUT_ADDRESS)
        if status.live is None or status.live.source != version.handle.get("of"):
            instead = short_source(status.live.source) if status.live else "nothing"
            return Observation(present=False, exit_reason=f"Render runs {instead} instead")
        if status.failures:
            return Observation(
                present=True,
                restarts=len(status.failures),
                exit_reason=str(status.failures[0].details.reason),
                log_tail=await self._deploys.last_lines(await self._render.get_service(id_)),
            )
        return Observation(present=True, waiting="" if status.has_instances else "Render runs no instance of it")

    async def _status(self, id_: str, *, judged: bool) -> _Status:
        now = asyncio.get_running_loop().time()
        if id_ in self._known and now - self._known[id_][0] < (STATUS_TTL if judged else OBSERVATION_TTL):
            return self._known[id_][1]
        status = _Status(await self._deploys.live_deploy(id_))
        if judged and status.live:
            failures = await self._render.list_failures(id_, status.live.finished_at or status.live.created_at)
            has_instances = bool(await self._render.list_instances(id_))
            status = _Status(status.live, tuple(failures), has_instances)
        self._known[id_] = now, status
        return status
