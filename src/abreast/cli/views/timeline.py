"""The chapters of a deployment as a Gantt chart: https://mermaid.js.org/syntax/gantt.html."""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from abreast.core.events import Event, EventKind
from abreast.core.frozen_dataclass import dataclass

MAX_BARS = 200

_ENDS = frozenset({EventKind.FINISHED, EventKind.FAILED, EventKind.STOPPED})
_NO_NAME = re.compile(r"[^\w .-]")


@dataclass(frozen=True, slots=True)
class Bar:
    """A chapter of one service ("all": of the deployment); times are milliseconds since 1970."""

    service: str
    name: str
    begin: int
    end: int
    failed: bool = False


def timeline(events: Sequence[Event]) -> str:
    """Return a Mermaid chart with a section for each service, "" if nothing ended."""
    bars = list(_bars(events))[:MAX_BARS]
    if not bars:
        return ""
    lines = ["```mermaid", "gantt", "  dateFormat x", "  axisFormat %M:%S"]
    for service in dict.fromkeys(bar.service for bar in bars):
        lines.append(f"  section {_name(service)}")
        lines += [_line(bar) for bar in bars if bar.service == service]
    return "\n".join((*lines, "```"))


def _bars(events: Iterable[Event]) -> Iterator[Bar]:
    started: dict[tuple[str, str], int] = {}
    for event in events:
        if not event.chapter:
            continue
        key = event.key.rpartition("/")[0]
        service, gate = event.service or "all", event.message if event.kind is EventKind.STARTED else ""
        if event.kind is EventKind.STARTED:
            started[key, f"{event.chapter} {gate}".strip()] = _milliseconds(event.at)
        elif event.kind in _ENDS:
            failed = event.kind is EventKind.FAILED
            begun = next((found for found in started if key == found[0] or key.startswith(f"{found[0]}/")), None)
            if begun:
                yield Bar(service, begun[1], started.pop(begun), _milliseconds(event.at), failed)


def _line(bar: Bar) -> str:
    kind = "crit, " if bar.failed else ""
    return f"    {_name(bar.name)} :{kind}{bar.begin}, {max(bar.end, bar.begin + 1)}"


def _name(text: str) -> str:
    """Return a name without what ends it, or what Mermaid takes for a word of its own."""
    return _NO_NAME.sub(" ", text)[:60].strip() or "unnamed"


def _milliseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)
