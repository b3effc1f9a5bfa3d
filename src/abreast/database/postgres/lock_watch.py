"""Watches a migration tool's sessions while they wait for a lock, and cancels those that wait too long.

Whoever waits for a strong lock makes all later users of the table wait too. SQL files run with ``lock_timeout``. A tool
has sessions of its own, and neither ``PGOPTIONS`` nor a parameter in the URL reaches every driver, or gets through a
pooler; what a session waits for, the server tells anybody.
"""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from abreast.database.postgres.client import encode_sql

if TYPE_CHECKING:
    from psycopg import Connection

POLL_INTERVAL = 0.1
"""Seconds between two looks at the server's locks."""

_WAITING_SQL = """
    SELECT l.pid, coalesce(l.relation::regclass::text, l.locktype), pg_blocking_pids(l.pid)
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE NOT l.granted AND a.datname = current_database() AND a.usename = session_user AND a.backend_start >= %s
        AND l.mode IN ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock')
        AND l.locktype IN ('relation', 'object')
"""
"""Sessions of the tool's role that began after the tool, and wait for a lock that applications do not take.

A tool behind a pooler can have sessions that began before. They are not cancelled: they could be anybody's.
"""

_BLOCKER_SQL = """
    SELECT pid, coalesce(usename, '?'), coalesce(nullif(application_name, ''), '?'), coalesce(state, '?'),
        extract(epoch FROM clock_timestamp() - xact_start)
    FROM pg_stat_activity WHERE pid = ANY(%s)
"""


class LockWatch:
    """Watches in a thread, for its block. ``has_cancelled``: whether a session waited longer than ``limit`` seconds."""

    def __init__(
        self, open_connection: Callable[[], "Connection[Any]"], limit: float, report: Callable[[str], None]
    ) -> None:
        self.has_cancelled = False
        self._open_connection = open_connection
        self._limit = limit
        self._report = report
        self._stopped = threading.Event()
        self._first_seen: dict[int, float] = {}
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._db = self._open_connection()
        row = self._db.execute("SELECT clock_timestamp()").fetchone()
        assert row
        self._began = row[0]
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        self._db.close()

    def _watch(self) -> None:
        import psycopg  # noqa: PLC0415 (slow, and only databases need it)

        while not self._stopped.wait(POLL_INTERVAL):
            try:
                self._look()
            except psycopg.Error as error:
                self._report(f"the locks cannot be watched: {error.diag.message_primary or error}")
                return

    def _look(self) -> None:
        """Cancel the sessions that have waited too long."""
        waiting = self._db.execute(encode_sql(_WAITING_SQL), (self._began,)).fetchall()
        now = time.monotonic()
        self._first_seen = {pid: self._first_seen.get(pid, now) for pid, _, _ in waiting}
        for pid, what, blockers in waiting:
            if now - self._first_seen[pid] >= self._limit:
                self._report(f"no lock on {what} after {self._limit:g} s: {self._describe(blockers)}")
                self._db.execute("SELECT pg_cancel_backend(%s)", (pid,))
                self.has_cancelled = True
                del self._first_seen[pid]

    def _describe(self, blockers: list[int]) -> str:
        """Return who holds a lock, in one text."""
        rows = self._db.execute(encode_sql(_BLOCKER_SQL), (blockers,)).fetchall()
        return (
            "; ".join(
                f"session {pid} of {user} ({application}, {state}) holds it"
                + (f", in a transaction since {seconds:.0f} s" if seconds is not None else "")
                for pid, user, application, state, seconds in rows
            )
            or "its holder has gone"
        )
