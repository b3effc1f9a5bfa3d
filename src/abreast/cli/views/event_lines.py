"""Events as plain lines with a time, for pipes and CI logs."""

from collections.abc import Iterator
from datetime import datetime

from abreast.core.events import Event, EventKind

_LABELS = {
    EventKind.STARTED: "started",
    EventKind.FINISHED: "done",
    EventKind.FAILED: "FAILED",
    EventKind.STOPPED: "stopped",
    EventKind.RETRY: "retry",
    EventKind.JUDGED: "",
    EventKind.MEASURED: "",
    EventKind.VOTED: "",
}


def event_lines(event: Event) -> Iterator[str]:
    """Yield the lines of an event. A failure is followed by its last log lines, indented."""
    time = datetime.fromisoformat(event.at).astimezone().strftime("%H:%M:%S")
    who = event.service or "all"
    if event.state or event.chapter is None:
        state = f"{event.state}" if event.state else event.kind.value
        yield f"{time}  {state}{': ' if event.message else ''}{event.message}".rstrip()
        return
    if event.kind is EventKind.MEASURED and not event.message:
        return
    text = event.message.replace("\n", f"\n{' ' * 10}")
    yield f"{time}  {who:<12} {event.chapter:<9} {_LABELS.get(event.kind, event.kind.value)} {text}".rstrip()
    for line in log_lines(event):
        yield f"{' ' * 10}│ {line}"


def output_line(subject: str, kind: str, line: str) -> str:
    """Return a line that a command of a service or a gate printed, below the columns of the events."""
    return f"{'':8}  {subject:<12} {kind:<9} │ {line}"


def log_lines(event: Event) -> tuple[str, ...]:
    """Return the log lines that an event carries."""
    log = event.data.get("log", ())
    return tuple(map(str, log)) if isinstance(log, list | tuple) else ()
