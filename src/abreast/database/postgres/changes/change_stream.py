"""The changes of a PostgreSQL server: base backups by pg_basebackup, and the write-ahead log by pg_receivewal."""

import secrets
import shutil
import signal
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from abreast.core.errors import DatabaseError
from abreast.database.change_stream import ChangeStream, StreamedFile
from abreast.database.postgres.changes import replication
from abreast.database.postgres.changes.base_backups import BaseBackups
from abreast.database.postgres.changes.replication import Server, Slot
from abreast.database.postgres.changes.stream_files import (
    PIECES,
    TAR,
    bases_in,
    generation_name,
    is_of_stream,
    needed,
    server_of,
)
from abreast.database.postgres.changes.wal_folder import WalFolder
from abreast.database.postgres.client import client_environment
from abreast.database.postgres.programs import find_client_folder
from abreast.machine.tethered_program import TetheredProgram

LOOK_INTERVAL = 10.0
"""Seconds between two questions to the server whether it still streams."""

SLOT_PATIENCE = 10.0
"""Seconds that the connection of a killed pg_receivewal may keep the slot."""

STOP_PATIENCE = 10.0
"""Seconds to receive what is outstanding at the end."""

_SLOT_FILE = "slot"
_TCP_SETTINGS = "keepalives_idle=10 keepalives_interval=5 keepalives_count=3 tcp_user_timeout=20000"
"""How soon a connection that the network lost is given up, beside the variables of ``client_environment``."""


class WalStream(ChangeStream):
    """Base backups and the write-ahead log of one server, in a folder.

    A replication slot makes the server keep the log that is not received yet, also while no stream runs: ``stop`` keeps
    it, so that nothing is missed until the next start. A slot whose stream never comes back must not fill the server's
    disk, so ``start`` refuses a server without ``max_slot_wal_keep_size``; beyond that limit the server gives the slot
    up. Its name is ``abreast_`` and a random number, which the file ``slot`` in the folder records before the slot is
    created: so it is ours, and no other's. To remove the last trace of a stream that has ended for good:
    ``SELECT pg_drop_replication_slot('abreast_…')``.

    If the log cannot be continued without a gap (the server gave the slot up, another server or timeline answers), a
    new generation begins: a folder of its own with a new base backup. ``check`` says so once. The files of earlier
    generations stay for as long as they are needed; no moment between the generations can be recovered.
    """

    def __init__(self, url: str, folder: Path, keep: float) -> None:
        self._url, self._folder, self._keep = url, folder, keep
        self._receiver: TetheredProgram | None = None
        self._bases: BaseBackups | None = None
        self._programs = Path()
        self._generation = self._newest_generation()
        self._news: DatabaseError | None = None
        self._trouble: DatabaseError | None = None
        self._looked_at = 0.0

    def start(self) -> None:
        """Receive the log, and take base backups in the background. What runs already goes on."""
        if self._receiver and self._receiver.is_running:
            return
        self._end_programs()
        server = replication.examine(self._url)
        self._programs = find_client_folder("pg_receivewal", server.version)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        slot = self._await_free_slot()
        if reason := self._reason_to_begin_anew(server, slot):
            self._begin_anew(server, slot, reason)
        self._wal.prepare(server.segment_size)
        self._trouble, self._looked_at = None, time.monotonic()
        self._receiver = self._receive()
        self._bases = BaseBackups(self._url, self._programs, self._folder / self._generation, self._is_streaming)
        self._bases.start()

    def check(self) -> None:
        """Raise DatabaseError if pg_receivewal has ended, a base backup failed, or the server does not stream to it.

        Also once after a new generation began. A stream that was stopped is fine.
        """
        if self._news:
            news, self._news = self._news, None
            raise news
        if self._receiver:
            self._trouble = self._look(self._receiver)
        if self._trouble:
            raise self._trouble
        if self._bases:
            self._bases.check()

    def files(self, stored: Mapping[str, str]) -> Mapping[str, StreamedFile]:
        """Return the base backups that are needed, and the log since the oldest of them.

        What was added to the segment that is being written is written to a piece first: segments are long, and change
        at their end only. A base backup that neither the store nor the folder has any more is taken again.
        """
        if self._generation:
            self._wal.write_piece()
        local = dict(self._local_files())
        self._forget_lost_bases({*local, *stored})
        outdated = {name for name in stored if name.startswith(f"{self._generation}/{PIECES}/") and name not in local}
        states = {name: state for name, state in stored.items() if name not in outdated}
        return {
            name: StreamedFile(local[name]) if name in local else StreamedFile(states[name], is_local=False)
            for name in sorted(self._needed({*local, *states}, stored))
        }

    def earliest_moment(self, stored: Mapping[str, str]) -> datetime | None:
        """Return when the first base backup that is stored ended."""
        return next((base.ended for base in bases_in(stored)), None)

    def forget_local(self, stored: Collection[str]) -> None:
        """Delete base backups and finished segments that are stored or not needed; the newest segment stays.

        pg_receivewal goes on behind it. The folder of a base backup stays too, empty: it tells how old that is.
        """
        local = dict(self._local_files())
        wanted = self._needed({*local, *stored}, stored)
        for name in local:
            if (name in stored or name not in wanted) and not self._is_in_use(name):
                (self._folder / name).unlink(missing_ok=True)
        for generation in self._generations():
            if generation != self._generation and not any(name.startswith(f"{generation}/") for name in wanted):
                shutil.rmtree(self._folder / generation)

    def stop(self) -> None:
        """Receive what the server has written until now, if it is reachable, and stop. The slot stays."""
        was_running = self._receiver is not None and self._receiver.is_running
        self._end_programs()
        self._news = self._trouble = None
        if was_running:
            with suppress(DatabaseError):
                self._receive_rest()

    # ── programs ───────────────────────────────────────────────────────────────────────────────

    def _receive(self, *options: str) -> TetheredProgram:
        return TetheredProgram(
            [str(self._programs / "pg_receivewal"), "--no-password", "--no-loop", "--status-interval=1",
             f"--slot={self._slot_name()}", f"--directory={self._wal.path}", f"--dbname={_TCP_SETTINGS}", *options],
            env=client_environment(self._url),
        )  # fmt: skip

    def _receive_rest(self) -> None:
        """Receive until where the server's log is now."""
        last = replication.log_position(self._url) - 1
        self._await_free_slot()
        program = self._receive(f"--endpos={last >> 32:X}/{last & 0xFFFFFFFF:X}")
        if program.wait(STOP_PATIENCE) is None:
            program.stop(signal.SIGINT, STOP_PATIENCE)

    def _end_programs(self) -> None:
        bases, receiver, self._bases, self._receiver = self._bases, self._receiver, None, None
        if bases:
            bases.stop()
        if receiver:
            receiver.stop(signal.SIGINT, STOP_PATIENCE)

    def _look(self, receiver: TetheredProgram) -> DatabaseError | None:
        """Return what is wrong with the log, None if nothing is; the server is asked from time to time."""
        if not receiver.is_running:
            return DatabaseError(
                f"pg_receivewal has ended: {receiver.complaint}", need="a reachable server", next="abreast doctor"
            )
        if self._wal.timelines() - {self._server[1]}:
            self._end_programs()
            return DatabaseError("the server has a new timeline", need="a new base backup: start the stream again")
        if time.monotonic() - self._looked_at < LOOK_INTERVAL:
            return self._trouble
        self._looked_at = time.monotonic()
        try:
            replication.check_streaming(self._url, self._slot_name())
        except DatabaseError as error:
            return error
        return None

    # ── the slot ───────────────────────────────────────────────────────────────────────────────

    def _slot_name(self) -> str:
        file = self._folder / _SLOT_FILE
        if not file.exists():
            unfinished = file.with_suffix(".unfinished")
            unfinished.write_text(f"abreast_{secrets.token_hex(8)}")
            unfinished.rename(file)
        return file.read_text()

    def _find_slot(self) -> Slot | None:
        return replication.find_slot(self._url, self._slot_name())

    def _is_streaming(self) -> bool:
        slot = self._find_slot()
        return slot is not None and slot.is_active

    def _await_free_slot(self) -> Slot | None:
        """Return the slot when no connection has it. Raises DatabaseError if one keeps it."""
        deadline = time.monotonic() + SLOT_PATIENCE
        while (slot := self._find_slot()) and slot.is_active:
            if time.monotonic() > deadline:
                raise DatabaseError(
                    f"the replication slot {self._slot_name()} is in use",
                    need="one stream for each folder",
                    next="SELECT * FROM pg_stat_replication shows who uses it",
                )
            time.sleep(0.1)
        return slot

    # ── generations ────────────────────────────────────────────────────────────────────────────

    @property
    def _wal(self) -> WalFolder:
        return WalFolder(self._folder / self._generation)

    @property
    def _server(self) -> tuple[str, int]:
        return server_of(self._generation) or ("", 0)

    def _generations(self) -> list[str]:
        return sorted(file.name for file in self._folder.glob("*") if server_of(file.name))

    def _newest_generation(self) -> str:
        return max(self._generations(), default="")

    def _reason_to_begin_anew(self, server: Server, slot: Slot | None) -> str:
        """Return why the log cannot be continued, "" if it can."""
        if not self._generation:
            return "there is no log yet"
        system, timeline = self._server
        if system != server.system:
            return "another server answers"
        if timeline != server.timeline or self._wal.timelines() - {timeline}:
            return "the server has a new timeline"
        if slot is None:
            return f"the replication slot {self._slot_name()} is gone"
        if slot.is_lost:
            return f"the server gave up the replication slot {self._slot_name()}, at its max_slot_wal_keep_size"
        following = self._wal.next_segment(server.segment_size)
        if following is not None and following < slot.first // server.segment_size:
            return "the server has discarded what follows the log in the folder"
        return ""

    def _begin_anew(self, server: Server, slot: Slot | None, reason: str) -> None:
        """Begin a generation. If killed here, the next start finds that the slot keeps too little, and begins one."""
        if slot:
            replication.drop_slot(self._url, self._slot_name())
        replication.create_slot(self._url, self._slot_name(), server)
        if self._generation:
            self._wal.write_piece()
            self._news = DatabaseError(
                f"{reason}: the continuous backup begins anew, with a new base backup",
                need="nothing; moments between the end of the old log and the base backup cannot be recovered",
            )
        self._generation = generation_name(datetime.now(UTC), server.system, server.timeline)
        self._wal.create()

    # ── files ──────────────────────────────────────────────────────────────────────────────────

    def _needed(self, paths: Collection[str], stored: Collection[str]) -> set[str]:
        return needed(paths, stored, datetime.now(UTC) - timedelta(seconds=self._keep), self._generation)

    def _local_files(self) -> Iterator[tuple[str, str]]:
        """Yield the path and state of each of the stream's files in the folder."""
        for generation in self._generations():
            for file in (self._folder / generation).glob("*/*"):
                path = f"{generation}/{file.parent.name}/{file.name}"
                if is_of_stream(path):
                    with suppress(FileNotFoundError):  # replaced meanwhile
                        known = file.stat()
                        yield path, f"{known.st_size}-{known.st_mtime_ns}"

    def _forget_lost_bases(self, known: Collection[str]) -> None:
        """Remove the empty folders of base backups that are nowhere any more."""
        for folder in (self._folder / self._generation).glob("base-*"):
            if f"{self._generation}/{folder.name}/{TAR}" not in known:
                with suppress(OSError):  # it is not empty
                    folder.rmdir()

    def _is_in_use(self, name: str) -> bool:
        """Whether a file is where the log goes on."""
        generation, folder, file = name.split("/")
        return generation == self._generation and (folder == PIECES or file == self._wal.newest_finished())
