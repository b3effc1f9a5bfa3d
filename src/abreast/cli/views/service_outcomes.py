"""How each service came out of a deployment."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from abreast.core.events import Event, EventKind
from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import LiveService
from abreast.core.plan import Action, Plan, ServicePlan


@dataclass(frozen=True, slots=True)
class ServiceOutcome:
    """How one service came out of a deployment, and what is live of it now.

    ``outcome``: deployed, unchanged, removed, failed, or turned-back because of another. ``health`` is unknown unless
    the deployment itself looked. ``seconds`` is how long the deployment worked on it, None if it did not.
    """

    name: str
    outcome: str
    release: str = ""
    commit: str = ""
    url: str = ""
    health: str = "unknown"
    seconds: float | None = None


def service_outcomes(
    plan: Plan, events: Sequence[Event], live: Mapping[str, LiveService]
) -> tuple[ServiceOutcome, ...]:
    """Return the outcome of each service of a plan whose deployment has ended."""
    return tuple(_outcome(plan, part, events, live.get(part.name)) for part in plan.services)


def _outcome(plan: Plan, part: ServicePlan, events: Sequence[Event], now: LiveService | None) -> ServiceOutcome:
    outcome = _outcome_name(plan, part, events, now)
    return ServiceOutcome(
        part.name,
        outcome,
        now.release if now else "",
        now.commit if now else "",
        now.version.url if now else "",
        "healthy" if outcome == "deployed" else "unknown",
        _seconds([event for event in events if event.service == part.name]),
    )


def _outcome_name(plan: Plan, part: ServicePlan, events: Sequence[Event], now: LiveService | None) -> str:
    if part.action is Action.KEEP:
        return "unchanged"
    if part.action is Action.REMOVE:
        return "turned-back" if now else "removed"
    if now and now.deployment == plan.deployment:
        return "deployed"
    failed = any(event.kind is EventKind.FAILED and event.service == part.name for event in events)
    return "failed" if failed else "turned-back"


def _seconds(events: Sequence[Event]) -> float | None:
    moments = [datetime.fromisoformat(event.at) for event in events if event.chapter]
    return (max(moments) - min(moments)).total_seconds() if moments else None


def output_values(plan: Plan, state: str, outcomes: Sequence[ServiceOutcome]) -> Iterator[tuple[str, str]]:
    """Yield the names and values that a deployment gives to later steps and jobs."""
    import json  # noqa: PLC0415 (slow, and only CI systems take outputs)

    yield "release", plan.release
    yield "deployment", plan.deployment
    yield "outcome", state
    yield "urls", json.dumps({each.name: each.url for each in outcomes if each.url})
    for each in outcomes:
        yield f"outcome-{each.name}", each.outcome
        yield f"url-{each.name}", each.url
