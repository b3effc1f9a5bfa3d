"""Several logs as one: the last lines of each, and those that come."""

import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path

PAUSE = 0.2


def last(files: Mapping[str, Path], count: int) -> Iterator[str]:
    """Yield the last ``count`` lines of each file, with its label before each."""
    wide = max(map(len, files))
    for label, file in files.items():
        with file.open(errors="replace") as lines:
            for line in deque(lines, maxlen=count):
                yield f"{label:<{wide}} | {line.rstrip()}"


def follow(files: Mapping[str, Path]) -> Iterator[str]:
    """Yield lines as they come, until the program is interrupted; a file put aside is opened anew."""
    wide = max(map(len, files))
    places = {label: file.stat().st_size for label, file in files.items()}
    while True:
        for label, file in files.items():
            try:
                size = file.stat().st_size
                start = places[label] if size >= places[label] else 0
                with file.open("rb") as opened:
                    opened.seek(start)
                    text = opened.read()
            except FileNotFoundError:
                continue
            whole = text[: text.rfind(b"\n") + 1]
            places[label] = start + len(whole)
            for line in whole.decode(errors="replace").splitlines():
                yield f"{label:<{wide}} | {line}"
        time.sleep(PAUSE)
