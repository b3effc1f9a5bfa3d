"""Recovers a database as it was at a moment, by a server of its own that replays a change stream."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from abreast.core.errors import DatabaseError
from abreast.database.postgres.changes.private_server import (
    DATA,
    LOG,
    PrivateServer,
    hand_over,
    own_folder,
    run_to_end,
    server_user,
    start_program,
)
from abreast.database.postgres.changes.stream_files import HISTORY, MANIFEST, PIECES, SEGMENT, TAR, WAL, Base, bases_in
from abreast.database.postgres.changes.wal_folder import assemble, segment_number
from abreast.database.postgres.client import DUMP_OPTIONS, connect, run_client_program
from abreast.database.postgres.programs import find_server_folder
from abreast.machine.tethered_program import User

CONNECT_TIMEOUT = 30.0
_TAR = shutil.which("tar", path=os.defpath) or "tar"
MIN_PREPARED = 20
"""Prepared transactions that a recovery can keep, if the original did not allow more."""

_SEGMENT_SIZE, _MAX_PREPARED = "Bytes per WAL segment", "max_prepared_xacts setting"
"""What pg_controldata calls them."""
_TARGET_NOT_REACHED = "recovery ended before configured recovery target was reached"


def recover(files: Path, moment: datetime | None, name: str, into: Path) -> None:
    """Write the database ``name`` as it was at a moment (None: at the log's end) as pg_dump's custom format.

    A moment after the last change is its end too. Everything happens in temporary folders: in ``files``, or among the
    system's temporary files if the server's user may not enter there. Raises DatabaseError if the moment is before the
    first base backup ended, or after the end of a log that another one follows; or if the database did not exist.
    """
    base = _find_base(files, moment)
    user = server_user()
    with own_folder(user, _place(files, user)) as home, own_folder(user) as sockets:
        version, programs = _unpack(files / base.folder, home, user)
        control = _control_data(programs, home / DATA)
        log = _Log(files / base.generation, base.first_segment, int(control[_SEGMENT_SIZE]))
        log.provide(home / LOG, user)
        _refuse_tablespaces(programs, home, log)
        server = PrivateServer(home, sockets, programs, version, user)
        _replay(server, control, moment, log, _next_base(files, base))
        with server.running():
            _dump(server, programs, name, moment, into)


# ── the base backup ────────────────────────────────────────────────────────────────────────────


def _bases(files: Path) -> Sequence[Base]:
    return bases_in(str(tar.relative_to(files)) for tar in files.glob(f"*/*/{TAR}"))


def _find_base(files: Path, moment: datetime | None) -> Base:
    """Return the newest base backup that ended before the moment."""
    bases = _bases(files)
    if not bases:
        raise DatabaseError("the continuous backup has no base backup yet", need="one, as its beginning")
    fitting = [base for base in bases if moment is None or base.ended <= moment]
    if not fitting:
        raise DatabaseError(
            f"the continuous backup does not reach back to {_spelled(moment)}",
            need=f"a moment from {_spelled(bases[0].ended)} on, when its first base backup ended",
        )
    return fitting[-1]


def _next_base(files: Path, base: Base) -> Base | None:
    """Return the first base backup of a later generation."""
    return next((later for later in _bases(files) if later > base and later.generation != base.generation), None)


def _spelled(moment: datetime | None) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds") if moment else "the latest moment"


def _place(files: Path, user: User | None) -> Path | None:
    """Return ``files`` if the server's user may enter every folder on the way there."""
    folder = files.resolve()
    may_enter = user is None or all(one.stat().st_mode & 0o001 for one in (folder, *folder.parents))
    return folder if may_enter else None


def _unpack(base: Path, home: Path, user: User | None) -> tuple[int, Path]:
    """Unpack a base backup and verify its checksums; return its major version and the folder of such a server."""
    data = home / DATA
    data.mkdir(mode=0o700)
    hand_over(data, user)
    with (base / TAR).open("rb") as tar:
        run_to_end(start_program([_TAR, "-xf", "-", "-C", DATA], home, user, stdin=tar), "tar")
    if not (data / "PG_VERSION").exists():
        raise DatabaseError(f"{base.name} is no base backup of PostgreSQL", need="the files as they were stored")
    version = int((data / "PG_VERSION").read_text())
    programs = find_server_folder(version)
    if (base / MANIFEST).exists():
        _provide(base / MANIFEST, home / MANIFEST, user)
        options = ["--no-parse-wal", "--exit-on-error", f"--manifest-path={home / MANIFEST}", DATA]
        verification = start_program([str(programs / "pg_verifybackup"), *options], home, user)
        if (verification.wait() or 0) > 0:  # one that crashed proves nothing
            raise DatabaseError(f"pg_verifybackup: {verification.complaint}", need="the files as they were stored")
    return version, programs


def _control_data(programs: Path, data: Path) -> Mapping[str, str]:
    told = subprocess.run(
        [programs / "pg_controldata", data], capture_output=True, text=True, check=False, env={"LC_ALL": "C"}
    )
    if told.returncode:
        raise DatabaseError(f"pg_controldata: {told.stderr.strip()}", need="a whole base backup")
    pairs = (line.partition(":") for line in told.stdout.splitlines())
    return {key: value.strip() for key, _, value in pairs}


# ── the log ────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Log:
    """The log of one generation, from its ``first`` needed segment on."""

    generation: Path
    first: str
    segment_size: int

    @property
    def segments(self) -> Sequence[str]:
        """The segments that follow each other from the first on."""
        found = self._found()
        start = segment_number(self.first, self.segment_size)
        whole = [name for at, name in enumerate(found) if segment_number(name, self.segment_size) == start + at]
        if not whole:
            raise DatabaseError(f"{self.first} of the continuous backup is missing", need="the log of its base backup")
        return whole

    @property
    def missing_before(self) -> str:
        """The segment that follows a gap, "" without one."""
        return next(iter(self._found()[len(self.segments) :]), "")

    def provide(self, into: Path, user: User | None) -> None:
        """Fill a folder with the log, each segment whole: what is not written yet is zeros."""
        into.mkdir(mode=0o700)
        hand_over(into, user)
        for name in (*self.segments, *(name for name in self._names(WAL) if HISTORY.fullmatch(name))):
            if (self.generation / WAL / name).exists():
                _provide(self.generation / WAL / name, into / name, user)
            else:
                assemble(self.generation / PIECES, name, into / name, self.segment_size)
                hand_over(into / name, user)

    def _found(self) -> Sequence[str]:
        names = {name[:24] for folder in (WAL, PIECES) for name in self._names(folder) if SEGMENT.match(name)}
        return sorted(name for name in names if name >= self.first)

    def _names(self, folder: str) -> Sequence[str]:
        return [file.name for file in (self.generation / folder).glob("*")]


def _provide(file: Path, into: Path, user: User | None) -> None:
    """Give the server's user a file, by a link where that is possible."""
    try:
        into.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, into)
    hand_over(into, user)


def _refuse_tablespaces(programs: Path, home: Path, log: _Log) -> None:
    """Raise DatabaseError if there are tablespaces: the server would write to the folders of the original's."""
    created = subprocess.run(
        [programs / "pg_waldump", "--rmgr=Tablespace", f"--path={home / LOG}", log.segments[0], log.segments[-1]],
        capture_output=True, text=True, check=False, env={"LC_ALL": "C"},
    ).stdout  # fmt: skip
    if "CREATE" in created or any(os.scandir(home / DATA / "pg_tblspc")):
        raise DatabaseError(
            "the server had a tablespace of its own, which a recovery here would write to",
            need="a recovery by hand, on a machine without the original's folders",
        )


# ── the server ─────────────────────────────────────────────────────────────────────────────────


def _replay(
    server: PrivateServer, control: Mapping[str, str], moment: datetime | None, log: _Log, later: Base | None
) -> None:
    """Replay the log until the moment, or to its end if that is before."""
    settings = {"max_prepared_transactions": str(max(MIN_PREPARED, int(control[_MAX_PREPARED])))}
    target = {"recovery_target_time": moment.astimezone(UTC).isoformat(sep=" ")} if moment else {}
    replay = server.recover({**settings, **target})
    if moment is None or replay.failure == _TARGET_NOT_REACHED:
        _check_end(moment, log, later, replay.last_change)
    if replay.failure == _TARGET_NOT_REACHED:
        replay = server.recover(settings)
    if replay.failure:
        raise DatabaseError(f"the log cannot be replayed: {replay.failure}", need="the files as they were stored")


def _check_end(moment: datetime | None, log: _Log, later: Base | None, last_change: datetime | None) -> None:
    """Raise DatabaseError if changes may be missing between the log's end and the moment."""
    if log.missing_before:
        raise DatabaseError(
            f"the log before {log.missing_before} is missing from the continuous backup",
            need="the files as they were stored, or an earlier moment",
        )
    if moment and later and not (last_change and moment <= last_change):
        until = f"a moment until {_spelled(last_change)}, when the last change was recorded" if last_change else ""
        raise DatabaseError(
            f"{_spelled(moment)} is in a gap of the continuous backup, before it began anew",
            need=f"{until or 'an earlier moment'}, or one from {_spelled(later.ended)} on",
        )


def _dump(server: PrivateServer, programs: Path, name: str, moment: datetime | None, into: Path) -> None:
    with connect(server.url("template1"), CONNECT_TIMEOUT) as db:
        found = db.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
    if not found:
        raise DatabaseError(
            f"there was no database {name} at {_spelled(moment)}", need="a moment at which it was there"
        )
    with into.open("wb") as dump:
        run_client_program(server.url(name), "pg_dump", *DUMP_OPTIONS, into=dump, folder=programs)
