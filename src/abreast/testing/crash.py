"""A command of abreast that is killed at a chosen write to the ledger.

    python -m abreast.testing.crash 7 after deploy --yes

runs ``abreast deploy --yes`` and ends it with SIGKILL right after its seventh write is durable (``before``:
right before it would be), as if the machine had taken it away. Exits as the command does when it makes
fewer writes.
"""

import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from abreast.cli.main import run
from abreast.ledger.sqlite import SqliteLedger
from abreast.wiring import workspace as wiring


class CrashingLedger(SqliteLedger):
    """A ledger whose process does not survive write number ``at``."""

    crash_at_write = 0
    moment = "after"
    write_count = 0

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        CrashingLedger.write_count += 1
        last = CrashingLedger.write_count == self.crash_at_write
        with super()._transaction() as database:
            yield database
            if last and self.moment == "before":
                os.kill(os.getpid(), signal.SIGKILL)
        if last:
            os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """Run the command line after the number and the moment."""
    CrashingLedger.crash_at_write, CrashingLedger.moment = int(arguments[0]), arguments[1]
    wiring.LEDGER_CLASS = CrashingLedger
    return run(arguments[2:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
