"""What is to be told of incidents: that one began, every quarter of an hour that it is open, and that it is over."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from abreast.core.incidents.communication import duration_text
from abreast.core.incidents.lifecycle import seconds_between
from abreast.core.incidents.model import REMINDER_INTERVAL, Incident, IncidentStatus
from abreast.deploy.runtime.incidents import read_incidents
from abreast.ledger.interface import Ledger
from abreast.notify.interface import Occurrence, OccurrenceKind

MAX_LOOKED_AT = 10
"""How many incidents of an environment are looked at."""

MAX_AGE = 86400.0
"""Seconds after which it is no news any more that an incident began or is over."""


def due_incident_news(ledger: Ledger, environment: str, now: str) -> list[Occurrence]:
    """Return what can be told of the incidents of an environment, oldest first. Whoever told it knows by its id."""
    found = [
        news for incident in read_incidents(ledger, environment, MAX_LOOKED_AT) for news in incident_news(incident, now)
    ]
    return sorted(found, key=lambda news: news.at)


def incident_news(incident: Incident, now: str) -> Iterator[Occurrence]:
    """Yield what can be told of an incident at a moment.

    A reminder has the moment at which it is due, so that it is the same one on every machine. Only the latest is told.
    """
    about = f"{incident.severity}: {incident.title}"
    moments = (
        (OccurrenceKind.INCIDENT_OPENED, incident.open_since, f"{about}\n{incident.why}"),
        (OccurrenceKind.INCIDENT_RESOLVED, incident.resolved, f"{about}\n{incident.why}"),
        (OccurrenceKind.INCIDENT_CLOSED, incident.closed, f"{about}\n{_said_at(incident, incident.closed)}"),
    )
    for kind, at, text in moments:
        if at and seconds_between(at, now) <= MAX_AGE:
            yield _occurrence(incident, kind, at, text)
    number = int(seconds_between(incident.open_since, now) // REMINDER_INTERVAL)
    if incident.status is IncidentStatus.OPEN and number:
        open_for = number * REMINDER_INTERVAL
        due = datetime.fromisoformat(incident.open_since) + timedelta(seconds=open_for)
        text = f"{about}, open for {duration_text(open_for)}: {incident.why}\nnext: {incident.next_commands[0]}"
        at = due.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        yield _occurrence(incident, OccurrenceKind.INCIDENT_REMINDER, at, text)


def _occurrence(incident: Incident, kind: OccurrenceKind, at: str, text: str) -> Occurrence:
    return Occurrence(kind, incident.project, incident.environment, text, at)


def _said_at(incident: Incident, at: str) -> str:
    """Return what was done at a moment, and by whom."""
    said = [entry for entry in incident.timeline if entry.at == at]
    return "; ".join(f"{entry.text} ({entry.by})" if entry.by else entry.text for entry in said)
