"""Incidents: the list, and one as a report in Markdown and JSON. What is given here is redacted."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from abreast.cli.views.markdown import code, code_block, join_blocks, link, plain, table
from abreast.core.codec import dump
from abreast.core.commits import Commit
from abreast.core.incidents.communication import (
    REQUESTS_FAILED,
    UNKNOWN,
    communication,
    duration_text,
    moment_text,
    seconds_on_bad_version,
)
from abreast.core.incidents.lifecycle import seconds_between
from abreast.core.incidents.model import AffectedService, Incident, IncidentStatus

MAX_BYTES = 250_000


def incident_lines(incidents: Sequence[Incident]) -> Iterator[str]:
    """Yield a heading and a line for each incident: those that are open first."""
    order = list(IncidentStatus)
    yield f"{'incident':<26}  {'severity':<8}  {'status':<8}  {'detected':<23}  {'environment':<11}  what"
    for incident in sorted(incidents, key=lambda found: order.index(found.status)):
        yield (
            f"{incident.id}  {incident.severity:<8}  {incident.status:<8}  {moment_text(incident.detected):<23}  "
            f"{incident.environment:<11}  {incident.title}"
        )


def summary_json(incident: Incident) -> dict[str, Any]:
    """Return an incident of the list as JSON values."""
    names = ("id", "environment", "severity", "status", "title", "detected", "open_since", "resolved", "closed")
    return {name: getattr(incident, name) for name in names}


def incident_json(incident: Incident, commits: Sequence[Commit], live: Mapping[str, str], now: str) -> dict[str, Any]:
    """Return an incident as JSON values."""
    document: dict[str, Any] = dump(incident)
    for shown, service in zip(document["services"], incident.services, strict=True):
        shown |= {"seconds_on_bad_version": seconds_on_bad_version(service, now), "requests_failed": None}
    return {
        **document,
        "recovery_seconds": recovery_seconds(incident),
        "commits": [dump(commit) for commit in commits],
        "live": dict(live),
        "communication": "\n".join(communication(incident, now)),
        "made": now,
    }


def recovery_seconds(incident: Incident) -> float | None:
    """Return the seconds from the detection until all users were on a good version; None if they never left it."""
    reached = any(service.users_from for service in incident.services)
    return seconds_between(incident.detected, incident.recovered) if reached and incident.recovered else None


def incident_markdown(incident: Incident, commits: Sequence[Commit], live: Mapping[str, str], now: str) -> str:
    """Return the report of an incident."""
    return join_blocks(_blocks(incident, commits, live, now), MAX_BYTES) + "\n"


def _blocks(incident: Incident, commits: Sequence[Commit], live: Mapping[str, str], now: str) -> Iterator[str]:
    yield f"# {incident.severity}: {plain(incident.title)}"
    facts = (
        ("incident", code(incident.id)),
        ("severity", f"{incident.severity}: {plain(incident.why)}"),
        ("status", str(incident.status)),
        ("kind of failure", incident.cause or UNKNOWN),
        ("detected", moment_text(incident.detected)),
        ("turn-back began", moment_text(incident.turn_back_began)),
        ("users on a good version", _recovered_text(incident)),
        ("recovery time", _recovery_text(incident)),
        ("made", moment_text(now)),
    )
    yield table(("", ""), facts)
    yield "## Timeline"
    yield table(("time (UTC)", "what", "by"), (
        (moment_text(entry.at).removesuffix(" UTC"), code(entry.text), code(entry.by)) for entry in incident.timeline
    ))  # fmt: skip
    yield "## Impact"
    heads = ("service", "bad version", "users on it", "requests failed", "live now")
    yield table(heads, (_service_row(service, live, now) for service in incident.services))
    yield "## Change"
    yield "\n".join(_change(incident, commits))
    yield "## Log"
    yield "Nothing failed in a step of the deployment." if not incident.failures else ""
    for failure in incident.failures:
        yield f"{moment_text(failure.at)}: {code(failure.text)}"
        yield code_block(failure.log) if failure.log else ""
    yield "## Open questions"
    yield "\n".join(f"- {plain(question)}" for question in incident.questions) or "None."
    yield "## What to say"
    yield code_block(list(communication(incident, now)))
    yield "\n".join(f"Next: {code(command)}" for command in incident.next_commands)


def _recovered_text(incident: Incident) -> str:
    if not any(service.users_from for service in incident.services):
        return "they never left it"
    return moment_text(incident.recovered) if incident.recovered else "not yet"


def _recovery_text(incident: Incident) -> str:
    seconds = recovery_seconds(incident)
    if seconds is None:
        return UNKNOWN if incident.status is IncidentStatus.OPEN else "none"
    return duration_text(seconds)


def _service_row(service: AffectedService, live: Mapping[str, str], now: str) -> tuple[str, ...]:
    seconds = seconds_on_bad_version(service, now)
    users = "no" if seconds is None else f"{duration_text(seconds)} at most"
    still = ", still" if seconds is not None and not service.users_until else ""
    failed = "none" if seconds is None else REQUESTS_FAILED
    names = plain(service.name), plain(service.bad_release)
    return (*names, users + still, failed, plain(live.get(service.name, "nothing")))


def _change(incident: Incident, commits: Sequence[Commit]) -> Iterator[str]:
    yield f"- {plain(incident.release)}, commit {code(incident.commit[:12])}, by {code(incident.author or UNKNOWN)}"
    if incident.reason:
        yield f"- Reason: {code(incident.reason)}"
    if incident.run_url:
        yield f"- {link('The run', incident.run_url)}"
    yield from (f"- {code(commit.id[:7])} {code(commit.subject)}, {code(commit.author)}" for commit in commits)
    for migration in incident.migrations:
        stays = f": stays, {plain(migration.stays)}" if migration.stays else ""
        yield f"- Migration of {plain(migration.service)}: {code(migration.name)}{stays}"
