"""The report for auditors: changes with their tests, approvals and outcome, made of the acts of the audit trail."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from abreast.core.frozen_dataclass import dataclass
from abreast.core.identity import Evidence
from abreast.ledger.acts import APPROVE, DONE, END, REFUSED, SKIP_GATE, Act

CHANGE_KINDS = frozenset({"deploy", "rollback", "migrate", "restore"})
"""What changes what users reach, or their data."""

EMERGENCY_KINDS = frozenset({"rollback", "restore"})
"""Changes that answer an incident as a rule, and come without tests of their own."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change: how it was begun, by whom, and what was done about it before it ended."""

    begun: Act
    gates: tuple[Act, ...]
    skipped: tuple[Act, ...]
    approvals: tuple[Act, ...]
    end: Act | None

    @property
    def outcome(self) -> str:
        """How it ended, ``unfinished`` if it did not."""
        if self.begun.outcome != "begun":
            return self.begun.outcome
        return self.end.outcome if self.end else "unfinished"

    @property
    def is_tested(self) -> bool:
        """Whether gates were evaluated, and each passed."""
        return bool(self.gates) and all(gate.outcome == "passed" for gate in self.gates)

    @property
    def is_separated(self) -> bool:
        """Whether somebody approved it who neither began it nor wrote one of its commits, by account and by name.

        A link that was used with the account that began it does not count: who it is of may not have been there.
        """
        began = self.begun.who
        own = {name.casefold() for name in (began.name, *self.begun.authors)}
        return any(
            act.outcome == DONE
            and began.person not in {act.who.person, act.used_by and act.used_by.person}
            and act.who.name.casefold() not in own
            and not act.who.agent
            for act in self.approvals
        )

    @property
    def emergency(self) -> str:
        """Why it counts as an emergency change, "" if it does not."""
        if self.begun.what in EMERGENCY_KINDS:
            return self.begun.what
        return f"without {', '.join(act.detail for act in self.skipped)}" if self.skipped else ""


@dataclass(frozen=True, slots=True)
class ChangeReport:
    """The changes of a period, and the acts of it that belong to none of them.

    ``evidence`` counts the acts of the period by who vouches for the identity.
    """

    changes: tuple[Change, ...]
    refusals: tuple[Act, ...]
    others: tuple[Act, ...]
    evidence: Counter[Evidence]

    @property
    def live(self) -> tuple[Change, ...]:
        """The changes that went live."""
        return tuple(change for change in self.changes if change.outcome == "succeeded")


def make_report(acts: Iterable[Act], wanted: Callable[[Act], bool]) -> ChangeReport:
    """Return the report of acts in the order of the chain: the changes that begin with a wanted act, and other acts.

    What belongs to a change is told with it, whoever did it and whenever.
    """
    known = list(acts)
    of: dict[str, list[Act]] = {}
    for act in known:
        of.setdefault(act.deployment, []).append(act)
    changes = [_change(act, of[act.deployment]) for act in known if act.deployment and act.what in CHANGE_KINDS]
    told = {act for change in changes for act in (*change.gates, *change.skipped, *change.approvals, change.end)}
    rest = [act for act in known if (act not in told and act.what not in CHANGE_KINDS) or act.outcome == REFUSED]
    return ChangeReport(
        tuple(change for change in changes if wanted(change.begun)),
        tuple(act for act in rest if wanted(act) and act.outcome == REFUSED),
        tuple(act for act in rest if wanted(act) and act.outcome != REFUSED),
        Counter(act.who.evidence for act in known if wanted(act)),
    )


def _change(begun: Act, acts: Sequence[Act]) -> Change:
    def of(what: str) -> tuple[Act, ...]:
        return tuple(act for act in acts if act.what == what)

    return Change(begun, of("gate"), of(SKIP_GATE), of(APPROVE), next(reversed(of(END)), None))
