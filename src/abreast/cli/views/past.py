"""Deployments that were: the list, and one in full."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from abreast.cli.views.lines import lines as event_lines
from abreast.core.codec import dump
from abreast.core.events import Event
from abreast.core.states import State
from abreast.ledger.durations import durations
from abreast.ledger.interface import Deployment


def history(deployments: Sequence[Deployment]) -> Iterator[str]:
    """Yield one line a deployment, newest first."""
    for one in deployments:
        yield (
            f"{one.id}  {_when(one.started)}  {one.environment:<12} {one.kind:<8} {one.release:<5} "
            f"{one.commit[:7]}  {one.state:<12} {_took(one):>7}  {one.author}"
            + (f"  ({one.reason})" if one.reason else "")
        )


def show(one: Deployment, events: Sequence[Event]) -> Iterator[str]:
    """Yield a deployment in full: what it was, each event, how long each chapter took, what to type next."""
    yield f"{one.kind} {one.id}: {one.project} {one.release} ({one.commit[:7]}) → {one.environment}"
    yield f"{one.state} in chapter {one.chapter}, begun {_when(one.started)} by {one.author or '?'}, took {_took(one)}"
    if one.reason:
        yield f"reason: {one.reason}"
    yield ""
    for event in events:
        yield from event_lines(event)
    yield ""
    for (service, chapter), seconds in durations(events).items():
        yield f"  {service or 'all':<12} {chapter:<9} {seconds:7.2f} s"
    if hint := next_command(one):
        yield f"next: {hint}"


def next_command(one: Deployment) -> str:
    """Return what a person would type next, "" when all is well."""
    if one.state is State.STUCK or not one.state.final:
        return f"abreast resume {one.id}"
    if one.state is State.TURNED_BACK:
        return f"mend it, commit, and: abreast deploy --env {one.environment}"
    return ""


def as_json(one: Deployment, events: Sequence[Event] = ()) -> dict[str, Any]:
    """Return a deployment, with its events if given, as JSON-able values."""
    told: dict[str, Any] = dump(one)
    if events:
        told["events"] = [dump(event) for event in events]
        told["durations"] = [
            {"service": service, "chapter": chapter, "seconds": seconds}
            for (service, chapter), seconds in durations(events).items()
        ]
    return told


def _when(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _took(one: Deployment) -> str:
    if one.finished is None:
        return "…"
    seconds = (datetime.fromisoformat(one.finished) - datetime.fromisoformat(one.started)).total_seconds()
    return f"{seconds:.1f} s"
