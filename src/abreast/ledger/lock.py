"""Who may change an environment: one deployment at a time, and nobody while an operator holds it.

The lock is the kernel's (``flock``): it goes with the process that held it, however that ended. Beside it,
``<environment>.json`` says who holds it, for people and for ``abreast status``.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from abreast.core.errors import StateError
from abreast.machine.process import Identity


class EnvironmentLock:
    """The lock of one environment, in ``folder``; newcomers that wait take a ticket, and the newest goes first."""

    def __init__(self, folder: Path, environment: str) -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(f"{folder} cannot be made: {error.strerror}") from error
        self._flock = folder / f"{environment}.lock"
        self._holder = folder / f"{environment}.json"
        self._operator = folder / f"{environment}.operator.json"
        self._ticket = folder / f"{environment}.ticket"

    @contextmanager
    def try_hold(self, holder: Mapping[str, Any]) -> Iterator[bool]:
        """Hold the lock for the block if it is free, and say whether it is held; ``holder`` is told to others."""
        with self._flock.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            write_whole(self._holder, {**holder, **asdict(Identity.of(os.getpid()))})
            try:
                yield True
            finally:
                self._holder.unlink(missing_ok=True)

    def holder(self) -> dict[str, Any] | None:
        """Return what is told of the one who holds the lock, None if nothing is."""
        return _read(self._holder)

    def operator(self) -> dict[str, Any] | None:
        """Return the operator's lock with its ``reason``, ``by`` and ``since``, None if there is none."""
        return _read(self._operator)

    def lock(self, operator: Mapping[str, Any]) -> None:
        """Keep every deployment out until ``unlock``."""
        write_whole(self._operator, {**operator, "operator": True})

    def unlock(self) -> bool:
        """Let deployments in again; tells whether the environment was locked."""
        was = self._operator.exists()
        self._operator.unlink(missing_ok=True)
        return was

    def queue(self, ticket: str) -> None:
        """Wait as ``ticket``, a text that sorts by time; replaces an older one that waits."""
        if self.replaced_by(ticket) is None:
            write_whole(self._ticket, {"ticket": ticket})

    def served(self, ticket: str) -> None:
        """Wait no longer; leaves a newer ticket where it is."""
        if (_read(self._ticket) or {}).get("ticket") == ticket:
            self._ticket.unlink(missing_ok=True)

    def replaced_by(self, ticket: str) -> str | None:
        """Return the newer ticket that waits instead of ``ticket``, None if there is none."""
        waiting = (_read(self._ticket) or {}).get("ticket", "")
        return waiting if waiting > ticket else None


def write_whole(file: Path, value: Mapping[str, Any]) -> None:
    """Write a small JSON file so that a reader sees the old one or the new one, never a part."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(value))
        temporary.replace(file)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise StateError(f"{file} cannot be written: {error.strerror}", need="room and rights there") from error


def _read(file: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
