"""The lock of an environment whose ledger is kept elsewhere: a lease, that others take over when its holder is dead.

Who takes it says so in the chain, with the next number. Each entry of its deployment carries that number, so a holder
that was frozen and wakes up can record nothing more. Whether a holder is alive is judged by signs of life that change,
and by the waiting machine's own clock: clocks of different machines are never compared.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from abreast.core.errors import StateError
from abreast.ledger.entries import Entry, EntryKind
from abreast.ledger.lock import EnvironmentLock
from abreast.ledger.mirror import Mirror
from abreast.machine.process import ProcessIdentity, boot_id

LOOK_INTERVAL = 2.0
"""Seconds between two looks at a lease that somebody else holds."""


class LeasedLock(EnvironmentLock):
    """The lock of one environment: among the processes here by the kernel, among machines by a lease.

    A holder that shows no sign of life for ``expiry`` seconds is taken for dead.
    Raises StateError if the home of the ledger cannot be reached.
    """

    def __init__(self, folder: Path, environment: str, mirror: Mirror, expiry: float, run_url: str = "") -> None:
        super().__init__(folder, environment, run_url)
        self._environment = environment
        self._mirror = mirror
        self._expiry = expiry
        self._fence = ""
        self._next_look = self._next_sign = 0.0
        self._sign = ""
        self._seen = 0.0

    @contextmanager
    def try_acquire(self, holder: Mapping[str, Any], beside: Callable[[], None] | None = None) -> Iterator[bool]:
        """Hold the lock for the block if it is free; yield whether it is held. ``holder`` is shown to others.

        ``beside`` is called in the transaction that records the lease: what it appends goes to the home with it.
        """
        with super().try_acquire(holder) as is_ours:
            if not is_ours or not self._take(holder, beside):
                yield False
                return
            stop = threading.Event()
            beating = threading.Thread(target=self._beat, args=(stop,), daemon=True)
            beating.start()
            try:
                yield True
            finally:
                stop.set()
                beating.join()
                self._give_back()

    def is_free(self, max_age: float | None = None) -> bool:
        """Whether nobody holds the lock at this moment, as far as is known here, or was known ``max_age`` seconds ago.

        With ``max_age``, raises StateError if the home does not answer.
        """
        if max_age is not None:
            self._mirror.pull(max_age)
        return super().is_free() and not self._is_held_elsewhere()

    def holder(self) -> dict[str, Any] | None:
        """Return the description of the lock's holder, None if there is none."""
        return super().holder() or self._mirror.lease(self._environment)[1]

    def _take(self, holder: Mapping[str, Any], beside: Callable[[], None] | None) -> bool:
        """Take the lease, if it is free or its holder is dead; return whether it is ours."""
        if time.monotonic() < self._next_look:
            return False
        seems_free = self._mirror.lease(self._environment)[1] is None
        self._mirror.pull(LOOK_INTERVAL if seems_free else 0)  # if it is not, the home refuses this lease
        self._next_look = time.monotonic() + LOOK_INTERVAL
        if self._is_held_elsewhere():
            return False
        number = self._mirror.lease(self._environment)[0] + 1
        identity = asdict(ProcessIdentity.from_pid(os.getpid()))
        who = {**holder, **self._run, **identity, "namespace": process_namespace(), "host": os.uname().nodename}
        recorded = self._record(number, who, beside)
        if not recorded or recorded[0] not in self._mirror.settle(recorded):
            return False
        self._fence = self._mirror.fence = f"{self._environment}/{number}"
        return True

    def _give_back(self) -> None:
        """Free the lease for others, who read it with the next push. Without one, they wait until it expires."""
        if self._mirror.fence == self._fence:
            self._mirror.fence = ""
        with suppress(StateError):
            if self._mirror.holds(self._fence):
                self._record(int(self._fence.rpartition("/")[2]) + 1, None)

    def _record(
        self, number: int, holder: Mapping[str, Any] | None, beside: Callable[[], None] | None = None
    ) -> list[Entry]:
        """Record a lease, unless its number is known. Returns what was recorded, the lease first."""
        with self._mirror.transaction() as appended:
            self._mirror.append(EntryKind.LEASE, self._environment, str(number), {"holder": holder})
            if appended and beside:
                beside()
        return appended

    def _is_held_elsewhere(self) -> bool:
        """Whether a process that may be alive holds the lease."""
        _, holder = self._mirror.lease(self._environment)
        if holder is None:
            return False
        return may_be_alive(holder) and (_is_of_this_machine(holder) or self._shows_life())

    def _shows_life(self) -> bool:
        """Whether the holder's sign of life changed within ``expiry`` seconds, by this machine's clock."""
        if time.monotonic() >= self._next_sign:
            self._next_sign = time.monotonic() + LOOK_INTERVAL
            sign = self._mirror.home.last_beat(self._environment)
            if sign != self._sign or not self._seen:
                self._sign, self._seen = sign, time.monotonic()
        return time.monotonic() - self._seen < self._expiry

    def _beat(self, stop: threading.Event) -> None:
        while True:
            with suppress(StateError):
                self._mirror.home.beat(self._environment)
            if stop.wait(self._expiry / 6):
                return


def may_be_alive(holder: Mapping[str, Any]) -> bool:
    """Return whether the holder of a lease can be alive: only a process of this machine is known to be dead."""
    return (
        not _is_of_this_machine(holder)
        or ProcessIdentity(holder["pid"], holder["start_ticks"], holder["boot"]).is_alive
    )


def _is_of_this_machine(holder: Mapping[str, Any]) -> bool:
    return (holder["boot"], holder["namespace"]) == (boot_id(), process_namespace())


def process_namespace() -> str:
    """Return what tells this container from others of the machine, "" where there are none: pids are its own."""
    with suppress(OSError):
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 (no file's path)
    return ""
