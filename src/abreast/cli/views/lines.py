"""Events as plain lines with a time, for pipes and logs of CI."""

from collections.abc import Iterator
from datetime import datetime

from abreast.core.events import Event, What

_WORDS = {
    What.STARTED: "begins",
    What.FINISHED: "done",
    What.FAILED: "FAILED",
    What.STOPPED: "stopped",
    What.RETRY: "again",
    What.JUDGED: "",
    What.MEASURED: "",
}


def lines(event: Event) -> Iterator[str]:
    """Yield the lines that tell an event; a failure's last log lines come after it, indented."""
    time = datetime.fromisoformat(event.at).astimezone().strftime("%H:%M:%S")
    who = event.service or "all"
    if event.state or event.chapter is None:
        state = f"{event.state}" if event.state else event.what.value
        yield f"{time}  {state}{': ' if event.text else ''}{event.text}".rstrip()
        return
    if event.what is What.MEASURED and not event.text:
        return
    text = event.text.replace("\n", f"\n{' ' * 10}")
    yield f"{time}  {who:<12} {event.chapter:<9} {_WORDS.get(event.what, event.what.value)} {text}".rstrip()
    for line in log_of(event):
        yield f"{' ' * 10}│ {line}"


def log_of(event: Event) -> tuple[str, ...]:
    """Return the log lines that an event carries."""
    log = event.data.get("log", ())
    return tuple(map(str, log)) if isinstance(log, list | tuple) else ()
