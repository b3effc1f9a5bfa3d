"""The way back: which services turn back after a failure, decided as data."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from abreast.core.model import Failure, OnFailure


@dataclass(frozen=True, slots=True)
class TurnBackDecision:
    """Names of the services that go back to what they were, and of those that stay on the new version."""

    turn_back: tuple[str, ...]
    stay_live: tuple[str, ...] = ()


def decide_turn_back(
    names: Sequence[str],
    failures: Sequence[Failure],
    on_failure: OnFailure,
    routes: Mapping[str, Collection[str]] | None = None,
) -> TurnBackDecision:
    """Decide who of ``names``, that all have users on the new version, goes back.

    All, or with ``alone`` only those that failed and those whose users go with theirs, which ``leads`` says: by
    service, whom it leads them to. A failure that names no service is everybody's.
    """
    affected = {failure.service for failure in failures}
    if on_failure is OnFailure.TOGETHER or None in affected:
        return TurnBackDecision(turn_back=tuple(names))
    bound = [{name, *others} for name, others in (routes or {}).items() if others]
    while more := {name for group in bound if group & affected for name in group} - affected:
        affected |= more
    return TurnBackDecision(
        turn_back=tuple(name for name in names if name in affected),
        stay_live=tuple(name for name in names if name not in affected),
    )
