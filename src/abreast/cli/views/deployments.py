"""Recorded deployments: the list, and one in full."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from abreast.cli.views.attestations import attestations
from abreast.cli.views.event_lines import event_lines
from abreast.core.codec import dump
from abreast.core.events import Event
from abreast.core.identity import Identity
from abreast.core.next_commands import next_commands
from abreast.ledger.durations import chapter_durations
from abreast.ledger.interface import Deployment


def history_lines(deployments: Sequence[Deployment]) -> Iterator[str]:
    """Yield a heading, and one line per deployment, in the given order."""
    width = max((len(deployment.environment) for deployment in deployments), default=0)
    width = max(width, len("environment")) + 1
    if deployments:
        yield (
            f"{'deployment':<26}  {'started':<19}  {'environment':<{width}} {'kind':<8} {'release':<7} {'commit':<7}  "
            f"{'state':<12} {'took':>7}  by"
        )
    for deployment in deployments:
        yield (
            f"{deployment.id}  {_local_time(deployment.started)}  {deployment.environment:<{width}} "
            f"{deployment.kind:<8} {deployment.release:<7} {deployment.commit[:7]}  {deployment.state:<12} "
            f"{_duration(deployment):>7}  {deployment.author}"
            + (f"  ({deployment.reason})" if deployment.reason else "")
            + (f"  {deployment.run_url}" if deployment.run_url else "")
        )


def deployment_lines(
    deployment: Deployment, events: Sequence[Event], who: Identity, asked: Sequence[str] = ()
) -> Iterator[str]:
    """Yield a deployment in full: its summary, its events, the seconds of each chapter, the next command.

    ``who`` began it. ``asked`` are the lines of the request for an approval that it waits with.
    """
    release = f"{deployment.release} ({deployment.commit[:7]})"
    yield f"{deployment.kind} {deployment.id}: {deployment.project} {release} → {deployment.environment}"
    started = f"started {_local_time(deployment.started)} by {deployment.author or '?'}"
    yield f"{deployment.state} in chapter {deployment.chapter}, {started}, took {_duration(deployment)}"
    if deployment.run_url:
        yield f"run: {deployment.run_url}"
        signed = f": {who.token.subject}" if who.token else ""
        yield f"identity: {who}, by {who.evidence}{signed}"
    if deployment.reason:
        yield f"reason: {deployment.reason}"
    for name, attestation in attestations(events).items():
        yield f"artifact of {name}: {attestation}"
    yield ""
    for event in events:
        yield from event_lines(event)
    yield ""
    for (service, chapter), seconds in chapter_durations(events).items():
        yield f"  {service or 'all':<12} {chapter:<9} {seconds:7.2f} s"
    yield from ("", *asked, "") if asked else ()
    yield from next_lines(deployment)


def next_lines(deployment: Deployment) -> Iterator[str]:
    """Yield the commands to type next, the usual one first."""
    commands = next_commands(deployment.state, deployment.kind, deployment.id, deployment.environment)
    for number, command in enumerate(commands):
        yield f"{'or:  ' if number else 'next:'} {command}"


def deployment_json(deployment: Deployment, events: Sequence[Event] = ()) -> dict[str, Any]:
    """Return a deployment as JSON values, with its events if given."""
    document: dict[str, Any] = dump(deployment)
    if events:
        document["attestations"] = {name: dump(found) for name, found in attestations(events).items()}
        document["events"] = [dump(event) for event in events]
        document["durations"] = [
            {"service": service, "chapter": chapter, "seconds": seconds}
            for (service, chapter), seconds in chapter_durations(events).items()
        ]
    return document


def identity_json(who: Identity) -> dict[str, Any]:
    """Return who began a deployment as JSON values."""
    document: dict[str, Any] = dump(who)
    return document


def _local_time(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _duration(deployment: Deployment) -> str:
    if deployment.finished is None:
        return "…"
    seconds = (datetime.fromisoformat(deployment.finished) - datetime.fromisoformat(deployment.started)).total_seconds()
    return f"{seconds:.1f} s"
