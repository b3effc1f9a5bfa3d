"""A relay of killed processes: each goes on where the one before was killed, to the next write to the ledger.

One deployment so passes all of its boundaries; the list of the writes at which a process was killed is kept
in a file. A write is known by what it is of, not by its number: what is repeated after a kill is none anew.
"""

import inspect
import os
import re
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from abreast.cli.main import run
from abreast.ledger.sqlite import SqliteLedger
from abreast.wiring import workspace as wiring

WRITES = [
    name
    for name, method in vars(SqliteLedger).items()
    if inspect.isfunction(method) and name[0] != "_" and "self._transaction()" in inspect.getsource(method)
]
"""The ledger's methods that write."""


class CrashRelayLedger(SqliteLedger):
    """A ledger whose process does not survive its first write that is not in ``file``; it adds that one there."""

    file = Path()
    moment = "after"
    known = frozenset[str]()
    under_way = threading.local()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        new: frozenset[str] = getattr(self.under_way, "names", frozenset()) - self.known
        with super()._transaction() as database:
            yield database
            if new and self.moment == "before":
                self._die(new)
        if new:
            self._die(new)

    def _die(self, names: frozenset[str]) -> None:
        with self.file.open("a") as file:
            file.write("".join(f"{name}\n" for name in sorted(names)))
        os.kill(os.getpid(), signal.SIGKILL)


def _with_names(write: Callable[..., Any]) -> Callable[..., Any]:
    """Return a method of the ledger that tells of what its write is."""

    @wraps(write)
    def call(self: CrashRelayLedger, *arguments: Any, **more: Any) -> Any:  # noqa: ANN401 (each method's own)
        self.under_way.names = _write_names(write.__name__, arguments)
        try:
            return write(self, *arguments, **more)
        finally:
            self.under_way.names = frozenset()

    return call


def _write_names(write: str, arguments: tuple[Any, ...]) -> frozenset[str]:
    """Return names that stay the same when what was cut off is done again: no times, sizes or counts."""
    if write == "append_events":
        return frozenset(re.sub(r"[0-9]+", "#", event.key) for event in arguments)
    return frozenset({f"{write} {arguments[1].service}" if write == "add_release_part" else write})


for _write in WRITES:
    setattr(CrashRelayLedger, _write, _with_names(getattr(SqliteLedger, _write)))


def main(file: Path, moment: str, arguments: list[str]) -> int:
    """Run a command of abreast until it is killed, or to its end where no write is new."""
    file.touch()
    CrashRelayLedger.file, CrashRelayLedger.moment = file, moment
    CrashRelayLedger.known = frozenset(file.read_text().splitlines())
    wiring.LEDGER_CLASS = CrashRelayLedger
    return run(arguments)
