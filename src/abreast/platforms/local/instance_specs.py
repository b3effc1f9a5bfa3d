"""The processes of a version: what the supervisor keeps running for a service of each type."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from pathlib import Path

from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import Resources, Service, ServiceType
from abreast.machine import control_groups
from abreast.machine.control_groups import IS_LINUX
from abreast.platforms.local.router.routing_table import HEALTH_INTERVAL, RESPONSE_TIMEOUT
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


@dataclass(frozen=True, slots=True)
class VersionSpec:
    """A version ``id`` of a service with ``run``; ``env`` and ``secrets`` are as in a StageRequest."""

    id: str
    service: Service
    env: Mapping[str, str] = field(repr=False)
    secrets: frozenset[str]


def instance_specs(version: VersionSpec, place: VersionPlace) -> Iterator[InstanceSpec]:
    """Yield the processes of a version."""
    service = version.service
    for name in instance_ids(version.id, service):
        yield InstanceSpec(
            id=name,
            command=_command(service, version.id, place.home),
            cwd=place.folder / service.artifact_folder,
            env={**place.inherited, **version.env, "ABREAST_DATA": str(place.data)},
            secrets=version.secrets,
            log=place.log,
            wants_port=service.has_address,
            liveness=_liveness(service) if service.has_address else None,
            app_port=app_port(service),
            resources=enforced_resources(service),
        )


def enforced_resources(service: Service) -> Resources:
    """Return the resources of a service to which the kernel keeps its processes here."""
    missing = control_groups.unenforced(control_groups.find_places(), service.resources) if service.resources else []
    return replace(service.resources, **dict.fromkeys(missing)) if missing else service.resources


def unenforced_note(service: Service) -> str:
    """Return which resources of a service are no limits here, "" if all of them are."""
    wanted, enforced = service.resources, enforced_resources(service)
    if wanted == enforced:
        return ""
    missing = Resources(None if enforced.cpu else wanted.cpu, None if enforced.memory else wanted.memory)
    why = "abreast may make no control groups on this machine" if IS_LINUX else "only Linux has control groups"
    return f"its limit of {missing} is NOT enforced here: {why}"


def instance_ids(version: str, service: Service) -> tuple[str, ...]:
    """Return the ids of the processes of a version."""
    return tuple(f"{version}-{number}" for number in range(service.instances))


def app_port(service: Service) -> int | None:
    """Return the port that the code of a service listens on whatever ``$PORT`` says, None if it listens on that."""
    port = service.settings.get("app_port")
    return port if isinstance(port, int) else None


def _liveness(service: Service) -> Liveness:
    """Return what must be answered. One that is busy with a response has as long as the response may take to begin."""
    return Liveness(service.health.path, float(response_timeout(service).removesuffix("s")), service.health.start)


def response_timeout(service: Service) -> str:
    """Return how long a response may take to begin, such as ``60s``."""
    return str(service.settings.get("response_timeout") or RESPONSE_TIMEOUT)


def health_interval(service: Service) -> str:
    """Return how often the router asks an instance for its health, such as ``3s``."""
    return f"{service.health.interval:g}s" if service.health.interval else HEALTH_INTERVAL


def _command(service: Service, version: str, home: Path) -> str | tuple[str, ...]:
    """Return what runs: the service's own command, or what starts it at the times of its schedule."""
    assert service.run
    if service.type is not ServiceType.SCHEDULED:
        return service.run
    assert service.schedule
    module = "abreast.platforms.local.supervisor.scheduled_command"
    # The variables and the folder are the service's: neither may lead Python to other modules.
    return (sys.executable, "-E", "-P", "-m", module, str(home), service.name, version, service.schedule, service.run)
