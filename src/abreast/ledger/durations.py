"""How long chapters take, from what earlier deployments took."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from statistics import median

from abreast.core.events import Event, What

Chapters = Mapping[tuple[str | None, str], float]
"""Seconds, by service (None: of all together) and chapter."""


def durations(events: Iterable[Event]) -> Chapters:
    """Return how long each chapter of one deployment took that began and ended."""
    began: dict[tuple[str | None, str], datetime] = {}
    took: dict[tuple[str | None, str], float] = {}
    for event in events:
        if event.chapter is None:
            continue
        place = (event.service, event.chapter.value)
        if event.what is What.STARTED:
            began.setdefault(place, datetime.fromisoformat(event.at))
        elif event.what in {What.FINISHED, What.FAILED, What.STOPPED} and place in began:
            took[place] = (datetime.fromisoformat(event.at) - began[place]).total_seconds()
    return took


def medians(deployments: Sequence[Sequence[Event]]) -> Chapters:
    """Return the median of each chapter's durations over several deployments."""
    found: dict[tuple[str | None, str], list[float]] = defaultdict(list)
    for events in deployments:
        for place, seconds in durations(events).items():
            found[place].append(seconds)
    return {place: median(each) for place, each in found.items()}
