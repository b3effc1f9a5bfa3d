"""How long chapters take, from what earlier deployments took."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from statistics import median

from abreast.core.events import Event, EventKind

ChapterDurations = Mapping[tuple[str | None, str], float]
"""Seconds, by service (None: of all together) and chapter."""


def chapter_durations(events: Iterable[Event]) -> ChapterDurations:
    """Return how long each chapter of one deployment took that began and ended."""
    started: dict[tuple[str | None, str], datetime] = {}
    took: dict[tuple[str | None, str], float] = {}
    for event in events:
        if event.chapter is None:
            continue
        key = (event.service, event.chapter.value)
        if event.kind is EventKind.STARTED:
            started.setdefault(key, datetime.fromisoformat(event.at))
        elif event.kind in {EventKind.FINISHED, EventKind.FAILED, EventKind.STOPPED} and key in started:
            took[key] = (datetime.fromisoformat(event.at) - started[key]).total_seconds()
    return took


def median_durations(deployments: Sequence[Sequence[Event]]) -> ChapterDurations:
    """Return the median of each chapter's durations over several deployments."""
    samples: dict[tuple[str | None, str], list[float]] = defaultdict(list)
    for events in deployments:
        for place, seconds in chapter_durations(events).items():
            samples[place].append(seconds)
    return {key: median(each) for key, each in samples.items()}
