"""The audit trail: what people did, read from the entries of a ledger. Nothing is recorded for it twice."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from abreast.core.frozen_dataclass import dataclass
from abreast.core.identity import Identity, holder, unknown
from abreast.core.proposals import HASH_LENGTH, ProposalState
from abreast.core.states import DeploymentState
from abreast.ledger.entries import Entry, EntryKind
from abreast.ledger.hash_chain import Link
from abreast.ledger.proposals import PROPOSAL_END

REFUSED, DONE = "refused", "done"
SKIP_GATE = "skip-gate"
APPROVE = "approve"
END = "end"

REVIEWER = "vote/reviewer"
"""The key of the vote that the run of a CI system writes down for the person who approved the run there."""


@dataclass(frozen=True, slots=True)
class Act:
    """One act: who did what, when, where and why, and with which outcome.

    ``seq`` and ``hash`` are those of the entry that shows it; several acts can be of one entry. ``at`` is ISO 8601 in
    UTC. ``environment`` and ``deployment`` are "" where there is none. ``release``, ``commit`` and ``authors`` are of
    the deployment; authors are who started it, and who wrote its commits as git says. So is ``risk``, a level, "" where
    none was assessed. ``used_by`` is who ran the command, where ``who`` is another person, whose link that was.
    """

    seq: int
    hash: str
    at: str
    who: Identity
    what: str
    environment: str
    deployment: str
    why: str
    outcome: str
    detail: str
    release: str = ""
    commit: str = ""
    authors: tuple[str, ...] = ()
    risk: str = ""
    used_by: Identity | None = None


class _Reading(NamedTuple):
    """What an entry says of an act.

    ``who`` is a name, for entries that do not name the identity of their process. ``on_behalf``: that process only
    wrote down what somebody else did, whom ``who`` names. ``by_link``: it used the link of ``who``.
    """

    what: str
    outcome: str
    why: str = ""
    detail: str = ""
    who: str = ""
    on_behalf: bool = False
    by_link: bool = False


class _Plan(NamedTuple):
    """What acts of a deployment take from its plan: no more of each is kept."""

    environment: str
    author: str
    release: str
    commit: str
    authors: tuple[str, ...]
    risk: str

    @classmethod
    def read(cls, plan: Mapping[str, Any]) -> "_Plan":
        author, release, commit = (plan.get(name, "") for name in ("author", "release", "commit"))
        return cls(plan["environment"], author, release, commit, tuple(plan.get("authors", ())), _risk(plan))


def _risk(plan: Mapping[str, Any]) -> str:
    return str((plan.get("risk") or {}).get("level", ""))


def read_acts(links: Iterable[Link]) -> Iterator[Act]:
    """Yield the acts of a chain, in its order."""
    identities: dict[str, Identity] = {}
    plans: dict[str, _Plan] = {}
    for link in links:
        entry = Entry.parse(link.entry)
        if entry.kind is EntryKind.IDENTITY:
            identities[entry.key] = read_identity(entry)
        if entry.kind is EntryKind.PLAN:
            plans[entry.subject] = _Plan.read(entry.data)
        plan = plans.get(entry.subject)
        for reading in READINGS[entry.kind](entry) if entry.kind in READINGS else ():
            recorded_by = identities.get(entry.by)
            claimed = holder(reading.who) if reading.by_link else unknown(reading.who or (plan.author if plan else ""))
            who = claimed if reading.by_link or reading.on_behalf else recorded_by or claimed
            yield Act(
                link.seq, link.hash, entry.at, who,
                reading.what, plan.environment if plan else entry.subject, entry.subject if plan else "",
                reading.why, reading.outcome, reading.detail, plan.release if plan else "", plan.commit if plan else "",
                plan.authors if plan else (), plan.risk if plan else "", recorded_by if reading.by_link else None,
            )  # fmt: skip


def read_identity(entry: Entry) -> Identity:
    """Return the identity that an entry of that kind is."""
    return Identity.parse(entry.data)


def _read_plan(entry: Entry) -> Iterator[_Reading]:
    plan = entry.data
    outcome, detail = ("superseded", plan["superseded"]) if plan.get("superseded") else ("begun", "")
    proposed = f", proposed by {plan['proposed_by']}" if plan.get("proposed_by") else ""
    yield _Reading(
        plan["kind"], outcome, plan["reason"], (detail or f"{plan['release']} of {plan['commit']}") + proposed
    )
    for gate, why in _skips(plan):
        yield _Reading(SKIP_GATE, DONE, why, gate)


def _skips(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each gate that was skipped, and who skipped it and why."""
    for gate in plan["gates"]:
        name = f"{gate['name']}/{gate['service']}" if gate["service"] else gate["name"]
        if gate["skipped"] is not None:
            yield name, gate["skipped"]
        if gate["threshold"] and gate["threshold"]["skipped"] is not None:
            yield f"coverage/{name}", gate["threshold"]["skipped"]
    if plan.get("freeze_skipped") is not None:
        yield "freeze", plan["freeze_skipped"]
    if plan.get("emergency") and plan["approval"]:
        yield "approval", plan["reason"]
    for part in plan["services"]:
        if part["database_plan"] and part["database_plan"]["unverified"]:
            yield f"backup/{part['service']['name']}", part["database_plan"]["unverified"]


def _read_event(entry: Entry) -> Iterator[_Reading]:
    event = entry.data
    if event["kind"] == "judged":
        verdict = event["data"]["verdict"]
        yield _Reading("gate", verdict, detail=event["message"])
    elif event["kind"] == "incident":
        yield _Reading(f"incident {event['data']['act']}", DONE, event["message"], who=event["data"]["by"])
    elif event["kind"] == "voted":
        yield _read_vote(entry)
    elif event["kind"] == "accepted":
        yield _Reading("accept-as-it-is", DONE, event["message"])
    elif event["kind"] == "resumed":
        yield _Reading("resume", "begun")
    elif event["kind"] == "unlocked":
        yield _Reading("unlock", DONE, detail=event["message"], who=event["data"]["by"])
    elif event["kind"] == "confirmed":
        yield _Reading("confirm", DONE, event["data"]["reason"], event["message"], event["data"]["by"])
    elif event["kind"] == "removed":
        yield _Reading("remove-preview", DONE, event["message"])
    elif event["state"] and _is_end(DeploymentState(event["state"])):
        yield _Reading(END, event["state"], detail=event["message"])
        if lock := event["data"].get("lock"):
            yield _Reading("lock", DONE, lock["reason"])


def _read_vote(entry: Entry) -> _Reading:
    """Return the approval or rejection of a deployment, by a command or at the CI system."""
    vote = entry.data["data"]
    what, outcome = APPROVE if vote["approves"] else "reject", DONE if vote["counts"] else "not counted"
    return _Reading(
        what, outcome, vote["reason"], entry.data["message"], vote["by"], on_behalf=entry.key == REVIEWER,
        by_link=bool(vote.get("link")),
    )  # fmt: skip


def _is_end(state: DeploymentState) -> bool:
    return state.is_final or state is DeploymentState.STUCK


def _read_request(entry: Entry) -> Iterator[_Reading]:
    yield _Reading(entry.key, "begun", entry.data["reason"])


def _read_lock(entry: Entry) -> Iterator[_Reading]:
    lock = entry.data["lock"]
    yield _Reading("lock", DONE, lock["reason"], who=lock["by"]) if lock else _Reading("unlock", DONE)


def _read_maintenance(entry: Entry) -> Iterator[_Reading]:
    act, services = entry.data, ", ".join(sorted(entry.data["services"])) or "none"
    yield _Reading(act["act"], act["outcome"], act["why"], f"in maintenance: {services}")


def _read_secrets(entry: Entry) -> Iterator[_Reading]:
    yield _Reading("new-secrets", "seen", detail=", ".join(sorted(entry.data)))


def _read_proposal(entry: Entry) -> Iterator[_Reading]:
    hash_, data = entry.key[:HASH_LENGTH], entry.data
    if entry.key.endswith(PROPOSAL_END):
        what = "approve-proposal" if data["state"] == ProposalState.APPROVED else "reject-proposal"
        carried_out = f", deployment {data['deployment']}" if data["deployment"] else ""
        yield _Reading(what, DONE, data["reason"], f"{hash_}{carried_out}")
    else:
        yield _Reading("propose", DONE, data["reason"], f"{hash_}: {data['summary']}")


def _read_act(entry: Entry) -> Iterator[_Reading]:
    yield _Reading(entry.data["act"], entry.data["outcome"], entry.data["why"], entry.data["detail"])


READINGS: Mapping[EntryKind, Callable[[Entry], Iterable[_Reading]]] = {
    EntryKind.PLAN: _read_plan,
    EntryKind.EVENT: _read_event,
    EntryKind.REQUEST: _read_request,
    EntryKind.LOCK: _read_lock,
    EntryKind.SECRETS: _read_secrets,
    EntryKind.PROPOSAL: _read_proposal,
    EntryKind.ACT: _read_act,
    EntryKind.MAINTENANCE: _read_maintenance,
}
"""How each kind of entry is read."""

NO_ACTS = frozenset(
    {
        EntryKind.RELEASE, EntryKind.PART, EntryKind.STEP, EntryKind.LIVE, EntryKind.OUTPUT, EntryKind.NOTIFICATION,
        EntryKind.LEASE, EntryKind.IDENTITY, EntryKind.CHECKPOINT,
    }
)  # fmt: skip
"""The kinds that show what acts led to, and who acts."""
