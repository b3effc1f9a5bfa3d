"""Kills a deployment at every write to the ledger, within one deployment.

Each process resumes where the previous one was killed, and dies at its first write that no process died at before.
A file lists those writes. They are identified by what they record, not by number, because a resumed step records the
same thing again. A process dies before or after a write as told, but always after the one that records the start of a
step: before it, nothing has happened since the previous write.
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

from abreast.cli.run import run
from abreast.ledger.sqlite import SqliteLedger
from abreast.wiring import workspace as wiring

WRITES = [
    name
    for name, method in vars(SqliteLedger).items()
    if inspect.isfunction(method) and name[0] != "_" and "self._transaction()" in inspect.getsource(method)
]
"""The names of the ledger's methods that write."""


class CrashRelayLedger(SqliteLedger):
    """A ledger that kills its process at the first write that ``file`` does not list, and adds it there."""

    file = Path()
    moment = "after"
    known = frozenset[str]()
    current = threading.local()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        new: frozenset[str] = getattr(self.current, "names", frozenset()) - self.known
        with super()._transaction() as database:
            yield database
            if new and self.moment == "before" and not any(name.endswith("/started") for name in new):
                self._die(new)
        if new:
            self._die(new)

    def _die(self, names: frozenset[str]) -> None:
        with self.file.open("a") as file:
            file.write("".join(f"{name}\n" for name in sorted(names)))
        os.kill(os.getpid(), signal.SIGKILL)


def _with_names(write: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a ledger method so that its transaction knows the names of its writes."""

    @wraps(write)
    def call(self: CrashRelayLedger, *arguments: Any, **more: Any) -> Any:  # noqa: ANN401 (each method's own)
        self.current.names = _write_names(write.__name__, arguments)
        try:
            return write(self, *arguments, **more)
        finally:
            self.current.names = frozenset()

    return call


def _write_names(write: str, arguments: tuple[Any, ...]) -> frozenset[str]:
    """Return names that are the same when a step is repeated: without times, sizes and counts."""
    if write == "append_events":
        return frozenset(re.sub(r"[0-9]+", "#", event.key) for event in arguments)
    return frozenset({f"{write} {arguments[1].service}" if write == "add_release_part" else write})


for _write in WRITES:
    setattr(CrashRelayLedger, _write, _with_names(getattr(SqliteLedger, _write)))


def main(file: Path, moment: str, arguments: list[str]) -> int:
    """Run a command of abreast until it is killed at a new write, or to its end."""
    file.touch()
    CrashRelayLedger.file, CrashRelayLedger.moment = file, moment
    CrashRelayLedger.known = frozenset(file.read_text().splitlines())
    wiring.LEDGER_CLASS = CrashRelayLedger
    return run(arguments)
