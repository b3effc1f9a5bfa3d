"""Run an abreast command and kill it at a chosen write to the ledger.

    python -m abreast.testing.crash 7 after deploy --yes

runs ``abreast deploy --yes`` and sends SIGKILL to it right after its seventh write is durable (``before``: right
before), as if the machine had failed. With fewer writes, it exits as the command does.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from abreast.cli.run import run
from abreast.ledger.entries import Entry
from abreast.ledger.entry_file import EntryFile
from abreast.wiring import workspace as wiring


class CrashingEntryFile(EntryFile):
    """Entries whose process is killed at write number ``crash_at_write``, ``before`` or ``after`` it is durable."""

    crash_at_write = 0
    moment = "after"
    write_count = 0

    @contextmanager
    def transaction(self) -> Iterator[list[Entry]]:
        """Append the entries of the block together, or die."""
        CrashingEntryFile.write_count += 1
        crashes_here = CrashingEntryFile.write_count == self.crash_at_write
        with super().transaction() as appended:
            yield appended
            if crashes_here and self.moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
        if crashes_here:
            os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """Run a command. ``arguments``: the number of the write, ``before`` or ``after``, and the command line."""
    CrashingEntryFile.crash_at_write, CrashingEntryFile.moment = int(arguments[0]), arguments[1]
    wiring.ENTRY_FILE_CLASS = CrashingEntryFile
    return run(arguments[2:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
