"""What the router serves: pure values, and the moves between them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Listener:
    """Where users reach a service; services with different ``host`` names can share a port."""

    port: int
    host: str | None = None
    address: str = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Upstream:
    """A version of a backend: ports of 127.0.0.1."""

    id: str
    endpoints: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """A version of a frontend: a folder that ``lay_site`` made, and a text that changes with its content."""

    id: str
    folder: Path
    etag: str


Target = Upstream | Site


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """Listeners by service, targets by id, and which target each service's users and checks reach."""

    listeners: Mapping[str, Listener] = field(default_factory=dict)
    targets: Mapping[str, Target] = field(default_factory=dict)
    live: Mapping[str, str] = field(default_factory=dict)
    candidates: Mapping[str, str] = field(default_factory=dict)

    def with_listener(self, service: str, listener: Listener) -> "RoutingTable":
        """Put the service behind a listener."""
        return replace(self, listeners={**self.listeners, service: listener})

    def with_candidate(self, service: str, target: Target) -> "RoutingTable":
        """Add a target that only checks of the service reach."""
        return replace(
            self,
            targets={**self.targets, target.id: target},
            candidates={**self.candidates, service: target.id},
        )

    def with_live(self, target_ids: Mapping[str, str | None]) -> "RoutingTable":
        """Move each service's users to the target named; None leaves the service without users.

        Raises KeyError for a target that is not there.
        """
        unknown = [aim for aim in target_ids.values() if aim is not None and aim not in self.targets]
        if unknown:
            raise KeyError(unknown[0])
        moved = {**self.live, **target_ids}
        return replace(self, live={service: aim for service, aim in moved.items() if aim is not None})

    def without_targets(self, ids: Collection[str]) -> "RoutingTable":
        """Take targets away; services keep their listener while anything of them is left."""
        live = {service: aim for service, aim in self.live.items() if aim not in ids}
        candidates = {service: aim for service, aim in self.candidates.items() if aim not in ids}
        return RoutingTable(
            listeners={name: at for name, at in self.listeners.items() if name in live or name in candidates},
            targets={name: target for name, target in self.targets.items() if name not in ids},
            live=live,
            candidates=candidates,
        )
