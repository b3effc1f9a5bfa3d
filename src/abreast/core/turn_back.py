"""Decide which services turn back after a failure."""

from collections.abc import Collection, Mapping, Sequence

from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import Failure
from abreast.core.plan import OnFailure


@dataclass(frozen=True, slots=True)
class TurnBackDecision:
    """The services that return to the previous version, and those that stay on the new one."""

    turn_back: tuple[str, ...]
    stay_live: tuple[str, ...] = ()


def decide_turn_back(
    names: Sequence[str],
    failures: Sequence[Failure],
    on_failure: OnFailure,
    routes: Mapping[str, Collection[str]] | None = None,
) -> TurnBackDecision:
    """Return the services to turn back. All of ``names`` serve the new version.

    With ``together`` that is all. With ``alone`` it is the failed services and those linked to them by ``routes``
    (service to its targets). A failure without a service turns all back.
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
