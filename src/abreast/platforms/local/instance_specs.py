"""The processes of a version: what the supervisor keeps running for a service of each type."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path

from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import Service, ServiceType
from abreast.platforms.interface import StageRequest
from abreast.platforms.local.router.routing_table import RESPONSE_TIMEOUT
from abreast.platforms.local.supervisor.client import InstanceSpec, Liveness


@dataclass(frozen=True, slots=True)
class VersionPlace:
    """Where a version runs: the supervisor's ``home``, its own ``folder``, its ``data``, the ``log`` of its output.

    ``inherited`` holds the variables that every process starts with.
    """

    home: Path
    folder: Path
    data: Path
    log: Path
    inherited: Mapping[str, str] = field(repr=False)


def instance_specs(request: StageRequest, place: VersionPlace) -> Iterator[InstanceSpec]:
    """Yield the processes of a version of a service with ``run``."""
    service = request.service
    for number in range(service.instances):
        yield InstanceSpec(
            id=f"{request.version_id}-{number}",
            command=_command(service, request.version_id, place.home),
            cwd=place.folder / service.artifact_folder,
            env={**place.inherited, **request.env, "ABREAST_DATA": str(place.data)},
            secrets=request.secrets,
            log=place.log,
            wants_port=service.has_address,
            liveness=_liveness(service) if service.has_address else None,
        )


def _liveness(service: Service) -> Liveness:
    """Return what must be answered. One that is busy with a response has as long as the response may take to begin."""
    return Liveness(service.health.path, float(response_timeout(service).removesuffix("s")), service.health.start)


def response_timeout(service: Service) -> str:
    """Return how long a response may take to begin, such as ``60s``."""
    return str(service.settings.get("response_timeout") or RESPONSE_TIMEOUT)


def _command(service: Service, version: str, home: Path) -> str | tuple[str, ...]:
    """Return what runs: the service's own command, or what starts it at the times of its schedule."""
    assert service.run
    if service.type is not ServiceType.SCHEDULED:
        return service.run
    assert service.schedule
    module = "abreast.platforms.local.supervisor.scheduled_command"
    # The variables and the folder are the service's: neither may lead Python to other modules.
    return (sys.executable, "-E", "-P", "-m", module, str(home), service.name, version, service.schedule, service.run)
