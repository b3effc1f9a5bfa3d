"""A PostgreSQL server for one recovery: nobody else reaches it, and it reaches nobody."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, NamedTuple
from urllib.parse import quote

from abreast.core.errors import DatabaseError
from abreast.machine.tethered_program import TetheredProgram, User

USERS = ("postgres", "nobody")
"""Whom root runs the server as, which refuses to run as root: the first that exists."""

STOP_PATIENCE = 60.0
POLL_INTERVAL = 0.05

DATA = "data"
LOG = "wal"

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": "5432",
    "max_connections": "10",
    "shared_preload_libraries": "",
    "max_logical_replication_workers": "0",  # subscriptions would take changes from the original's publishers
    "max_wal_senders": "0",
    "archive_mode": "off",
    "autovacuum": "off",
    "hot_standby": "off",  # so that the original's max_connections and the like do not matter
    "fsync": "off",
    "full_page_writes": "off",
    "max_locks_per_transaction": "1024",  # pg_dump locks every table
    "restart_after_crash": "off",
    "lc_messages": "C",
    "log_timezone": "GMT",
    "log_line_prefix": "",
    "logging_collector": "off",
    "restore_command": f"test -f ../{LOG}/%f && cp ../{LOG}/%f %p",
    "recovery_target_timeline": "current",
    "recovery_target_action": "promote",
}
_SETTINGS_SINCE = {17: {"event_triggers": "off"}}
"""Settings that older servers do not know, by major version. A trigger on logins could reach what the original does."""


_LAST_CHANGE = "last completed transaction was at log time "


class Replay(NamedTuple):
    """How a log was replayed. ``failure``: "", or the error that ended it. ``last_change``: the last that was in it."""

    failure: str
    last_change: datetime | None


class PrivateServer:
    """A server of a major ``version`` with its ``programs``, run by ``user`` in ``home``, a folder of its own.

    ``data`` below it is the cluster, ``wal`` the log to recover from. It listens on a socket in a folder that only its
    user may enter. Its configuration is its own, whatever the original's was.
    """

    def __init__(self, home: Path, sockets: Path, programs: Path, version: int, user: User | None) -> None:
        self._home, self._sockets, self._programs, self._version, self._user = home, sockets, programs, version, user
        self._role = f"abreast_{secrets.token_hex(8)}"

    def url(self, database: str) -> str:
        """Return the URL of one of the server's databases, for its superuser."""
        sockets = quote(str(self._sockets), safe="")
        return f"postgresql://{self._role}@/{quote(database, safe='')}?host={sockets}&hostaddr=&port=5432"

    def recover(self, settings: Mapping[str, str]) -> Replay:
        """Replay the log with more settings, and shut down."""
        data = self._home / DATA
        self._write(data / "postgresql.auto.conf", "")  # the original's; it would be read after ours
        (data / "standby.signal").unlink(missing_ok=True)
        self._write(data / "recovery.signal", "")
        self._write(self._home / "pg_hba.conf", "local all all trust\n")
        own = {"unix_socket_directories": str(self._sockets), "hba_file": str(self._home / "pg_hba.conf")}
        newer = [added for since, added in _SETTINGS_SINCE.items() if self._version >= since]
        merged = {key: value for part in (_SETTINGS, *newer, own, settings) for key, value in part.items()}
        lines = [f"{key} = '{value.replace(chr(39), chr(39) * 2)}'\n" for key, value in merged.items()]
        self._write(self._home / "postgresql.conf", "".join(lines))
        program = self._program(*self._options())
        try:
            is_recovered = self._await_readiness(program)
        finally:
            program.stop(signal.SIGINT, STOP_PATIENCE)
        logged = program.error_lines
        errors = [line.partition(":")[2].strip() for line in logged if line.startswith(("FATAL:", "PANIC:"))]
        changes = [line.partition(_LAST_CHANGE)[2] for line in logged if _LAST_CHANGE in line]
        return Replay(
            "" if is_recovered else [program.complaint, *errors][-1],
            datetime.fromisoformat(changes[-1]) if changes else None,
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the recovered server for the block, with a superuser of its own: the original's may have any name."""
        with tempfile.TemporaryFile() as statements:
            statements.write(f"CREATE ROLE {self._role} SUPERUSER LOGIN;\n".encode())
            statements.seek(0)
            run_to_end(self._program("--single", *self._options(), "template1", stdin=statements), "postgres")
        program = self._program(*self._options())
        try:
            self._await_readiness(program)
            yield
        finally:
            program.stop(signal.SIGINT, STOP_PATIENCE)

    def _await_readiness(self, program: TetheredProgram) -> bool:
        """Wait until the server accepts connections, or has ended; return whether it accepts them."""
        while not (is_ready := self._is_ready()) and program.wait(POLL_INTERVAL) is None:
            pass
        return is_ready

    def _is_ready(self) -> bool:
        """Whether the server says so in the last line of its lock file, as pg_ctl reads it."""
        try:
            return (self._home / DATA / "postmaster.pid").read_text().split()[-1] == "ready"
        except (FileNotFoundError, IndexError):
            return False

    def _options(self) -> tuple[str, ...]:
        return "-D", str(self._home / DATA), "-c", f"config_file={self._home / 'postgresql.conf'}"

    def _program(self, *arguments: str, stdin: IO[bytes] | int = subprocess.DEVNULL) -> TetheredProgram:
        return start_program([str(self._programs / "postgres"), *arguments], self._home, self._user, stdin=stdin)

    def _write(self, file: Path, text: str) -> None:
        file.unlink(missing_ok=True)
        file.write_text(text)
        hand_over(file, self._user)


def start_program(
    command: list[str], home: Path, user: User | None, stdin: IO[bytes] | int = subprocess.DEVNULL
) -> TetheredProgram:
    """Start a program as the server's user. At our end it stops at once, and tidies up (SIGQUIT)."""
    env = {"PATH": os.defpath, "LC_ALL": "C"}
    return TetheredProgram(command, env=env, user=user, cwd=home, stdin=stdin, at_our_end=signal.SIGQUIT)


def run_to_end(program: TetheredProgram, name: str) -> None:
    """Wait for a program. Raises DatabaseError with what it said if it failed."""
    try:
        if program.wait():
            raise DatabaseError(f"{name}: {program.complaint}", need="whole files of a change stream, and free space")
    finally:
        program.stop(signal.SIGKILL, 0)


def server_user() -> User | None:
    """Return whom to run a server as, None for this user."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in USERS:
        if name in known:
            return User(known[name].pw_uid, known[name].pw_gid)
    raise DatabaseError("PostgreSQL does not run as root", need=f"one of the users {', '.join(USERS)}")


@contextmanager
def own_folder(user: User | None, place: Path | None = None) -> Iterator[Path]:
    """Create a folder that only ``user`` may enter, in ``place`` or among the temporary files; delete it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="abreast-", dir=place))
    try:
        hand_over(folder, user)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def hand_over(path: Path, user: User | None) -> None:
    """Make a file or folder the server's user's."""
    if user:
        os.chown(path, *user)
