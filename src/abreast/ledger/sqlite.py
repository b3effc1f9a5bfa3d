"""The ledger in one SQLite file."""

import contextlib
import json
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from abreast.core.codec import dump, load
from abreast.core.errors import StateError, UsageError
from abreast.core.events import Event, EventKind
from abreast.core.model import Chapter, DeploymentKind, LiveService, Plan
from abreast.core.states import DeploymentState, transition
from abreast.core.wording import counted
from abreast.ledger import file_errors
from abreast.ledger.audit import LIVE_ROW, PLAN_ROW, Anchor, find_damage, lost_events, row_digest
from abreast.ledger.durations import median_durations
from abreast.ledger.hash_chain import GENESIS_HASH, link_hash
from abreast.ledger.interface import Deployment, Ledger, Release, ReleasePart
from abreast.ledger.table_definitions import CREATE_STATEMENTS

LEDGER_FILE = "ledger.db"
ANCHOR_FILE = "ledger.anchor"


class SqliteLedger(Ledger):
    """A ledger that any number of processes and threads on this machine can share."""

    def __init__(self, file: Path, clock: Callable[[], datetime]) -> None:
        self._file = file
        self._clock = clock
        self._anchor_file = file.with_name(ANCHOR_FILE)
        self._appended: list[Anchor] = []
        """The events of the open transaction."""
        self._lock = threading.RLock()
        with self._translate_errors():
            self._db = sqlite3.connect(file, timeout=30, isolation_level=None, check_same_thread=False)

    @classmethod
    def open(cls, folder: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Self:
        """Open the ledger in ``folder``, created if missing; raises StateError if unusable, and leaves it as it is."""
        file = folder / LEDGER_FILE
        if file_errors.is_ledger_lost(str(folder)):
            raise _state_error(file_errors.lost_ledger_error(str(file)))
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not (folder / ".gitignore").exists():
                (folder / ".gitignore").write_text("*\n")
            file.touch(mode=0o600)
        except OSError as error:
            raise _state_error(file_errors.damaged_file_error(str(file), error.strerror or str(error))) from error
        ledger = cls(file, clock)
        try:
            ledger._prepare_file()
        except BaseException:
            ledger.close()
            raise
        return ledger

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # ── writing ────────────────────────────────────────────────────────────────────────────────

    def reserve_version(self, project: str, commit: str) -> str:
        """Reserve and return the next version (``v1``, ``v2``, …) of the project's releases."""
        with self._transaction() as db:
            (number,) = db.execute("SELECT coalesce(max(number), 0) + 1 FROM releases").fetchone()
            db.execute("INSERT INTO releases VALUES (?, ?, ?, ?)", (number, project, commit, self._now()))
            return f"v{number}"

    def record_plan(self, plan: Plan) -> None:
        """Record a new, waiting deployment; it cancels older ones that wait for the same environment."""
        with self._transaction() as db:
            older = db.execute(
                "SELECT id FROM deployments WHERE environment = ? AND state = 'waiting' AND id <> ?",
                (plan.environment, plan.deployment),
            ).fetchall()
            text = json.dumps(dump(plan))
            row = (
                plan.deployment, plan.project, plan.environment, plan.kind, plan.release, plan.commit,
                DeploymentState.WAITING, Chapter.PLAN, self._now(), None, plan.author, plan.reason, text,
            )  # fmt: skip
            db.execute(f"INSERT OR IGNORE INTO deployments VALUES ({', '.join('?' * len(row))})", row)
            message, digest = f"{plan.release} to {plan.environment}", {PLAN_ROW: row_digest(text)}
            self._append_event(Event(plan.deployment, "planned", EventKind.PLANNED, message, data=digest))
            for (id_,) in older:
                text = f"replaced by {plan.deployment} before it started"
                self._append_event(Event(id_, "replaced", EventKind.STATE, text, state=DeploymentState.CANCELLED))

    def append_events(self, *events: Event) -> None:
        """Append events in one transaction, each key once; an event with a state changes its deployment's state."""
        with self._transaction():
            for event in events:
                self._append_event(event)

    def add_release_part(self, release: str, part: ReleasePart) -> None:
        """Add a service's part to a release; an existing part is never changed."""
        with self._transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO parts VALUES (?, ?, ?, ?, ?)",
                (
                    _release_number(release),
                    part.service,
                    part.commit,
                    part.artifact,
                    json.dumps(dump(part.definition)),
                ),
            )

    def record_live_services(
        self, deployment: str, live_services: Sequence[LiveService], removed: Sequence[str] = ()
    ) -> None:
        """Record the live version of each service after traffic switched; services in ``removed`` have none now."""
        with self._transaction() as db:
            (environment,) = db.execute("SELECT environment FROM deployments WHERE id = ?", (deployment,)).fetchone()
            rows = {live.service: json.dumps(dump(live)) for live in live_services}
            for live in live_services:
                row = (environment, live.service, live.release, live.commit, live.since, rows[live.service])
                db.execute("INSERT OR REPLACE INTO live VALUES (?, ?, ?, ?, ?, ?)", row)
            for service in removed:
                db.execute("DELETE FROM live WHERE environment = ? AND service = ?", (environment, service))
            digests = {name: row_digest(text) for name, text in rows.items()}
            self._append_live_event(deployment, {**digests, **dict.fromkeys(removed)})

    def _append_live_event(self, deployment: str, digests: Mapping[str, str | None]) -> None:
        """Append what is live now, unless the last such event of the deployment says the same."""
        recorded = self._db.execute(
            "SELECT event FROM events WHERE deployment = ? AND key LIKE 'live/%' ORDER BY seq DESC", (deployment,)
        ).fetchall()
        data = {LIVE_ROW: digests}
        if digests and not (recorded and json.loads(recorded[0][0])["data"] == data):
            self._append_event(Event(deployment, f"live/{len(recorded) + 1}", EventKind.LIVE, data=data))

    def request(self, deployment: str, request: str, reason: str) -> None:
        """Leave a request (``cancel``) for the process that runs the deployment."""
        with self._transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO requests VALUES (?, ?, ?, ?)",
                (deployment, request, reason, self._now()),
            )

    def record_secret_fingerprints(self, environment: str, fingerprints: Mapping[str, str]) -> None:
        """Record fingerprints of secret values, by ``service/NAME``; a changed fingerprint resets the secret's age."""
        with self._transaction() as db:
            for name, fingerprint in fingerprints.items():
                db.execute(
                    "INSERT INTO secrets VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                    " fingerprint = excluded.fingerprint, since = excluded.since"
                    " WHERE fingerprint <> excluded.fingerprint",
                    (environment, name, fingerprint, self._now()),
                )

    def clear_live_services(self, environment: str, platforms: Collection[str]) -> None:
        """Record that nothing of the environment is live on the platforms."""
        with self._transaction() as db:
            cleared = db.execute(
                "DELETE FROM live WHERE environment = ? AND json_extract(live, '$.platform') IN"
                " (SELECT value FROM json_each(?)) RETURNING service",
                (environment, json.dumps(list(platforms))),
            ).fetchall()
            if cleared:
                newest = "SELECT id FROM deployments WHERE environment = ? ORDER BY rowid DESC LIMIT 1"
                (deployment,) = db.execute(newest, (environment,)).fetchone()
                self._append_live_event(deployment, dict.fromkeys(service for (service,) in cleared))

    # ── reading ────────────────────────────────────────────────────────────────────────────────

    def pending_request(self, deployment: str) -> tuple[str, str] | None:
        """Return the pending request for a deployment and its reason, None if there is none."""
        rows = self._query("SELECT request, reason FROM requests WHERE deployment = ?", deployment)
        return (rows[0][0], rows[0][1]) if rows else None

    def deployment(self, id: str) -> Deployment:
        """Return a deployment by its id, or a unique prefix or suffix of it."""
        text = id.upper()
        condition = "? IN (id, substr(id, 1, ?), substr(id, -?))"
        rows = (
            self._query(f"SELECT {_DEPLOYMENT_COLUMNS} FROM deployments WHERE {condition}", text, len(text), len(text))
            if text
            else []
        )
        if len(rows) == 1:
            return _deployment_from_row(rows[0])
        latest = ", ".join(deployment.id for deployment in self.deployments(limit=3)) or "none yet"
        problem = f"{id!r} matches {counted(len(rows), 'deployment')}" if rows else f"there is no deployment {id!r}"
        raise UsageError(
            problem, need=f"an id, or a unique prefix or suffix; the latest: {latest}", next="abreast history"
        )

    def stored_plan(self, id: str) -> Plan:
        """Return the plan of a deployment."""
        rows = self._query("SELECT plan FROM deployments WHERE id = ?", id)
        return load(Plan, json.loads(rows[0][0]))

    def deployments(self, environment: str | None = None, limit: int = 20) -> tuple[Deployment, ...]:
        """Return deployments, newest first."""
        rows = self._query(
            f"SELECT {_DEPLOYMENT_COLUMNS} FROM deployments WHERE environment = coalesce(?, environment)"
            " ORDER BY rowid DESC LIMIT ?",  # the order of recording, whatever the clock said
            environment,
            limit,
        )
        return tuple(map(_deployment_from_row, rows))

    def secret_ages(self, environment: str) -> Mapping[str, str]:
        """Return when each secret got its current value, by ``service/NAME``."""
        return dict(self._query("SELECT name, since FROM secrets WHERE environment = ?", environment))

    def events(self, deployment: str, after: int = 0) -> tuple[Event, ...]:
        """Return a deployment's events with ``seq`` greater than ``after``, in order."""
        found = self._query(
            "SELECT seq, event FROM events WHERE deployment = ? AND seq > ? ORDER BY seq", deployment, after
        )
        return tuple(replace(load(Event, json.loads(text)), seq=seq) for seq, text in found)

    def live_services(self, environment: str) -> Mapping[str, LiveService]:
        """Return the live version of each service, by service."""
        found = self._query("SELECT service, live FROM live WHERE environment = ? ORDER BY service", environment)
        return {service: load(LiveService, json.loads(text)) for service, text in found}

    def artifacts_in_use(self) -> frozenset[str]:
        """Return the artifacts that are live anywhere, or planned by an unfinished deployment."""
        live = [load(LiveService, json.loads(text)).artifact for (text,) in self._query("SELECT live FROM live")]
        unfinished = [deployment for deployment in self.deployments(limit=1000) if not deployment.state.is_final]
        planned = [
            part.artifact
            for deployment in unfinished
            for part in self.stored_plan(deployment.id).services
            if part.artifact
        ]
        previous = [
            part.previous.artifact
            for deployment in unfinished
            for part in self.stored_plan(deployment.id).services
            if part.previous
        ]
        return frozenset((*live, *planned, *previous))

    def release(self, version: str) -> Release:
        """Return a release; raises UsageError that lists the latest ones if it does not exist."""
        rows = self._query(
            "SELECT number, project, commit_id, created FROM releases WHERE number = ?", _release_number(version)
        )
        if not rows:
            latest = ", ".join(release.version for release in self.releases(5)) or "none yet"
            raise UsageError(f"there is no release {version!r}", need=f"one of: {latest}", next="abreast history")
        return self._load_release(rows[0])

    def releases(self, limit: int = 20) -> tuple[Release, ...]:
        """Return releases, newest first."""
        rows = self._query(
            "SELECT number, project, commit_id, created FROM releases ORDER BY number DESC LIMIT ?", limit
        )
        return tuple(map(self._load_release, rows))

    def expected_durations(self, environment: str) -> Mapping[tuple[str | None, str], float]:
        """Return each chapter's duration in seconds: the median of the last ten successful deployments."""
        succeeded = [
            deployment
            for deployment in self.deployments(environment, 50)
            if deployment.state is DeploymentState.SUCCEEDED
        ][:10]
        return median_durations([self.events(deployment.id) for deployment in succeeded])

    def find_damage(self) -> str:
        """Return what was changed or lost of what abreast recorded, "" if nothing was."""
        anchor = Anchor.read(self._anchor_file)  # before the events: others append to both
        with self._lock, self._translate_errors():
            self._db.execute("BEGIN")  # one state of all tables
            try:
                return find_damage(self._query, anchor)
            finally:
                self._db.execute("COMMIT")

    # ── the file ───────────────────────────────────────────────────────────────────────────────

    def _prepare_file(self) -> None:
        with self._translate_errors():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            (application_id,) = self._db.execute("PRAGMA application_id").fetchone()
            (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables and application_id != file_errors.APPLICATION_ID:
                raise _state_error(file_errors.foreign_file_error(str(self._file)))
            if version > file_errors.SCHEMA_VERSION:
                raise _state_error(file_errors.newer_schema_error(str(self._file), version))
            if tables and version < file_errors.SCHEMA_VERSION:
                raise _state_error(file_errors.older_schema_error(str(self._file), version))
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
        if not tables:
            self._create_tables()
        elif lost := lost_events(self._query, Anchor.read(self._anchor_file)):
            raise _state_error(file_errors.cut_off_error(str(self._file), lost))

    def _create_tables(self) -> None:
        with self._transaction() as db:
            for statement in CREATE_STATEMENTS:
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {file_errors.APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {file_errors.SCHEMA_VERSION}")

    def _append_event(self, event: Event) -> None:
        """Append within the open transaction, and update the deployment's chapter and state."""
        exists_query = "SELECT 1 FROM events WHERE deployment = ? AND key = ?"
        if self._db.execute(exists_query, (event.deployment, event.key)).fetchone():
            return
        stored = replace(event, at=self._now(), seq=0)
        last = self._db.execute("SELECT hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        text = json.dumps(dump(stored), sort_keys=True, ensure_ascii=False)
        row = (event.deployment, event.key, text, link_hash(last[0] if last else GENESIS_HASH, text))
        added = self._db.execute("INSERT INTO events (deployment, key, event, hash) VALUES (?, ?, ?, ?)", row)
        self._appended.append(Anchor(added.lastrowid or 0, row[3]))
        self._update_deployment(stored)

    def _update_deployment(self, event: Event) -> None:
        if event.chapter:
            self._db.execute("UPDATE deployments SET chapter = ? WHERE id = ?", (event.chapter, event.deployment))
        if event.state:
            (current,) = self._db.execute("SELECT state FROM deployments WHERE id = ?", (event.deployment,)).fetchone()
            state = transition(DeploymentState(current), event.state)
            finished = event.at if state.is_final or state is DeploymentState.STUCK else None
            self._db.execute(
                "UPDATE deployments SET state = ?, finished = ? WHERE id = ?",
                (state, finished, event.deployment),
            )

    def _load_release(self, row: tuple[Any, ...]) -> Release:
        number, project, commit, created = row
        rows = self._query("SELECT service, commit_id, artifact, definition FROM parts WHERE release = ?", number)
        parts_by_service = {
            name: load(
                ReleasePart,
                {"service": name, "commit": built_from, "artifact": artifact, "definition": json.loads(text)},
            )
            for name, built_from, artifact, text in rows
        }
        return Release(f"v{number}", project, commit, created, parts_by_service)

    def _now(self) -> str:
        return self._clock().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _query(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        with self._lock, self._translate_errors():
            return self._db.execute(query, arguments).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._translate_errors():
            self._db.execute("BEGIN IMMEDIATE")
            self._appended.clear()
            try:
                yield self._db
                self._db.execute("COMMIT")
                for newest in self._appended[-1:]:
                    newest.write(self._anchor_file)
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise StateError for an SQLite error."""
        try:
            yield
        except sqlite3.Error as error:
            raise _state_error(file_errors.damaged_file_error(str(self._file), str(error))) from error


_DEPLOYMENT_COLUMNS = (
    "id, project, environment, kind, release, commit_id, state, chapter, started, finished, author, reason"
)


def _deployment_from_row(row: tuple[Any, ...]) -> Deployment:
    id_, project, environment, kind, release, commit, state, chapter, started, finished, author, reason = row
    return Deployment(
        id_, project, environment, DeploymentKind(kind), release, commit, DeploymentState(state), Chapter(chapter),
        started, finished, author, reason,
    )  # fmt: skip


def _release_number(version: str) -> int:
    text = version.removeprefix("v")
    return int(text) if text.isdecimal() and len(text) < 10 else -1


def _state_error(texts: tuple[str, str, str]) -> StateError:
    what, need, next_command = texts
    return StateError(what, need=need, next=next_command)
