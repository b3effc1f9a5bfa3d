"""The ledger on a file of entries."""

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from abreast.core.codec import dump, load
from abreast.core.errors import UsageError
from abreast.core.events import Event, EventKind
from abreast.core.incidents.context import LaterSuccess, PersonRequest
from abreast.core.maintenance import MaintenanceMode
from abreast.core.model import LiveService
from abreast.core.plan import Plan
from abreast.core.proposals import Proposal, ProposalEnd
from abreast.core.states import DeploymentState
from abreast.ledger import deployment_queries, kept_output, proposals
from abreast.ledger.durations import median_durations
from abreast.ledger.entries import Entry, EntryKind
from abreast.ledger.entry_file import EntryFile
from abreast.ledger.interface import Deployment, Json, Ledger, PastRollout, Release, ReleasePart

if TYPE_CHECKING:
    from abreast.ledger.checkpoints import CheckpointSigner


class SqliteLedger(Ledger):
    """A ledger that any number of processes and threads on this machine can share."""

    def __init__(self, file: EntryFile) -> None:
        self.file = file
        self._own_version: Entry | None = None
        """The version that was appended here last, until it is taken."""

    @classmethod
    def open(
        cls,
        folder: Path,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        file_class: type[EntryFile] = EntryFile,
    ) -> Self:
        """Open the ledger in ``folder``, created if missing; raises StateError if unusable, and leaves it as it is."""
        return cls(file_class.open(folder, clock))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.file.close()

    # ── writing ────────────────────────────────────────────────────────────────────────────────

    def reserve_version(self, project: str, commit: str) -> str:
        """Reserve and return the next version (``v1``, ``v2``, …) of the project's releases."""
        if version := self._take_appended_version(project, commit):
            return version
        while True:
            with self.file.transaction():
                recorded = self._append_version(project, commit)
            if self.file.settle([recorded]):
                return recorded.key

    def append_next_version(self, project: str, commit: str) -> None:
        """Append the next version in a transaction that is open, such as that of a lock."""
        self._own_version = self._append_version(project, commit)

    def _append_version(self, project: str, commit: str) -> Entry:
        newest = self._newest_version()
        number = int(newest.key.removeprefix("v")) + 1 if newest else 1
        # With the nonce, two machines that number one commit in the same millisecond do not record the same.
        data = {"commit": commit, "nonce": os.urandom(8).hex()}
        self.file.append(EntryKind.RELEASE, project, f"v{number}", data)
        return self.file.appended[-1]

    def _take_appended_version(self, project: str, commit: str) -> str:
        """Return the version that was appended last, once; "" if it is another's, not the newest, or does not fit."""
        own, self._own_version = self._own_version, None
        if own is None or (own.subject, own.data["commit"]) != (project, commit) or own != self._newest_version():
            return ""
        return own.key if self.file.settle([own]) else ""

    def _newest_version(self) -> Entry | None:
        query = "SELECT entry FROM entries WHERE kind = 'release' ORDER BY CAST(substr(key, 2) AS INTEGER) DESC LIMIT 1"
        rows = self.file.query(query)
        return Entry.parse(rows[0][0]) if rows else None

    def record_plan(self, plan: Plan) -> None:
        """Record a new, waiting deployment; it cancels older ones that wait for the same environment."""
        with self.file.transaction():
            older = self.file.query(
                "SELECT id FROM deployments WHERE environment = ? AND state = 'waiting' AND id <> ?",
                plan.environment, plan.deployment,
            )  # fmt: skip
            proposed = f", proposed by {plan.proposed_by}" if plan.proposed_by else ""
            self.file.append(EntryKind.PLAN, plan.deployment, "", dump(plan))
            self._append_event(
                Event(plan.deployment, "planned", EventKind.PLANNED, f"{plan.release} to {plan.environment}{proposed}")
            )
            for (id_,) in older:
                text = f"replaced by {plan.deployment} before it started"
                self._append_event(Event(id_, "replaced", EventKind.STATE, text, state=DeploymentState.CANCELLED))

    def append_events(self, *events: Event) -> None:
        """Append events in one transaction, each key once; an event with a state changes its deployment's state."""
        with self.file.transaction():
            for event in events:
                self._append_event(event)

    def _append_event(self, event: Event) -> None:
        fields = dump(event)
        data = {name: fields[name] for name in ("kind", "message", "service", "chapter", "state", "data")}
        self.file.append(EntryKind.EVENT, event.deployment, event.key, data)

    def record_step(self, workflow: str, step: str, result: Json, events: Sequence[Event] = ()) -> None:
        """Record the result of a workflow's step together with events; an existing result is never changed."""
        with self.file.transaction():
            for event in events:
                self._append_event(event)
            self.file.append(EntryKind.STEP, workflow, step, {"result": result})

    def add_release_part(self, release: str, part: ReleasePart) -> None:
        """Add a service's part to a release; an existing part is never changed."""
        with self.file.transaction():
            self.file.append(EntryKind.PART, release, part.service, dump(part))

    def record_live_services(
        self, deployment: str, live_services: Sequence[LiveService], removed: Sequence[str] = ()
    ) -> None:
        """Record the live version of each service after traffic switched; services in ``removed`` have none now."""
        with self.file.transaction():
            query = "SELECT environment FROM deployments WHERE id = ?"
            ((environment,),) = self.file.query(query, deployment)
            live = {service.service: dump(service) for service in live_services}
            self._append_live(environment, {**live, **dict.fromkeys(removed)})

    def _append_live(self, environment: str, changes: Mapping[str, Any]) -> None:
        """Append what is live, unless that is what the ledger says already."""
        found = self.file.query("SELECT service, live FROM live WHERE environment = ?", environment)
        known = {service: json.loads(live) for service, live in found}
        if any(known.get(service) != live for service, live in changes.items()):
            number = self.file.next_number(EntryKind.LIVE, environment)
            self.file.append(EntryKind.LIVE, environment, str(number), changes)

    def request(self, deployment: str, request: str, reason: str) -> None:
        """Leave a request (``cancel``) for the process that runs the deployment."""
        with self.file.transaction() as appended:
            self.file.append(EntryKind.REQUEST, deployment, request, {"reason": reason})
        self.file.settle(appended)

    def record_secret_fingerprints(self, environment: str, fingerprints: Mapping[str, str]) -> None:
        """Record fingerprints of secret values, by ``service/NAME``; a changed fingerprint resets the secret's age."""
        with self.file.transaction():
            changed = dict(fingerprints.items() - self.secret_fingerprints(environment).items())
            if changed:
                number = self.file.next_number(EntryKind.SECRETS, environment)
                self.file.append(EntryKind.SECRETS, environment, str(number), changed)

    def clear_live_services(self, environment: str, platforms: Collection[str]) -> None:
        """Record that nothing of the environment is live on the platforms."""
        with self.file.transaction():
            query = "SELECT service, json_extract(live, '$.platform') FROM live WHERE environment = ?"
            gone = [service for service, platform in self.file.query(query, environment) if platform in platforms]
            self._append_live(environment, dict.fromkeys(gone))

    def lock_environment(self, environment: str, lock: Mapping[str, str] | None) -> None:
        """Record that an operator locks an environment, or with None unlocks it."""
        with self.file.transaction() as appended:
            if lock or self.operator_lock(environment):
                number = self.file.next_number(EntryKind.LOCK, environment)
                self.file.append(EntryKind.LOCK, environment, str(number), {"lock": lock})
        self.file.settle(appended)

    def record_maintenance(
        self, environment: str, modes: Mapping[str, MaintenanceMode], act: str, outcome: str, *, why: str = ""
    ) -> None:
        """Record which services of an environment are in maintenance now, by service, and by which act."""
        data = {"services": dump(dict(modes), dict[str, MaintenanceMode]), "act": act, "outcome": outcome, "why": why}
        with self.file.transaction():
            number = self.file.next_number(EntryKind.MAINTENANCE, environment)
            self.file.append(EntryKind.MAINTENANCE, environment, f"{act}/{outcome}/{number}", data)

    def all_maintenance(self) -> Mapping[str, Mapping[str, MaintenanceMode]]:
        """Return the services in maintenance, or on their way there or back, by environment."""
        latest = "SELECT max(id) FROM entries WHERE kind = 'maintenance' GROUP BY subject"
        rows = self.file.query(f"SELECT entry FROM entries WHERE id IN ({latest}) ORDER BY subject")
        entries = [Entry.parse(text) for (text,) in rows]
        return {entry.subject: load(dict[str, MaintenanceMode], entry.data["services"]) for entry in entries}

    def record_act(self, environment: str, act: str, outcome: str, *, why: str = "", detail: str = "") -> None:
        """Record that somebody did, or was refused, what no deployment shows. ``environment`` is "" for none."""
        data = {"act": act, "outcome": outcome, "why": why, "detail": detail}
        with self.file.transaction():
            self.file.append(EntryKind.ACT, environment, secrets.token_hex(8), data)

    def record_checkpoint(self, signer: "CheckpointSigner") -> str:
        """Sign the end of the chain, and record and return the note; "" for an empty chain.

        Entries that are on their way to a home elsewhere are not signed.
        """
        with self.file.transaction():
            if not (last := self.file.last_link()):
                return ""
            note = signer.sign(last.seq, last.hash, datetime.now(UTC))
            self.file.append(EntryKind.CHECKPOINT, str(signer.key), str(last.seq), {"note": note})
        return note

    def checkpoint_keys(self) -> Sequence[str]:
        """Return the keys that signed checkpoints, as texts, that of the newest checkpoint first."""
        query = "SELECT subject FROM entries WHERE kind = 'checkpoint' GROUP BY subject ORDER BY max(id) DESC"
        return [subject for (subject,) in self.file.query(query)]

    def record_proposal(self, proposal: Proposal) -> Proposal:
        """Record a proposal, unless the same plan is open already, and return the one that is open."""
        return proposals.record_proposal(self.file, proposal, self.file.now())

    def end_proposal(self, proposal: Proposal, end: ProposalEnd) -> bool:
        """Record how a proposal ended, and return whether it ended by this: somebody else can have been faster."""
        return proposals.end_proposal(self.file, proposal, end)

    def record_notification(self, deployment: str, key: str, value: str) -> None:
        """Record that somebody was told of a deployment; an existing key keeps its value."""
        with self.file.transaction():
            self.file.append(EntryKind.NOTIFICATION, deployment, key, {"value": value})

    def record_output(self, deployment: str, files: Sequence[Path]) -> None:
        """Record the end of the log files of a deployment's commands, if others can read the ledger."""
        if not self.file.is_shared or not (packed := kept_output.pack(files)):
            return
        with self.file.transaction():
            number = self.file.next_number(EntryKind.OUTPUT, deployment)
            self.file.append(EntryKind.OUTPUT, deployment, str(number), packed)

    def flush(self, patience: float) -> str:
        """Wait up to ``patience`` seconds until others can read everything; return why they cannot, "" if they can."""
        return self.file.flush(patience)

    # ── reading ────────────────────────────────────────────────────────────────────────────────

    def steps(self, workflow: str) -> Mapping[tuple[str, str], Json]:
        """Return the results of the steps of a workflow and its children (``workflow/…``), by workflow and step."""
        rows = self.file.query(
            "SELECT subject, key, json_extract(entry, '$.data') FROM entries"
            " WHERE kind = 'step' AND (subject = ? OR subject > ? AND subject < ?)",
            workflow, f"{workflow}/", f"{workflow}0",  # "0" is the character after "/"
        )  # fmt: skip
        return {(subject, key): json.loads(data)["result"] for subject, key, data in rows}

    def proposals(self, environment: str | None = None) -> Sequence[Proposal]:
        """Return proposals, newest first."""
        return proposals.read_proposals(self.file, environment)

    def pending_request(self, deployment: str) -> tuple[str, str] | None:
        """Return the pending request for a deployment and its reason, None if there is none."""
        for _, entry in self.file.entries(EntryKind.REQUEST, deployment):
            return entry.key, entry.data["reason"]
        return None

    def notifications(self, deployment: str) -> Mapping[str, str]:
        """Return what was recorded of telling somebody of a deployment, by key."""
        found = self.file.entries(EntryKind.NOTIFICATION, deployment)
        return {entry.key: entry.data["value"] for _, entry in found}

    def output(self, deployment: str) -> Mapping[str, str]:
        """Return what was recorded of the output of a deployment's commands, by the name of the log."""
        return kept_output.unpack(entry.data for _, entry in self.file.entries(EntryKind.OUTPUT, deployment))

    def deployment(self, id: str) -> Deployment:
        """Return a deployment by its id, or a unique prefix or suffix of it."""
        return deployment_queries.find_deployment(self.file, id)

    def stored_plan(self, id: str) -> Plan:
        """Return the plan of a deployment."""
        ((_, entry),) = self.file.entries(EntryKind.PLAN, id)
        return load(Plan, entry.data)

    def plan_digest(self, id: str) -> str:
        """Return the digest of the recorded plan of a deployment."""
        ((_, entry),) = self.file.entries(EntryKind.PLAN, id)
        text = json.dumps(entry.data, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:16]).rstrip(b"=").decode()

    def deployments(self, environment: str | None = None, limit: int = 20) -> tuple[Deployment, ...]:
        """Return deployments, newest first."""
        return deployment_queries.latest_deployments(self.file, environment, limit)

    def past_rollouts(self, environment: str, limit: int) -> tuple[PastRollout, ...]:
        """Return what the latest ``limit`` deployments and rollbacks did to each service, newest first."""
        return deployment_queries.past_rollouts(self.file, environment, limit)

    def incident_candidates(self, environment: str | None, limit: int) -> tuple[Deployment, ...]:
        """Return the deployments that may have an incident: turned back, rolled back, or told of; newest first."""
        return deployment_queries.incident_candidates(self.file, environment, limit)

    def successes(self, environment: str) -> tuple[LaterSuccess, ...]:
        """Return the deployments and rollbacks to an environment that succeeded, oldest first."""
        return deployment_queries.successes(self.file, environment)

    def requests(self, deployment: str) -> tuple[PersonRequest, ...]:
        """Return what people asked the process of a deployment for, oldest first."""
        return deployment_queries.requests(self.file, deployment)

    def operator_locks(self) -> Mapping[str, Mapping[str, str]]:
        """Return the operators' locks that have not expired, by environment."""
        rows = self.file.query("SELECT environment, lock FROM operator_locks ORDER BY environment")
        locks = {environment: json.loads(text) for environment, text in rows}
        now = datetime.now(UTC)
        return {
            environment: lock
            for environment, lock in locks.items()
            if "until" not in lock or datetime.fromisoformat(lock["until"]) > now
        }

    def secret_fingerprints(self, environment: str, known_to: str = "") -> Mapping[str, str]:
        """Return the fingerprint of each secret's value, by ``service/NAME``: the newest, or what a deployment knew."""
        if not known_to:
            return dict(self.file.query("SELECT name, fingerprint FROM secrets WHERE environment = ?", environment))
        ((last,),) = self.file.query("SELECT max(id) FROM entries WHERE kind = 'event' AND subject = ?", known_to)
        found: dict[str, str] = {}
        for number, entry in self.file.entries(EntryKind.SECRETS, environment):
            found.update(entry.data if last and number <= last else {})
        return found

    def secret_ages(self, environment: str) -> Mapping[str, str]:
        """Return when each secret got its current value, by ``service/NAME``."""
        return dict(self.file.query("SELECT name, since FROM secrets WHERE environment = ?", environment))

    def events(self, deployment: str, after: int = 0) -> tuple[Event, ...]:
        """Return a deployment's events with ``seq`` greater than ``after``, in order."""
        found = self.file.entries(EntryKind.EVENT, deployment, after)
        return tuple(
            load(Event, {**entry.data, "deployment": deployment, "key": entry.key, "at": entry.at, "seq": seq})
            for seq, entry in found
        )

    def live_services(self, environment: str) -> Mapping[str, LiveService]:
        """Return the live version of each service, by service."""
        query = "SELECT service, live FROM live WHERE environment = ? ORDER BY service"
        return {service: load(LiveService, json.loads(text)) for service, text in self.file.query(query, environment)}

    def artifacts_in_use(self) -> frozenset[str]:
        """Return the artifacts that are live anywhere, or planned by an unfinished deployment."""
        live = [load(LiveService, json.loads(text)).artifact for (text,) in self.file.query("SELECT live FROM live")]
        unfinished = [deployment for deployment in self.deployments(limit=1000) if not deployment.state.is_final]
        parts = [part for deployment in unfinished for part in self.stored_plan(deployment.id).services]
        planned = [part.artifact for part in parts if part.artifact]
        previous = [part.previous.artifact for part in parts if part.previous]
        return frozenset((*live, *planned, *previous))

    def release(self, version: str) -> Release:
        """Return a release; raises UsageError that lists the latest ones if it does not exist."""
        query = "SELECT entry FROM entries WHERE kind = 'release' AND key = ?"
        rows = self.file.query(query, f"v{version.removeprefix('v')}")
        if not rows:
            latest = ", ".join(release.version for release in self.releases(5)) or "none yet"
            raise UsageError(f"there is no release {version!r}", need=f"one of: {latest}", next="abreast history")
        return self._release(Entry.parse(rows[0][0]))

    def releases(self, limit: int = 20) -> tuple[Release, ...]:
        """Return releases, newest first."""
        query = "SELECT entry FROM entries WHERE kind = 'release' ORDER BY id DESC LIMIT ?"
        return tuple(self._release(Entry.parse(text)) for (text,) in self.file.query(query, limit))

    def _release(self, entry: Entry) -> Release:
        found = self.file.entries(EntryKind.PART, entry.key)
        parts = {part.key: load(ReleasePart, part.data) for _, part in found}
        return Release(entry.key, entry.subject, entry.data["commit"], entry.at, parts)

    def expected_durations(self, environment: str) -> Mapping[tuple[str | None, str], float]:
        """Return each chapter's duration in seconds: the median of the last ten successful deployments."""
        recent = self.deployments(environment, 50)
        succeeded = [deployment for deployment in recent if deployment.state is DeploymentState.SUCCEEDED][:10]
        return median_durations([self.events(deployment.id) for deployment in succeeded])

    def find_damage(self) -> str:
        """Return what was changed or lost of what abreast recorded, "" if nothing was."""
        return self.file.find_damage()
