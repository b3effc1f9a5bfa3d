"""Kills a deployment at many writes to the ledger, within one deployment.

Each process resumes where the previous one was killed, and dies at the first new write, or the fourth: one that no
process made or died at before. A file lists those writes. They are identified by what they record, not by number,
because a resumed step records the same thing again. A process dies before or after a write as told, but always after
the one that records the start of a step: before it, nothing has happened since the previous write.
"""

import itertools
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from abreast.cli.run import run
from abreast.ledger.entries import Entry, EntryKind
from abreast.ledger.entry_file import EntryFile
from abreast.ledger.interface import Deployment
from abreast.ledger.mirror import Mirror
from abreast.ledger.sqlite import SqliteLedger
from abreast.wiring import state_homes
from abreast.wiring import workspace as wiring


class CrashRelayFile(EntryFile):
    """Entries whose process is killed at the new write of a number, and adds all new writes to ``listed``."""

    listed = Path()
    moment = "after"
    number = 1
    numbers = itertools.count(1)
    known: ClassVar[set[str]] = set()

    @contextmanager
    def transaction(self) -> Iterator[list[Entry]]:
        with self._lock:  # otherwise a write of another thread could kill the process before this one is listed
            with super().transaction() as appended:
                yield appended
                new = set(map(_name, appended)) - self.known
                is_last = bool(new) and next(self.numbers) == self.number
                if is_last and self.moment == "before" and not any(name.endswith("/started") for name in new):
                    self._die(new)
            if is_last:
                self._die(new)
            self._list(new)

    def _die(self, names: set[str]) -> None:
        self._list(names)
        os.kill(os.getpid(), signal.SIGKILL)

    def _list(self, names: set[str]) -> None:
        if names:
            self.known.update(names)
            with self.listed.open("a") as file:
                file.write("".join(f"{name}\n" for name in sorted(names)))


class CrashRelayMirror(CrashRelayFile, Mirror):
    """The same for a ledger that is kept elsewhere: at the moment of the kill, its home has not got the write."""


def _name(entry: Entry) -> str:
    """Return a name that is the same when a step is repeated: without times, sizes, counts and ids."""
    kind = "" if entry.kind is EntryKind.EVENT else entry.kind
    workflow = entry.subject.partition("/")[2] if entry.kind is EntryKind.STEP else ""
    return re.sub(r"[0-9]+", "#", " ".join(filter(None, (kind, workflow, entry.key))))


def latest_deployment(folder: Path) -> Deployment:
    """Return a project's latest deployment as the ledger has it, for tests that ask after each kill."""
    with SqliteLedger.open(folder / ".abreast") as ledger:
        return ledger.deployments(limit=1)[0]


def main(file: Path, moment: str, number: int, arguments: list[str]) -> int:
    """Run a command of abreast until it is killed at its new write ``number``, or to its end."""
    file.touch()
    CrashRelayFile.listed, CrashRelayFile.moment, CrashRelayFile.number = file, moment, number
    CrashRelayFile.known.update(file.read_text().splitlines())
    wiring.ENTRY_FILE_CLASS = CrashRelayFile
    state_homes.MIRROR_CLASS = CrashRelayMirror
    return run(arguments)
