"""The routing table: pure values and transitions."""

from collections.abc import Collection, Mapping
from dataclasses import field, replace
from pathlib import Path

from abreast.core.frozen_dataclass import dataclass
from abreast.core.maintenance import MaintenanceMode

RESPONSE_TIMEOUT, HEALTH_INTERVAL = "60s", "3s"


@dataclass(frozen=True, slots=True)
class Listener:
    """Where users reach a service. Services with different ``host`` names can share a port."""

    port: int
    host: str | None = None
    address: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Upstream:
    """A version of a backend. ``instances`` are ids of processes; their ports come from ``RouterFiles.endpoints``.

    An instance that does not answer at ``health_path``, or with ``failing_status`` and more, gets no requests while
    another one does.
    ``response_timeout``: the longest wait for the beginning of a response. ``interval``: from one request for
    ``health_path`` to the next.
    """

    id: str
    instances: tuple[str, ...]
    health_path: str = "/"
    response_timeout: str = RESPONSE_TIMEOUT
    failing_status: int = 400
    interval: str = HEALTH_INTERVAL


@dataclass(frozen=True, slots=True)
class Site:
    """A version of a frontend: the folder that ``install_site`` wrote.

    ``routes`` maps path prefixes to the services that answer below them. ``proxies`` are the other servers that its
    rules pass requests on to, such as ``https://example.org``.
    """

    id: str
    folder: Path
    routes: Mapping[str, str] = field(default_factory=dict)
    proxies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Background:
    """A version that no user is routed to: a worker or a scheduled command. ``processes`` are ids of processes."""

    id: str
    processes: tuple[str, ...]


Target = Upstream | Site | Background


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """Listeners by service, targets by id, and the live and candidate target id of each service.

    Users of the services in ``maintenance`` get a page, whatever is live.
    """

    listeners: Mapping[str, Listener] = field(default_factory=dict)
    targets: Mapping[str, Target] = field(default_factory=dict)
    live: Mapping[str, str] = field(default_factory=dict)
    candidates: Mapping[str, str] = field(default_factory=dict)
    maintenance: Mapping[str, MaintenanceMode] = field(default_factory=dict)

    @property
    def services_by_listener(self) -> Mapping[Listener, tuple[str, ...]]:
        """The services of each listener: a live one, and those that take its place or had it."""
        found: dict[Listener, tuple[str, ...]] = {}
        for service, listener in self.listeners.items():
            found[listener] = (*found.get(listener, ()), service)
        return found

    @property
    def prepared(self) -> Mapping[str, str]:
        """The candidates that are not live, by service."""
        return {service: id_ for service, id_ in self.candidates.items() if self.live.get(service) != id_}

    def with_listener(self, service: str, listener: Listener) -> "RoutingTable":
        """Set the listener of a service."""
        return replace(self, listeners={**self.listeners, service: listener})

    def with_candidate(self, service: str, target: Target) -> "RoutingTable":
        """Add a target that only checks reach."""
        return replace(
            self,
            targets={**self.targets, target.id: target},
            candidates={**self.candidates, service: target.id},
        )

    def with_live(self, target_ids: Mapping[str, str | None]) -> "RoutingTable":
        """Make a target live for each service; None takes the service offline.

        A service whose live version has no users has no listener. Raises KeyError for an unknown target, ValueError for
        two live services at one listener.
        """
        unknown = [id_ for id_ in target_ids.values() if id_ is not None and id_ not in self.targets]
        if unknown:
            raise KeyError(unknown[0])
        live = {service: id_ for service, id_ in {**self.live, **target_ids}.items() if id_ is not None}
        unrouted = {service for service, id_ in live.items() if isinstance(self.targets[id_], Background)}
        listeners = {service: at for service, at in self.listeners.items() if service not in unrouted}
        after = replace(self, live=live, listeners=listeners)
        for listener, services in after.services_by_listener.items():
            if len(names := [service for service in services if service in live]) > 1:
                raise ValueError(f"{' and '.join(names)} would both be live at port {listener.port}")
        return after

    def without_targets(self, ids: Collection[str]) -> "RoutingTable":
        """Remove targets. A service keeps its listener while it has a live version or a candidate."""
        live = {service: id_ for service, id_ in self.live.items() if id_ not in ids}
        candidates = {service: id_ for service, id_ in self.candidates.items() if id_ not in ids}
        return replace(
            self,
            listeners={name: at for name, at in self.listeners.items() if name in live or name in candidates},
            targets={name: target for name, target in self.targets.items() if name not in ids},
            live=live,
            candidates=candidates,
        )

    def with_maintenance(self, modes: Mapping[str, MaintenanceMode | None]) -> "RoutingTable":
        """Put services into maintenance; None ends it."""
        after = {**self.maintenance, **modes}
        return replace(self, maintenance={service: mode for service, mode in after.items() if mode is not None})
