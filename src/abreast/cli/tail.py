"""Several logs as one: the last lines of each, and those that come."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

PAUSE = 0.2


class Tail:
    """Reads logs by label; everything is given once, whenever it was written."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files
        self._places = dict.fromkeys(files, 0)
        self._wide = max(map(len, files))

    def last(self, count: int) -> Iterator[str]:
        """Yield the last ``count`` lines of each file, with its label before each."""
        for label in self._files:
            yield from self._told(label, self._new(label, unfinished=True)[-count:])

    def follow(self) -> Iterator[str]:
        """Yield lines as they come, until the program is interrupted; a file put aside is opened anew."""
        while True:
            for label in self._files:
                yield from self._told(label, self._new(label, unfinished=False))
            time.sleep(PAUSE)

    def _new(self, label: str, *, unfinished: bool) -> list[str]:
        """Return the lines that were not read yet; a line that has no end yet only if ``unfinished``."""
        try:
            with self._files[label].open("rb") as file:
                size = file.seek(0, 2)
                start = self._places[label] if size >= self._places[label] else 0
                file.seek(start)
                text = file.read()
        except FileNotFoundError:
            return []
        text = text if unfinished else text[: text.rfind(b"\n") + 1]
        self._places[label] = start + len(text)
        return text.decode(errors="replace").splitlines()

    def _told(self, label: str, lines: list[str]) -> Iterator[str]:
        return (f"{label:<{self._wide}} | {line}" for line in lines)
