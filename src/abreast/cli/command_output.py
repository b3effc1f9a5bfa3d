"""The output of a deployment's builds and gates, while they run."""

from collections.abc import Iterator
from pathlib import Path

from abreast.cli.log_tail import LogFile


class CommandOutput:
    """Reads what the commands of one deployment write to their logs in ``folder``. Each line is returned once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[Path, LogFile] = {}
        self.last_lines: dict[str, str] = {}
        """The last line of each build, by service."""

    def new_lines(self) -> Iterator[tuple[str, str, str]]:
        """Yield new lines: the service or gate, the kind of command (``build``, ``test``), and the line."""
        for file in sorted(self._folder.glob("*.log")):
            subject, _, kind = file.name.removesuffix(".log").partition(".")
            for line in self._files.setdefault(file, LogFile(file)).new_lines(at_end=False):
                if kind == "build" and line.strip():
                    self.last_lines[subject] = line
                yield subject, kind, line
