"""Several logs as one: the last lines of each, then new lines as they come."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

POLL_INTERVAL = 0.2


class LogTail:
    """Reads log files by label. Each line is returned once."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files
        self._offsets = dict.fromkeys(files, 0)
        self._label_width = max(map(len, files))

    def last(self, count: int) -> Iterator[str]:
        """Yield the last ``count`` lines of each file, prefixed with its label."""
        for label in self._files:
            yield from self._with_label(label, self._read_new_lines(label, include_partial=True)[-count:])

    def follow(self) -> Iterator[str]:
        """Yield new lines for ever. A rotated file is read from its beginning."""
        while True:
            for label in self._files:
                yield from self._with_label(label, self._read_new_lines(label, include_partial=False))
            time.sleep(POLL_INTERVAL)

    def _read_new_lines(self, label: str, *, include_partial: bool) -> list[str]:
        """Return the lines that were not read yet; a last line without its end only if ``include_partial``."""
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
