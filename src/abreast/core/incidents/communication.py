"""What users and colleagues are told of an incident, in the words of the field's template."""

from collections.abc import Iterator

from abreast.core.incidents.lifecycle import seconds_between
from abreast.core.incidents.model import REMINDER_INTERVAL, AffectedService, Incident, IncidentStatus
from abreast.core.wording import counted

UNKNOWN = "unknown"
REQUESTS_FAILED = UNKNOWN
"""How many requests failed. Nobody counts them: a router that did would take time in each request."""


def communication(incident: Incident, now: str) -> Iterator[str]:
    """Yield the lines of a message: a subject with the severity, the impact, the status, the ETA and the actions."""
    is_open = incident.status is IncidentStatus.OPEN
    yield f"Subject: [INCIDENT] {incident.environment.capitalize()} Deployment Issue - {incident.severity}"
    yield ""
    yield f"Impact: {impact_text(incident, now)}"
    yield f"Status: {status_text(incident)}"
    yield f"ETA: {_eta(incident)}"
    yield f"Actions: {_actions(incident)}"
    yield ""
    minutes = REMINDER_INTERVAL // 60
    yield f"Updates will be provided every {minutes} minutes." if is_open else "No further updates are planned."


def impact_text(incident: Incident, now: str) -> str:
    """Return who was on the bad version, and for how long at most."""
    reached = [service for service in incident.services if service.users_from]
    if not reached:
        return incident.why
    names = ", ".join(f"{service.name} {service.bad_release}".rstrip() for service in reached)
    longest = max(seconds_on_bad_version(service, now) or 0.0 for service in reached)
    return f"{incident.why}: {names}, for {duration_text(longest)} at most; requests failed: {REQUESTS_FAILED}"


def seconds_on_bad_version(service: AffectedService, now: str) -> float | None:
    """Return for how many seconds users were on the bad version at most, None if they never were."""
    return seconds_between(service.users_from, service.users_until or now) if service.users_from else None


def status_text(incident: Incident) -> str:
    """Return how far an incident is, and since when."""
    since = {
        IncidentStatus.OPEN: incident.open_since,
        IncidentStatus.RESOLVED: incident.resolved,
        IncidentStatus.CLOSED: incident.closed,
    }
    return f"{incident.status} since {moment_text(since[incident.status])}"


def moment_text(at: str) -> str:
    """Return a moment to the second."""
    return f"{at[:10]} {at[11:19]} UTC"


def duration_text(seconds: float) -> str:
    """Return a duration in minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return counted(rest, "second")
    return counted(minutes, "minute") + (f" {counted(rest, 'second')}" if rest else "")


def _eta(incident: Incident) -> str:
    if incident.status is not IncidentStatus.OPEN:
        return f"resolved at {moment_text(incident.resolved)}" if incident.resolved else "closed by a person"
    return f"{UNKNOWN}; next: {incident.next_commands[0]}"


def _actions(incident: Incident) -> str:
    began = f"{incident.kind} of {incident.release} began at {moment_text(incident.turn_back_began)}"
    return (
        f"{began}; users were on a good version at {moment_text(incident.recovered)}" if incident.recovered else began
    )
