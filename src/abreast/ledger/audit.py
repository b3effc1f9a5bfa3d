"""Notices what was changed or lost in a ledger: by its hash chain, an anchor beside it, and the rows it explains."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from abreast.core.events import EventKind
from abreast.core.states import DeploymentState
from abreast.ledger.hash_chain import find_break

Query = Callable[..., Sequence[tuple[Any, ...]]]

LIVE_ROW = "live"
"""In the data of a LIVE event: the digest of each service's row, None if the service has none now."""
PLAN_ROW = "plan"
"""In the data of a PLANNED event: the digest of the plan."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """The last event that was recorded, kept in a file of its own: a chain that lost its end looks whole."""

    seq: int
    hash: str

    @classmethod
    def read(cls, file: Path) -> "Anchor | None":
        """Return the anchor in a file, None if there is none."""
        with suppress(OSError, ValueError, TypeError):
            return cls(**json.loads(file.read_text()))
        return None

    def write(self, file: Path) -> None:
        """Write the anchor. A full disk must not lose the event, which is recorded already."""
        with suppress(OSError):
            temporary = file.with_name(f".{file.name}.{os.getpid()}")
            temporary.write_text(json.dumps({"seq": self.seq, "hash": self.hash}))
            temporary.replace(file)


def row_digest(text: str) -> str:
    """Return the digest of a row's JSON, which an event records."""
    return hashlib.sha256(text.encode()).hexdigest()


def lost_events(query: Query, anchor: Anchor | None) -> str:
    """Return what is missing of the events up to the anchor, "" if nothing is."""
    if anchor is None:
        return ""
    rows = query("SELECT hash FROM events WHERE seq = ?", anchor.seq)
    if rows and rows[0][0] == anchor.hash:
        return ""
    ((last,),) = query("SELECT coalesce(max(seq), 0) FROM events")
    if last < anchor.seq:
        return f"{anchor.seq} events were recorded, and {last} are left"
    return f"event {anchor.seq} is not the one that was recorded"


def find_damage(query: Query, anchor: Anchor | None) -> str:
    """Return what was changed or lost, "" if the ledger is as abreast wrote it."""
    ((pages,),) = query("PRAGMA integrity_check(1)")
    if pages != "ok":
        return f"its pages are damaged: {pages}"
    rows = query("SELECT seq, event, hash FROM events ORDER BY seq")
    if broken := find_break(rows):
        return f"the audit trail is broken at event {broken.seq}"
    if lost := lost_events(query, anchor):
        return lost
    if rows and anchor is None:
        return "the anchor of the audit trail is gone (ledger.anchor)"
    events = [json.loads(text) for _, text, _ in rows]
    return _changed_deployment(query, events) or _changed_live_row(query, events)


def _changed_deployment(query: Query, events: Sequence[Mapping[str, Any]]) -> str:
    """Return the first deployment whose row is not what its events say."""
    rows = query("SELECT id, environment, release, commit_id, state, chapter, finished, plan FROM deployments")
    by_deployment: dict[str, list[Mapping[str, Any]]] = {id_: [] for id_, *_ in rows}
    for event in events:
        by_deployment.setdefault(event["deployment"], []).append(event)
    for id_, environment, release, commit, state, chapter, finished, plan in rows:
        planned = json.loads(plan)
        known = _explained(by_deployment.pop(id_))
        seen = {
            PLAN_ROW: row_digest(plan), "state": state, "chapter": chapter, "finished": finished,
            "environment": environment, "release": release, "commit": commit,
        }  # fmt: skip
        known |= {name: planned[name] for name in ("environment", "release", "commit")}
        for name, value in known.items():
            if seen[name] != value:
                return f"the {name} of deployment {id_} was changed in the ledger"
    return f"deployment {next(iter(by_deployment))} is gone from the ledger" if by_deployment else ""


def _explained(events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the events of one deployment say about its row."""
    known: dict[str, Any] = {"state": "waiting", "chapter": "plan", "finished": None, PLAN_ROW: None}
    for event in events:
        if event["kind"] == EventKind.PLANNED:
            known[PLAN_ROW] = event["data"].get(PLAN_ROW)
        known["chapter"] = event["chapter"] or known["chapter"]
        if event["state"]:
            state = DeploymentState(event["state"])
            ended = state.is_final or state is DeploymentState.STUCK
            known |= {"state": state.value, "finished": event["at"] if ended else None}
    return known


def _changed_live_row(query: Query, events: Sequence[Mapping[str, Any]]) -> str:
    """Return the first service whose live version is not the one that was recorded."""
    environments: dict[str, str] = dict(query("SELECT id, environment FROM deployments"))
    known: dict[tuple[str, str], str | None] = {}
    for event in events:
        if event["kind"] == EventKind.LIVE:
            environment = environments[event["deployment"]]
            known |= {(environment, service): digest for service, digest in event["data"][LIVE_ROW].items()}
    seen = {
        (environment, service): row_digest(live)
        for environment, service, live in query("SELECT environment, service, live FROM live")
    }
    expected = {place: digest for place, digest in known.items() if digest}
    for environment, service in sorted(seen.keys() | expected.keys()):
        if seen.get((environment, service)) != expected.get((environment, service)):
            return f"what is live of {service} in {environment} was changed in the ledger"
    return ""
