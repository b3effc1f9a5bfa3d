"""Rollbacks: why there are any, which release one leads to, and which releases it keeps out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum

from abreast.core.commit_order import Decision, rolled_back
from abreast.core.frozen_dataclass import dataclass
from abreast.core.plan import DeploymentKind


class RollbackCause(StrEnum):
    """Why a release is rolled back. A reason begins with one, and goes on in free text after a colon."""

    CRITICAL_BUG = "critical bug"
    PERFORMANCE_ISSUE = "performance issue"
    SECURITY_VULNERABILITY = "security vulnerability"
    DATA_CORRUPTION = "data corruption"
    SERVICE_OUTAGE = "service outage"
    FAILED_DEPLOYMENT = "failed deployment"


def read_cause(reason: str) -> RollbackCause | None:
    """Return the cause that a reason begins with, None if it begins with none."""
    words = " ".join(reason.replace("-", " ").replace("_", " ").casefold().split())
    for cause in RollbackCause:
        if words == cause or words.startswith((f"{cause}:", f"{cause} ")):
            return cause
    return None


@dataclass(frozen=True, slots=True)
class KeptOut:
    """A release that a rollback took out of an environment: it stays out until a person unlocks it."""

    release: str
    commit: str
    rollback: Decision

    def __str__(self) -> str:
        by, why = self.rollback.author or "somebody", self.rollback.reason
        return f"{self.release} was rolled back to {self.rollback.release} by {by}{f': {why}' if why else ''}"


def kept_out(decisions: Sequence[Decision]) -> Mapping[str, KeptOut]:
    """Return the releases that are kept out of an environment, by version. ``decisions`` are newest first.

    A release is let in again by a person who unlocks it, or who deploys it in spite of the rollback.
    """
    found: dict[str, KeptOut] = {}
    settled = set[str]()
    for place, decision in enumerate(decisions):
        if decision.kind is DeploymentKind.ROLLBACK:
            for gone in rolled_back(decision, decisions[place + 1 :]):
                if gone.release not in settled and gone.release not in decision.unlocked:
                    found.setdefault(gone.release, KeptOut(gone.release, gone.commit, decision))
                settled.add(gone.release)
        settled.add(decision.release)
    return found


@dataclass(frozen=True, slots=True)
class RollbackTarget:
    """Where a rollback without a named release leads: ``release``, "" with the reason ``why_not`` if nowhere.

    ``passed_over`` says why newer releases were not chosen. ``further``: where it would lead if a person insisted.
    """

    release: str
    passed_over: tuple[str, ...] = ()
    why_not: str = ""
    further: str = ""


def choose_target(
    decisions: Sequence[Decision], fault: Callable[[str], str], is_live: Callable[[str], bool]
) -> RollbackTarget:
    """Return the last release that was good for all services before the live one. ``decisions`` are newest first.

    ``fault`` says what is missing of a release, "" if nothing is: one that is whole is preferred to a newer one that
    has to be built anew. ``is_live`` says whether a release is what is live, by another number: nobody gets off a bad
    release by going back to the same thing. What was rolled back already is not rolled back further by accident: two
    people who give the same command go back one release, not two.
    """
    if not decisions:
        return RollbackTarget("", why_not="nothing was deployed there")
    current, out = decisions[0], kept_out(decisions)
    target = _last_good(current.release, decisions, out, fault, is_live)
    if current.kind is not DeploymentKind.ROLLBACK:
        return target
    by = f" by {current.author}" if current.author else ""
    why_not = f"it was rolled back to {current.release} already, at {current.at}{by}"
    return RollbackTarget("", why_not=why_not, further=target.release)


def _last_good(
    live: str, decisions: Iterable[Decision], out: Mapping[str, KeptOut], fault: Callable[[str], str],
    is_live: Callable[[str], bool],
) -> RollbackTarget:  # fmt: skip
    passed_over, incomplete = list[str](), ""
    older = (decision.release for decision in decisions if release_number(decision.release) < release_number(live))
    for release in dict.fromkeys(older):
        if release not in out and is_live(release):
            passed_over.append(f"{release} is the same as {live}")
            continue
        why = str(out[release]) if release in out else fault(release)
        if not why:
            return RollbackTarget(release, tuple(passed_over))
        passed_over.append(why)
        incomplete = incomplete or ("" if release in out else release)
    why_not = "" if incomplete else "; ".join(passed_over) or f"there is no release before {live}"
    return RollbackTarget(incomplete, tuple(passed_over), why_not)


def release_number(version: str) -> int:
    """Return the number of a release, such as 7 of ``v7``."""
    return int(version.removeprefix("v"))


def unlock_command(environment: str, release: str) -> str:
    """Return the command that lets a release in again that a rollback keeps out."""
    return f"abreast unlock --env {environment} --release {release}"
