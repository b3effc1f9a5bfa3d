"""The port of the ledger: what deployments write, and what views read."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from abreast.core.errors import RefusedError
from abreast.core.events import Event
from abreast.core.model import Chapter, Kind, Live, Plan, Service
from abreast.core.states import State


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment as it stands; moments are ISO 8601 in UTC, ``finished`` is None while it goes on."""

    id: str
    project: str
    environment: str
    kind: Kind
    release: str
    commit: str
    state: State
    chapter: Chapter
    started: str
    finished: str | None
    author: str
    reason: str

    @property
    def exit_code(self) -> int:
        """What a command that followed the deployment here exits with: 3 where a gate said no."""
        refused = self.state is State.TURNED_BACK and self.chapter is Chapter.GATES
        return RefusedError.exit_code if refused else self.state.exit_code


@dataclass(frozen=True, slots=True)
class Part:
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
    parts: Mapping[str, Part]


class Ledger(ABC):
    """Append-only; every write is one transaction, durable when it returns, and safe to repeat.

    Raises StateError when the state cannot be read or written; nothing is lost then.
    """

    @abstractmethod
    def reserve(self, project: str, commit: str) -> str:
        """Return the next version (``v1``, ``v2``, …) of the project's releases, now taken."""

    @abstractmethod
    def plan(self, plan: Plan) -> None:
        """Record a new deployment, waiting; it replaces older ones that still wait for its environment."""

    @abstractmethod
    def record(self, *events: Event) -> None:
        """Append events, each once by its key, all or none; one with a state moves its deployment there."""

    @abstractmethod
    def built(self, release: str, part: Part) -> None:
        """Add a service's part to a release; a part is never changed."""

    @abstractmethod
    def went_live(self, deployment: str, lives: Sequence[Live], gone: Sequence[str] = ()) -> None:
        """Record what users of each service reach since the turn; ``gone`` names services without users now."""

    @abstractmethod
    def ask(self, deployment: str, request: str, reason: str) -> None:
        """Leave a request (``cancel``) for the process that carries the deployment out."""

    @abstractmethod
    def asked(self, deployment: str) -> tuple[str, str] | None:
        """Return the request and reason left for a deployment, if any."""

    @abstractmethod
    def seen(self, environment: str, fingerprints: Mapping[str, str]) -> None:
        """Note since when secrets have their values; ``fingerprints``, by ``service/NAME``, tell values apart."""

    @abstractmethod
    def secrets(self, environment: str) -> Mapping[str, str]:
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
    def live(self, environment: str) -> Mapping[str, Live]:
        """Return what users of each service reach, by service."""

    @abstractmethod
    def used(self) -> frozenset[str]:
        """Return the artifacts that are live in any environment, or in the plan of a deployment that is not over."""

    @abstractmethod
    def release(self, version: str) -> Release:
        """Return a release; UsageError that lists the last ones if there is none of that name."""

    @abstractmethod
    def releases(self, limit: int = 20) -> tuple[Release, ...]:
        """Return releases, newest first."""

    @abstractmethod
    def expected(self, environment: str) -> Mapping[tuple[str | None, str], float]:
        """Return how long each chapter of each service took of late, in seconds."""

    @abstractmethod
    def clear(self, environment: str) -> None:
        """Record that nothing runs in the environment any more."""
