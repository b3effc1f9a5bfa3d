"""What is said of the instances of a version: why they wait, how one ended, their last output."""

from collections.abc import Sequence
from pathlib import Path

from abreast.platforms.local.recreation import other_port
from abreast.platforms.local.supervisor.client import Instance

LOG_TAIL_LINES = 20

_NOT_LISTENING = "it does not listen on 127.0.0.1:$PORT"
_OTHER_PORT = (
    "port {port}, not on $PORT; read PORT in its code, or say so in abreast.yml: `local: {{app_port: {port}}}`"
)


def waiting_reason(instances: Sequence[Instance]) -> str:
    """Return why a version cannot answer yet, "" if all its instances listen."""
    if all(instance.listening or not instance.port for instance in instances):
        return ""
    port = other_port(instances)
    return f"it listens on {_OTHER_PORT.format(port=port)}" if port else _NOT_LISTENING


def exit_reason(ended: Instance, instances: Sequence[Instance]) -> str:
    """Return how an instance ended, and the port of another one if that may be why."""
    others = [instance for instance in instances if instance is not ended and instance.port and not instance.listening]
    port = other_port(others) if others else None
    return f"{ended.last_exit}; another one listens on {_OTHER_PORT.format(port=port)}" if port else ended.last_exit


def last_lines(log: Path) -> tuple[str, ...]:
    """Return the last lines of a log, none if it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16384))
            return tuple(file.read().decode(errors="replace").splitlines()[-LOG_TAIL_LINES:])
    except OSError:
        return ()
