"""The port of the ledger: what deployments write, and what views read."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from abreast.core.errors import RefusedError
from abreast.core.events import Event
from abreast.core.model import Chapter, DeploymentKind, LiveService, Plan, Service
from abreast.core.states import DeploymentState


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment as it stands; moments are ISO 8601 in UTC, ``finished`` is None while it goes on."""

    id: str
    project: str
    environment: str
    kind: DeploymentKind
    release: str
    commit: str
    state: DeploymentState
    chapter: Chapter
    started: str
    finished: str | None
    author: str
    reason: str

    @property
    def exit_code(self) -> int:
        """What a command that followed the deployment here exits with: 3 where a gate said no."""
        refused = self.state is DeploymentState.TURNED_BACK and self.chapter is Chapter.GATES
        return RefusedError.exit_code if refused else self.state.exit_code


@dataclass(frozen=True, slots=True)
class ReleasePart:
    """One service of a release: what was built, from which commit, and how it was meant to run."""

    service: str
    commit: str
    artifact: str
    definition: Service


@dataclass(frozen=True, slots=True)
class Release:
    """The artifacts of all services at one commit; complete when every service has its part."""

    version: str
    project: str
    commit: str
    created: str
    parts: Mapping[str, ReleasePart]


class Ledger(ABC):
    """Append-only; every write is one transaction, durable when it returns, and safe to repeat.

    Raises StateError when the state cannot be read or written; nothing is lost then.
    """

    @abstractmethod
    def reserve_version(self, project: str, commit: str) -> str:
        """Return the next version (``v1``, ``v2``, …) of the project's releases, now taken."""

    @abstractmethod
    def record_plan(self, plan: Plan) -> None:
        """Record a new deployment, waiting; it replaces older ones that still wait for its environment."""

    @abstractmethod
    def append_events(self, *events: Event) -> None:
        """Append events, each once by its key, all or none; one with a state moves its deployment there."""

    @abstractmethod
    def add_release_part(self, release: str, part: ReleasePart) -> None:
        """Add a service's part to a release; a part is never changed."""

    @abstractmethod
    def record_live_services(
        self, deployment: str, live_services: Sequence[LiveService], removed: Sequence[str] = ()
    ) -> None:
        """Record what users of each service reach since the turn; ``gone`` names services without users now."""

    @abstractmethod
    def request(self, deployment: str, request: str, reason: str) -> None:
        """Leave a request (``cancel``) for the process that carries the deployment out."""

    @abstractmethod
    def pending_request(self, deployment: str) -> tuple[str, str] | None:
        """Return the request and reason left for a deployment, if any."""

    @abstractmethod
    def record_secret_fingerprints(self, environment: str, fingerprints: Mapping[str, str]) -> None:
        """Note since when secrets have their values; ``fingerprints``, by ``service/NAME``, tell values apart."""

    @abstractmethod
    def secret_ages(self, environment: str) -> Mapping[str, str]:
        """Return since when secrets have the values that they have, by ``service/NAME``."""

    @abstractmethod
    def deployment(self, id: str) -> Deployment:
        """Return a deployment by its id or a unique beginning or end of it; UsageError that lists choices otherwise."""

    @abstractmethod
    def stored_plan(self, id: str) -> Plan:
        """Return the plan that a deployment was made with."""

    @abstractmethod
    def deployments(self, environment: str | None = None, limit: int = 20) -> tuple[Deployment, ...]:
        """Return deployments, newest first."""

    @abstractmethod
    def events(self, deployment: str, after: int = 0) -> tuple[Event, ...]:
        """Return a deployment's events with a ``seq`` greater than ``after``, in order."""

    @abstractmethod
    def live_services(self, environment: str) -> Mapping[str, LiveService]:
        """Return what users of each service reach, by service."""

    @abstractmethod
    def artifacts_in_use(self) -> frozenset[str]:
        """Return the artifacts that are live in any environment, or in the plan of a deployment that is not over."""

    @abstractmethod
    def release(self, version: str) -> Release:
        """Return a release; UsageError that lists the last ones if there is none of that name."""

    @abstractmethod
    def releases(self, limit: int = 20) -> tuple[Release, ...]:
        """Return releases, newest first."""

    @abstractmethod
    def expected_durations(self, environment: str) -> Mapping[tuple[str | None, str], float]:
        """Return how long each chapter of each service took of late, in seconds."""

    @abstractmethod
    def clear_live_services(self, environment: str) -> None:
        """Record that nothing runs in the environment any more."""
