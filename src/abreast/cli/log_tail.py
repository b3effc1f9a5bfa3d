"""Several logs as one: the last lines of each, then new lines as they come."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

POLL_INTERVAL = 0.2


class Log(Protocol):
    """A log that grows."""

    def new_lines(self, *, at_end: bool) -> list[str]:
        """Return the lines that were not returned yet; a last line without its end only with ``at_end``."""
        ...


class LogFile:
    """A log file. A rotated file is read from its beginning."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new_lines(self, *, at_end: bool) -> list[str]:
        """Return the lines that were not returned yet; a last line without its end only with ``at_end``."""
        try:
            with self._path.open("rb") as file:
                size = file.seek(0, 2)
                start = self._offset if size >= self._offset else 0
                file.seek(start)
                text = file.read()
        except FileNotFoundError:
            return []
        text = text if at_end else text[: text.rfind(b"\n") + 1]
        self._offset = start + len(text)
        return text.decode(errors="replace").splitlines()


class KeptLog:
    """A log that the ledger has. It does not grow."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()

    def new_lines(self, *, at_end: bool) -> list[str]:
        """Return its lines, once."""
        del at_end
        lines, self._lines = self._lines, []
        return lines


class LogTail:
    """Reads logs by label. Each line is returned once."""

    def __init__(self, logs: Mapping[str, Log]) -> None:
        self._logs = logs
        self._label_width = max(map(len, logs), default=0)

    def last(self, count: int | None) -> Iterator[str]:
        """Yield the last ``count`` lines of each log (None: all), prefixed with its label."""
        for label, log in self._logs.items():
            lines = log.new_lines(at_end=True)
            yield from self._with_label(label, lines if count is None else lines[-count:])

    def follow(self) -> Iterator[str]:
        """Yield new lines for ever."""
        while True:
            for label, log in self._logs.items():
                yield from self._with_label(label, log.new_lines(at_end=False))
            time.sleep(POLL_INTERVAL)

    def _with_label(self, label: str, lines: list[str]) -> Iterator[str]:
        return (f"{label:<{self._label_width}} | {line}" for line in lines)
