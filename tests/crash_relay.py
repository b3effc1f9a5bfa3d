"""Kills a deployment at every write to the ledger, within one deployment.

Each process resumes where the previous one was killed, and dies at its first write that no process died at before.
A file lists those writes. They are identified by what they record, not by number, because a resumed step records the
same thing again. A process dies before or after a write as told, but always after the one that records the start of a
step: before it, nothing has happened since the previous write.
"""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from abreast.cli.run import run
from abreast.ledger.entries import Entry, EntryKind
from abreast.ledger.entry_file import EntryFile
from abreast.ledger.mirror import Mirror
from abreast.wiring import state_homes
from abreast.wiring import workspace as wiring


class CrashRelayFile(EntryFile):
    """Entries whose process is killed at the first write that ``listed`` does not list, and adds it there."""

    listed = Path()
    moment = "after"
    known = frozenset[str]()

    @contextmanager
    def transaction(self) -> Iterator[list[Entry]]:
        with super().transaction() as appended:
            yield appended
            new = frozenset(map(_name, self.appended)) - self.known
            if new and self.moment == "before" and not any(name.endswith("/started") for name in new):
                self._die(new)
        if new:
            self._die(new)

    def _die(self, names: frozenset[str]) -> None:
        with self.listed.open("a") as file:
            file.write("".join(f"{name}\n" for name in sorted(names)))
        os.kill(os.getpid(), signal.SIGKILL)


class CrashRelayMirror(CrashRelayFile, Mirror):
    """The same for a ledger that is kept elsewhere: at the moment of the kill, its home has not got the write."""


def _name(entry: Entry) -> str:
    """Return a name that is the same when a step is repeated: without times, sizes, counts and ids."""
    kind = "" if entry.kind is EntryKind.EVENT else entry.kind
    workflow = entry.subject.partition("/")[2] if entry.kind is EntryKind.STEP else ""
    return re.sub(r"[0-9]+", "#", " ".join(filter(None, (kind, workflow, entry.key))))


def main(file: Path, moment: str, arguments: list[str]) -> int:
    """Run a command of abreast until it is killed at a new write, or to its end."""
    file.touch()
    CrashRelayFile.listed, CrashRelayFile.moment = file, moment
    CrashRelayFile.known = frozenset(file.read_text().splitlines())
    wiring.ENTRY_FILE_CLASS = CrashRelayFile
    state_homes.MIRROR_CLASS = CrashRelayMirror
    return run(arguments)
