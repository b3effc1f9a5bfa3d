"""Several logs as one: the last lines of each, and those that come."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

POLL_INTERVAL = 0.2


class LogTail:
    """Reads logs by label; everything is given once, whenever it was written."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files
        self._offsets = dict.fromkeys(files, 0)
        self._label_width = max(map(len, files))

    def last(self, count: int) -> Iterator[str]:
        """Yield the last ``count`` lines of each file, with its label before each."""
        for label in self._files:
            yield from self._with_label(label, self._read_new_lines(label, include_partial=True)[-count:])

    def follow(self) -> Iterator[str]:
        """Yield lines as they come, until the program is interrupted; a file put aside is opened anew."""
        while True:
            for label in self._files:
                yield from self._with_label(label, self._read_new_lines(label, include_partial=False))
            time.sleep(POLL_INTERVAL)

    def _read_new_lines(self, label: str, *, include_partial: bool) -> list[str]:
        """Return the lines that were not read yet; a line that has no end yet only if ``unfinished``."""
        try:
            with self._files[label].open("rb") as file:
                size = file.seek(0, 2)
                start = self._offsets[label] if size >= self._offsets[label] else 0
                file.seek(start)
                text = file.read()
        except FileNotFoundError:
            return []
        text = text if include_partial else text[: text.rfind(b"\n") + 1]
        self._offsets[label] = start + len(text)
        return text.decode(errors="replace").splitlines()

    def _with_label(self, label: str, lines: list[str]) -> Iterator[str]:
        return (f"{label:<{self._label_width}} | {line}" for line in lines)
