"""The lock of an environment on this machine: one deployment at a time.

The lock is the kernel's (``flock``), so it ends with its process. Beside it, ``<environment>.json`` names the
holder, for people and for ``abreast status``.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from abreast.core.errors import StateError
from abreast.machine.process import ProcessIdentity


class EnvironmentLock:
    """The lock of one environment, in ``folder``; one command has the place of who waits, and takes it next.

    That is the newest, but what is urgent leaves its place to nobody who is not. Tickets are numbered, and count only
    while their process runs: neither a clock nor a killed process blocks others.
    ``run_url`` is the run of a CI system that this process belongs to, and is shown to others as the holder.
    """

    def __init__(self, folder: Path, environment: str, run_url: str = "") -> None:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StateError(f"cannot create {folder}: {error.strerror}") from error
        self._run = {"run_url": run_url} if run_url else {}
        self._lock_file = folder / f"{environment}.lock"
        self._holder_file = folder / f"{environment}.json"
        self._queue_file = folder / f"{environment}.queue.json"

    @contextmanager
    def try_acquire(self, holder: Mapping[str, Any], beside: Callable[[], None] | None = None) -> Iterator[bool]:
        """Hold the lock for the block if it is free; yield whether it is held. ``holder`` is shown to others.

        A lock that is recorded calls ``beside`` in the transaction that records it.
        """
        del beside
        with self._lock_file.open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            with suppress(StateError):  # it only tells others who holds the lock; `down` must work on a full disk
                write_json_atomically(
                    self._holder_file, {**holder, **self._run, **asdict(ProcessIdentity.from_pid(os.getpid()))}
                )
            try:
                yield True
            finally:
                self._holder_file.unlink(missing_ok=True)

    def is_free(self, max_age: float | None = None) -> bool:
        """Whether no process holds the lock at this moment. ``max_age`` is for locks among machines."""
        del max_age
        try:
            with self._lock_file.open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except FileNotFoundError:  # nobody has held it yet
            return True
        return True

    def holder(self) -> dict[str, Any] | None:
        """Return the description of the lock's holder, None if there is none."""
        return _read_json(self._holder_file)

    def holder_pid(self) -> str:
        """Return the process id of the lock's holder with its run or its machine, ``?`` if it is not known."""
        holder = self.holder() or {}
        run, host = holder.get("run_url"), holder.get("host")
        where = f" of {run}" if run else f" on {host}" if host else ""
        return f"{holder.get('pid', '?')}{where}"

    def join_queue(self, *, is_urgent: bool = False) -> int:
        """Wait for the environment; return the ticket, a number higher than all before."""
        with self._change_queue() as queue:
            ticket = int(queue.get("ticket", 0)) + 1
            queue["ticket"] = ticket
            if is_urgent or not _is_waiting_urgently(queue.get("place")):
                identity = asdict(ProcessIdentity.from_pid(os.getpid()))
                queue["place"] = {"ticket": ticket, "is_urgent": is_urgent, **identity}
        return ticket

    def leave_queue(self, ticket: int) -> None:
        """Wait no more: who comes from now on need not be as urgent to have the place."""
        with self._change_queue() as queue:
            if place := queue.get("place"):
                place["is_urgent"] &= place["ticket"] != ticket

    def who_goes_first(self, ticket: int) -> str:
        """Return what has the place of this ticket, of a process that still runs: ``a rollback``; "" if nothing has."""
        place = (_read_json(self._queue_file) or {}).get("place")
        if not place or place["ticket"] == ticket:
            return ""
        if _is_waiting_urgently(place):
            return "a rollback"
        return "a newer command" if place["ticket"] > ticket and _is_alive(place) else ""

    @contextmanager
    def _change_queue(self) -> Iterator[dict[str, Any]]:
        """Change the queue, which nobody else changes meanwhile."""
        with self._queue_file.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # for a moment only
            queue = _read_json(self._queue_file) or {}
            yield queue
            file.truncate(0)
            file.write(json.dumps(queue))


def _is_waiting_urgently(place: Mapping[str, Any] | None) -> bool:
    return place is not None and place["is_urgent"] and _is_alive(place)


def _is_alive(place: Mapping[str, Any]) -> bool:
    return ProcessIdentity(place["pid"], place["start_ticks"], place["boot"]).is_alive


def write_json_atomically(file: Path, value: Mapping[str, Any]) -> None:
    """Write a small JSON file; a reader sees the old or the new content, never a part."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(value))
        temporary.replace(file)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise StateError(
            f"cannot write {file}: {error.strerror}", need="free disk space and write permission"
        ) from error


def _read_json(file: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(file.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
