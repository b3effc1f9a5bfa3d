"""Expected chapter durations, from earlier deployments."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from abreast.core.events import Event, EventKind

ChapterDurations = Mapping[tuple[str | None, str], float]
"""Seconds by service (None: the whole deployment) and chapter."""


def chapter_durations(events: Iterable[Event]) -> ChapterDurations:
    """Return the duration of each finished chapter of one deployment."""
    started: dict[tuple[str | None, str], datetime] = {}
    durations: dict[tuple[str | None, str], float] = {}
    for event in events:
        if event.chapter is None:
            continue
        key = (event.service, event.chapter.value)
        if event.kind is EventKind.STARTED:
            started.setdefault(key, datetime.fromisoformat(event.at))
        elif event.kind in {EventKind.FINISHED, EventKind.FAILED, EventKind.STOPPED} and key in started:
            durations[key] = (datetime.fromisoformat(event.at) - started[key]).total_seconds()
    return durations


def median_durations(deployments: Sequence[Sequence[Event]]) -> ChapterDurations:
    """Return the median of each chapter's durations over several deployments."""
    samples: dict[tuple[str | None, str], list[float]] = defaultdict(list)
    for events in deployments:
        for key, seconds in chapter_durations(events).items():
            samples[key].append(seconds)
    return {key: _median(values) for key, values in samples.items()}


def _median(values: Sequence[float]) -> float:
    """Return the median. ``statistics`` would take longer to import than most commands take to answer."""
    ordered = sorted(values)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
