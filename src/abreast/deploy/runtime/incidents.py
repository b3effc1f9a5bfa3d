"""Incidents of the ledger: they are made from it whenever they are asked for. Only what people add is recorded."""

import secrets
from collections.abc import Iterator, Sequence
from functools import cache

from abreast.core.events import Event, EventKind
from abreast.core.incidents.context import LaterSuccess
from abreast.core.incidents.lifecycle import act_of
from abreast.core.incidents.model import Incident, IncidentAct, IncidentStatus
from abreast.core.incidents.narrative import make_incident
from abreast.ledger.interface import Deployment, Ledger

MAX_INCIDENTS = 200
"""How many deployments with incidents are looked at."""


def read_incidents(ledger: Ledger, environment: str | None = None, limit: int = MAX_INCIDENTS) -> Iterator[Incident]:
    """Yield the incidents of an environment, or of all, newest first."""
    successes = cache(ledger.successes)
    for deployment in ledger.incident_candidates(environment, limit):
        if incident := _read(ledger, deployment, successes(deployment.environment)):
            yield incident


def read_incident(ledger: Ledger, deployment: Deployment) -> Incident | None:
    """Return the incident of a deployment, None if it has none."""
    return _read(ledger, deployment, ledger.successes(deployment.environment))


def _read(ledger: Ledger, deployment: Deployment, successes: Sequence[LaterSuccess]) -> Incident | None:
    later = [success for success in successes if success.deployment != deployment.id]
    plan, events = ledger.stored_plan(deployment.id), ledger.events(deployment.id)
    return make_incident(plan, events, later, ledger.requests(deployment.id))


def record_incident_act(ledger: Ledger, deployment: str, act: IncidentAct, text: str, by: str) -> None:
    """Record what is added to the incident of a deployment. ``text`` is redacted; ``by`` is a person, or what watches.

    Nothing is changed by another's act at the same time: each is an event of its own.
    """
    key = f"incident/{act}/{secrets.token_hex(8)}"
    ledger.append_events(Event(deployment, key, EventKind.INCIDENT, text, data={"act": act.value, "by": by}))


def record_condition(ledger: Ledger, environment: str, text: str, *, is_degraded: bool, by: str = "abreast") -> None:
    """Record that an environment is degraded, which opens its latest incident again, or that it has recovered.

    If its latest deployment has no incident, it gets one. Nothing is recorded for what is known already, such as after
    a restart of what watches, or of an environment that nothing was deployed to. ``text`` is redacted.
    """
    deployment = _watched_deployment(ledger, environment)
    if deployment is None:
        return
    act = IncidentAct.DEGRADED if is_degraded else IncidentAct.RECOVERED
    told = [found for event in ledger.events(deployment.id) if (found := act_of(event)) in _CONDITIONS]
    if (told[-1] if told else IncidentAct.RECOVERED) is not act:
        record_incident_act(ledger, deployment.id, act, text, by)


_CONDITIONS = frozenset({IncidentAct.DEGRADED, IncidentAct.RECOVERED})


def _watched_deployment(ledger: Ledger, environment: str) -> Deployment | None:
    """Return the deployment whose incident a condition belongs to: an open one, else the latest."""
    incident = next(read_incidents(ledger, environment), None)
    if incident and incident.status is IncidentStatus.OPEN:
        return ledger.deployment(incident.id)
    latest = ledger.deployments(environment)
    return next((deployment for deployment in latest if deployment.kind.is_releasing), None)
