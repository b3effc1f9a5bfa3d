"""The port of the ledger: deployments write it, commands and views read it."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from abreast.core.errors import RefusedError
from abreast.core.events import Event
from abreast.core.frozen_dataclass import dataclass
from abreast.core.incidents.context import LaterSuccess, PersonRequest
from abreast.core.maintenance import MaintenanceMode
from abreast.core.model import Chapter, LiveService, Service
from abreast.core.plan import DeploymentKind, Plan
from abreast.core.proposals import Proposal, ProposalEnd
from abreast.core.secrets import same_value
from abreast.core.states import DeploymentState

Json = Any


@dataclass(frozen=True, slots=True)
class Deployment:
    """The current state of a deployment; times are ISO 8601 in UTC, ``finished`` is None while it runs.

    ``run_url`` shows the run of the CI system that started it, "" outside of one.
    """

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
    run_url: str

    @property
    def exit_code(self) -> int:
        """The exit code of a command that followed this deployment: 3 if a gate or a person refused it."""
        refused = self.state is DeploymentState.TURNED_BACK and self.chapter in {Chapter.GATES, Chapter.APPROVAL}
        return RefusedError.exit_code if refused else self.state.exit_code


@dataclass(frozen=True, slots=True)
class ReleasePart:
    """One service of a release: its artifact, the commit it was built from, and its definition.

    ``image`` is the image that its artifact stands for, a name with digest, "" if it stands for none.
    """

    service: str
    commit: str
    artifact: str
    definition: Service
    image: str = ""


@dataclass(frozen=True, slots=True)
class Release:
    """The artifacts of all services at one commit; complete when every service has a part."""

    version: str
    project: str
    commit: str
    created: str
    parts: Mapping[str, ReleasePart]


@dataclass(frozen=True, slots=True)
class PastRollout:
    """One service's part of an earlier deployment: how that ended, and the files for which it got a new version."""

    deployment: str
    kind: DeploymentKind
    state: DeploymentState
    chapter: Chapter
    release: str
    service: str
    changed_files: frozenset[str]


class Ledger(ABC):
    """Append-only; every write is one transaction, durable when it returns, and safe to repeat.

    Raises StateError if the state cannot be read or written; nothing is lost.
    """

    @abstractmethod
    def reserve_version(self, project: str, commit: str) -> str:
        """Reserve and return the next version (``v1``, ``v2``, …) of the project's releases."""

    @abstractmethod
    def append_next_version(self, project: str, commit: str) -> None:
        """Append the next version in a transaction that is open, such as that of a lock.

        ``reserve_version`` returns it without a wait, if it is ours by then and the newest.
        """

    @abstractmethod
    def record_plan(self, plan: Plan) -> None:
        """Record a new, waiting deployment; it cancels older ones that wait for the same environment."""

    @abstractmethod
    def append_events(self, *events: Event) -> None:
        """Append events in one transaction, each key once; an event with a state changes its deployment's state."""

    @abstractmethod
    def record_step(self, workflow: str, step: str, result: Json, events: Sequence[Event] = ()) -> None:
        """Record the result of a workflow's step together with events; an existing result is never changed."""

    @abstractmethod
    def steps(self, workflow: str) -> Mapping[tuple[str, str], Json]:
        """Return the results of the steps of a workflow and its children (``workflow/…``), by workflow and step."""

    @abstractmethod
    def add_release_part(self, release: str, part: ReleasePart) -> None:
        """Add a service's part to a release; an existing part is never changed."""

    @abstractmethod
    def record_live_services(
        self, deployment: str, live_services: Sequence[LiveService], removed: Sequence[str] = ()
    ) -> None:
        """Record the live version of each service after traffic switched; services in ``removed`` have none now."""

    @abstractmethod
    def request(self, deployment: str, request: str, reason: str) -> None:
        """Leave a request (``cancel``) for the process that runs the deployment."""

    @abstractmethod
    def lock_environment(self, environment: str, lock: Mapping[str, str] | None) -> None:
        """Record that an operator locks an environment, or with None unlocks it.

        Keys: ``reason``, ``by``, ``since``, and ``until`` if it expires; times are ISO 8601 in UTC. A deployment that
        failed can lock its environment too: by an event whose data has such a ``lock``, with the key ``deployment``.
        """

    @abstractmethod
    def operator_locks(self) -> Mapping[str, Mapping[str, str]]:
        """Return the operators' locks that have not expired, by environment; see ``lock_environment``."""

    def operator_lock(self, environment: str) -> Mapping[str, str] | None:
        """Return the operator's lock of an environment, None if there is none that holds."""
        return self.operator_locks().get(environment)

    def check_operator_lock(self, environment: str, *, is_repair: bool = False) -> None:
        """Raise RefusedError if an operator locked the environment, or a deployment that failed did.

        Such a deployment does not lock out a repair: whatever is no deployment of a new release.
        """
        lock = self.operator_lock(environment)
        if lock and not (is_repair and "deployment" in lock):
            until = f" until {lock['until']}" if "until" in lock else ""
            raise RefusedError(
                f"{environment} is locked by {lock['by']} since {lock['since']}{until}: {lock['reason']}",
                next=f"abreast unlock --env {environment}",
            )

    @abstractmethod
    def record_maintenance(
        self, environment: str, modes: Mapping[str, MaintenanceMode], act: str, outcome: str, *, why: str = ""
    ) -> None:
        """Record which services of an environment are in maintenance now, by service, and by which act."""

    @abstractmethod
    def all_maintenance(self) -> Mapping[str, Mapping[str, MaintenanceMode]]:
        """Return the services in maintenance, or on their way there or back, by environment."""

    def maintenance(self, environment: str) -> Mapping[str, MaintenanceMode]:
        """Return the services of an environment that are in maintenance, or on their way there or back."""
        return self.all_maintenance().get(environment, {})

    @abstractmethod
    def record_act(self, environment: str, act: str, outcome: str, *, why: str = "", detail: str = "") -> None:
        """Record that somebody did, or was refused, what no deployment shows. ``environment`` is "" for none."""

    @abstractmethod
    def record_proposal(self, proposal: Proposal) -> Proposal:
        """Record a proposal, unless the same plan is open already, and return the one that is open."""

    @abstractmethod
    def end_proposal(self, proposal: Proposal, end: ProposalEnd) -> bool:
        """Record how a proposal ended, and return whether it ended by this: somebody else can have been faster."""

    @abstractmethod
    def proposals(self, environment: str | None = None) -> Sequence[Proposal]:
        """Return proposals, newest first."""

    @abstractmethod
    def record_notification(self, deployment: str, key: str, value: str) -> None:
        """Record that somebody was told of a deployment; an existing key keeps its value."""

    @abstractmethod
    def notifications(self, deployment: str) -> Mapping[str, str]:
        """Return what was recorded of telling somebody of a deployment, by key."""

    @abstractmethod
    def record_output(self, deployment: str, files: Sequence[Path]) -> None:
        """Record the end of the log files of a deployment's commands, if others can read the ledger."""

    @abstractmethod
    def output(self, deployment: str) -> Mapping[str, str]:
        """Return what was recorded of the output of a deployment's commands, by the name of the log."""

    @abstractmethod
    def flush(self, patience: float) -> str:
        """Wait up to ``patience`` seconds until others can read everything; return why they cannot, "" if they can.

        Raises StateError if it never will, since another process took the environment over.
        """

    @abstractmethod
    def pending_request(self, deployment: str) -> tuple[str, str] | None:
        """Return the pending request for a deployment and its reason, None if there is none."""

    @abstractmethod
    def record_secret_fingerprints(self, environment: str, fingerprints: Mapping[str, str]) -> None:
        """Record fingerprints of secret values, by ``service/NAME``; a changed fingerprint resets the secret's age."""

    @abstractmethod
    def secret_fingerprints(self, environment: str, known_to: str = "") -> Mapping[str, str]:
        """Return the fingerprint of each secret's value, by ``service/NAME``: the newest, or what a deployment knew."""

    def compare_secrets(self, environment: str, known_to: str) -> Mapping[str, bool | None]:
        """Return whether each secret, by ``service/NAME``, has the value that a deployment knew; see ``same_value``."""
        before, now = self.secret_fingerprints(environment, known_to), self.secret_fingerprints(environment)
        return {name: same_value(before.get(name, ""), fingerprint) for name, fingerprint in now.items()}

    @abstractmethod
    def secret_ages(self, environment: str) -> Mapping[str, str]:
        """Return when each secret got its current value, by ``service/NAME``."""

    @abstractmethod
    def deployment(self, id: str) -> Deployment:
        """Return a deployment by its id, or a unique prefix or suffix; raises UsageError that lists the latest ids."""

    @abstractmethod
    def stored_plan(self, id: str) -> Plan:
        """Return the plan of a deployment."""

    @abstractmethod
    def plan_digest(self, id: str) -> str:
        """Return 22 characters that change with anything in the recorded plan of a deployment.

        They are the first 16 bytes of the SHA-256 of its JSON (sorted keys, no spaces, UTF-8), in base64url.
        """

    @abstractmethod
    def deployments(self, environment: str | None = None, limit: int = 20) -> tuple[Deployment, ...]:
        """Return deployments, newest first."""

    @abstractmethod
    def past_rollouts(self, environment: str, limit: int) -> tuple[PastRollout, ...]:
        """Return what the latest ``limit`` deployments and rollbacks did to each service, newest first."""

    @abstractmethod
    def incident_candidates(self, environment: str | None, limit: int) -> tuple[Deployment, ...]:
        """Return the deployments that may have an incident: turned back, rolled back, or told of; newest first."""

    @abstractmethod
    def successes(self, environment: str) -> tuple[LaterSuccess, ...]:
        """Return the deployments and rollbacks to an environment that succeeded, oldest first."""

    @abstractmethod
    def requests(self, deployment: str) -> tuple[PersonRequest, ...]:
        """Return what people asked the process of a deployment for, oldest first."""

    @abstractmethod
    def events(self, deployment: str, after: int = 0) -> tuple[Event, ...]:
        """Return a deployment's events with ``seq`` greater than ``after``, in order."""

    @abstractmethod
    def live_services(self, environment: str) -> Mapping[str, LiveService]:
        """Return the live version of each service, by service."""

    @abstractmethod
    def artifacts_in_use(self) -> frozenset[str]:
        """Return the artifacts that are live anywhere, or planned by an unfinished deployment."""

    @abstractmethod
    def release(self, version: str) -> Release:
        """Return a release; raises UsageError that lists the latest ones if it does not exist."""

    @abstractmethod
    def releases(self, limit: int = 20) -> tuple[Release, ...]:
        """Return releases, newest first."""

    @abstractmethod
    def expected_durations(self, environment: str) -> Mapping[tuple[str | None, str], float]:
        """Return the recent duration of each chapter of each service, in seconds."""

    @abstractmethod
    def clear_live_services(self, environment: str, platforms: Collection[str]) -> None:
        """Record that nothing of the environment is live on the platforms."""
