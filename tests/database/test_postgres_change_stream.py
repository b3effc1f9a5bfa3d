"""Every change of a PostgreSQL server, streamed to files by its own programs, and databases recovered from them."""

import json
import os
import re
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

import postgres_server
from abreast.core.errors import DatabaseError
from abreast.database.postgres.changes import base_backups, change_stream
from abreast.database.postgres.changes.change_stream import WalStream
from abreast.database.postgres.changes.recovery import recover
from abreast.database.postgres.changes.stream_files import Piece, bases_in, next_piece
from abreast.database.postgres.connection_url import database_name
from abreast.database.postgres.database import PostgresDatabase
from sample_project import eventually

KEEP = 3600.0
SHIP_INTERVAL = 1.0


@dataclass
class Server:
    """A server that a test may kill."""

    pid: int
    url: str
    folder: Path

    def execute(self, *statements: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as db:
            for statement in statements:
                db.execute(statement.encode())

    def value(self, query: str) -> str:
        with psycopg.connect(self.url) as db:
            row = db.execute(query.encode()).fetchone()
            assert row
            return str(row[0])

    def restart(self, option: str = "", instead: str = "") -> None:
        """Crash it, and start it again with the options that it had, one of them replaced."""
        options = self.folder / "data" / "postmaster.opts"
        options.write_text(options.read_text().replace(option, instead))
        command = [f"{postgres_server.program_folder()}/pg_ctl", "-D", str(self.folder / "data"), "-w"]
        user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        command += ["-m", "immediate", "-l", str(self.folder / "log"), "restart"]
        subprocess.run(command, check=True, capture_output=True, cwd=self.folder, **user)  # type: ignore[call-overload]
        self.pid = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])


@contextmanager
def running_server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(dir=tempfile.gettempdir()))
    server = Server(*postgres_server._start_server(postgres_server.program_folder(), folder), folder)
    try:
        server.execute("CREATE TABLE orders (id integer PRIMARY KEY)")
        yield server
    finally:
        if is_running(server.pid):
            os.kill(server.pid, signal.SIGQUIT)
            eventually(lambda: not is_running(server.pid))


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as started:
        yield started


@pytest.fixture
def own_server() -> Iterator[Server]:
    with running_server() as started:
        yield started


class Store:
    """Ships a stream's files as an object store has them: new ones beside the old, and a manifest that names them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def manifest(self) -> dict[str, list[str]]:
        file = self.folder / "manifest.json"
        return dict(json.loads(file.read_text())) if file.exists() else {}

    def ship(self, stream: WalStream, source: Path) -> int:
        """Store what is new; return its size in bytes."""
        before = self.manifest()
        manifest, size = {}, 0
        for name, file in stream.files({name: state for name, (state, _) in before.items()}).items():
            manifest[name] = before.get(name, ["", ""])
            if manifest[name][0] != file.state:
                assert file.is_local
                manifest[name] = [file.state, secrets.token_hex(8)]
                shutil.copyfile(source / name, self.folder / manifest[name][1])
                size += (self.folder / manifest[name][1]).stat().st_size
        (self.folder / "unfinished").write_text(json.dumps(manifest))
        (self.folder / "unfinished").rename(self.folder / "manifest.json")
        for gone in {one for _, one in before.values()} - {one for _, one in manifest.values()}:
            (self.folder / gone).unlink()
        stream.forget_local(manifest)
        return size

    def fetch(self, into: Path) -> Path:
        shutil.rmtree(into, ignore_errors=True)
        for name, (_, stored) in self.manifest().items():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder / stored, into / name)
        return into


def trouble(stream: WalStream) -> str:
    """Return what a stream finds wrong, "" if nothing."""
    try:
        stream.check()
    except DatabaseError as error:
        return str(error)
    return ""


class Streaming:
    """A stream, its folder and its store."""

    def __init__(self, url: str, folder: Path, keep: float = KEEP) -> None:
        self.url, self.folder = url, folder
        self.stream = WalStream(url, folder / "stream", keep)
        self.store = Store(folder / "store")

    def ship(self) -> int:
        return self.store.ship(self.stream, self.folder / "stream")

    def ship_a_base(self, count: int = 1) -> None:
        """Ship until there are so many base backups in the store."""

        def has_bases() -> bool:
            self.stream.check()
            self.ship()
            return len(bases_in(self.store.manifest())) >= count

        eventually(has_bases)

    def recovered_rows(self, moment: datetime | None = None) -> set[int]:
        files = self.store.fetch(self.folder / "fetched")
        recover(files, moment, database_name(self.url), self.folder / "dump")
        return rows_in(self.folder / "dump")

    def receiver(self) -> int:
        assert self.stream._receiver
        return self.stream._receiver.pid


@pytest.fixture
def streaming(server: Server, tmp_path: Path) -> Iterator[Streaming]:
    """A stream of the shared server, in a database of its own, that has begun."""
    url = postgres_server.create_database(server=server.url)
    Server(0, url, tmp_path).execute("CREATE TABLE orders (id integer PRIMARY KEY)")
    with started(Streaming(url, tmp_path)) as begun:
        yield begun
    server.execute(f"DROP DATABASE {database_name(url)}")  # the next base backup would have it too


@contextmanager
def started(streaming: Streaming) -> Iterator[Streaming]:
    streaming.stream.start()
    try:
        yield streaming
    finally:
        streaming.stream.stop()
        slot = streaming.stream._slot_name()
        with psycopg.connect(streaming.url, autocommit=True) as db:
            db.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", (slot,)
            )


def insert(url: str, *numbers: int) -> datetime:
    """Insert rows; return a moment by the server's clock after they were acknowledged."""
    with psycopg.connect(url, autocommit=True) as db:
        for number in numbers:
            db.execute("INSERT INTO orders VALUES (%s)", (number,))
        row = db.execute("SELECT clock_timestamp()").fetchone()
        assert row
        moment: datetime = row[0]
    return moment


def rows_in(dump: Path) -> set[int]:
    """Return the rows of the table ``orders`` in a dump."""
    command = [f"{postgres_server.program_folder()}/pg_restore", "--data-only", "--table=orders", "-f", "-", str(dump)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {int(line) for line in text.splitlines() if line.isdigit()}


def processes_with(text: str) -> list[int]:
    """Return the running processes that have a text in their arguments."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command and int(place.name) != os.getpid() and is_running(int(place.name)):
            found.append(int(place.name))
    return found


def run_here(function: str, *arguments: str, **variables: str) -> "subprocess.Popen[bytes]":
    """Call a function of this file in a process of its own."""
    code = f"import sys; sys.path[:0] = sys.argv[1:3]; import {Path(__file__).stem} as m; m.{function}(*sys.argv[3:])"
    tests = Path(__file__).parent
    command = [sys.executable, "-c", code, str(tests), str(tests.parent), *arguments]
    return subprocess.Popen(command, env={**os.environ, **variables})


def stream_and_ship(url: str, folder: str) -> None:
    streaming = Streaming(url, Path(folder))
    streaming.stream.start()
    while True:
        streaming.stream.check()
        streaming.ship()
        time.sleep(SHIP_INTERVAL)


class Writer:
    """Inserts numbered rows until the server is gone. ``acknowledged``: when each was, by this process's clock."""

    def __init__(self, url: str) -> None:
        self.acknowledged: dict[int, float] = {}
        self._url = url
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as db:
            for number in range(1_000_000):
                try:
                    db.execute("INSERT INTO orders VALUES (%s)", (number,))
                except psycopg.OperationalError:
                    return
                self.acknowledged[number] = time.time()
                time.sleep(0.002)

    def join(self) -> None:
        self._thread.join()

    def until(self, moment: float) -> set[int]:
        return {number for number, at in self.acknowledged.items() if at <= moment}


# ── what is lost ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.exhaustive
def test_what_was_acknowledged_outlives_server_and_stream(own_server: Server, tmp_path: Path) -> None:
    process = run_here("stream_and_ship", own_server.url, str(tmp_path))
    streaming = Streaming(own_server.url, tmp_path)
    eventually(lambda: bases_in(streaming.store.manifest()))
    writer = Writer(own_server.url)
    eventually(lambda: len(writer.acknowledged) > 100)
    middle = time.time()
    own_server.execute("SELECT pg_switch_wal()")
    eventually(lambda: len(writer.acknowledged) > 1000)
    (receiver,) = processes_with(f"--directory={tmp_path}")
    process.kill()
    process.wait()
    os.kill(own_server.pid, signal.SIGKILL)
    shipped = (tmp_path / "store" / "manifest.json").stat().st_mtime
    writer.join()
    eventually(lambda: not is_running(receiver))

    recovered = streaming.recovered_rows()
    assert recovered >= writer.until(shipped - 3)
    assert recovered == set(range(len(recovered))), "in the order in which they were written"
    copy = PostgresDatabase(postgres_server.create_database()).sibling_copy("verified-x")
    copy.restore(tmp_path / "dump")
    assert copy.stats().rows == {"orders": len(recovered)}
    copy.drop()

    at_middle = streaming.recovered_rows(datetime.fromtimestamp(middle, UTC))
    assert writer.until(middle) <= at_middle <= writer.until(middle + 0.5), "the clocks of one machine"


@pytest.mark.exhaustive
def test_only_what_was_added_is_shipped_and_a_killed_receiver_is_started_again_without_a_gap(
    streaming: Streaming, server: Server
) -> None:
    command = Path(f"/proc/{streaming.receiver()}/cmdline")
    eventually(lambda: b"pg_receivewal" in command.read_bytes().split(b"\0")[0])
    assert postgres_server.PASSWORD.encode() not in command.read_bytes(), "the process list shows it"
    assert os.getpgid(streaming.receiver()) == streaming.receiver(), "Ctrl-C is for abreast"

    streaming.ship_a_base()
    insert(streaming.url, 1)
    eventually(lambda: streaming.ship() < 10_000)
    sizes: list[int] = []

    def is_shipped() -> bool:
        sizes.append(streaming.ship())
        return sizes[-1] > 0

    for number in range(2, 12):
        insert(streaming.url, number)
        eventually(is_shipped)
    shipped = [size for size in sizes if size]
    assert statistics.median(shipped) < 2_000_000, "a segment that was finished meanwhile is shipped whole"

    os.kill(streaming.receiver(), signal.SIGKILL)
    eventually(lambda: "pg_receivewal has ended: killed by signal 9" in trouble(streaming.stream))
    insert(streaming.url, 12)
    server.execute("SELECT pg_switch_wal()", "CHECKPOINT")
    streaming.stream.start()
    insert(streaming.url, 13)
    assert trouble(streaming.stream) == ""
    streaming.stream.stop()
    assert trouble(streaming.stream) == "", "it was stopped"

    insert(streaming.url, *range(14, 100))
    server.execute("SELECT pg_switch_wal()", "CHECKPOINT")
    insert(streaming.url, 100)
    unfinished = next(streaming.folder.glob("stream/*-1")) / "unfinished-base"
    unfinished.mkdir()
    (unfinished / "base.tar").write_text("half")
    (partial,) = streaming.folder.glob("stream/*/wal/*.partial")
    os.truncate(partial, 8192)  # as if killed while it created it
    again = Streaming(streaming.url, streaming.folder)
    again.stream.start()
    assert trouble(again.stream) == ""
    again.stream.stop()
    again.ship()
    assert again.recovered_rows() == set(range(1, 101))
    assert not unfinished.exists()
    assert len({base.generation for base in bases_in(again.store.manifest())}) == 1


# ── beginning anew ─────────────────────────────────────────────────────────────────────────────


def begins_anew(streaming: Streaming, reason: str) -> None:
    streaming.stream.start()
    with pytest.raises(DatabaseError, match=reason):
        streaming.stream.check()
    streaming.stream.check()


@pytest.mark.exhaustive
def test_a_lost_slot_begins_anew_and_what_was_before_stays(streaming: Streaming, tmp_path: Path) -> None:
    streaming.ship_a_base()
    before = insert(streaming.url, 1)
    last = insert(streaming.url, 2)
    streaming.stream.stop()
    streaming.ship()
    slot = streaming.stream._slot_name()
    Server(0, streaming.url, tmp_path).execute(f"SELECT pg_drop_replication_slot('{slot}')")
    in_gap = insert(streaming.url, 3)
    begins_anew(streaming, f"the replication slot {slot} is gone: the continuous backup begins anew")
    streaming.ship_a_base(2)
    insert(streaming.url, 4)
    streaming.stream.stop()
    streaming.ship()
    with pytest.raises(DatabaseError, match="is in a gap of the continuous backup") as refused:
        streaming.recovered_rows(in_gap)
    said = re.search(r"a moment until (\S+), when the last change was recorded", str(refused.value))
    assert said
    assert before < datetime.fromisoformat(said[1]) < last
    assert streaming.recovered_rows(datetime.fromisoformat(said[1])) == {1, 2}


@pytest.mark.exhaustive
def test_a_new_timeline_and_a_slot_that_was_given_up_begin_anew(own_server: Server, tmp_path: Path) -> None:
    with started(Streaming(own_server.url, tmp_path)) as streaming:
        streaming.ship_a_base()
        insert(own_server.url, 1, 2)
        streaming.stream.stop()
        streaming.ship()
        own_server.execute("ALTER SYSTEM SET restore_command = 'false'")
        signal_file = own_server.folder / "data" / "recovery.signal"
        signal_file.touch()
        shutil.chown(signal_file, user=(own_server.folder / "data").stat().st_uid)
        own_server.restart()
        begins_anew(streaming, "the server has a new timeline")
        streaming.ship_a_base(2)
        insert(own_server.url, 3)
        streaming.stream.stop()
        streaming.ship()
        assert streaming.recovered_rows() == {1, 2, 3}

        own_server.restart("max_slot_wal_keep_size=4GB", "max_slot_wal_keep_size=32MB")
        for _ in range(4):
            own_server.execute(
                "SELECT pg_switch_wal()", "CREATE TABLE big AS SELECT generate_series(1, 500)", "DROP TABLE big"
            )
        own_server.execute("CHECKPOINT")
        begins_anew(streaming, "the server gave up the replication slot .*, at its max_slot_wal_keep_size")
        streaming.ship_a_base(3)


# ── what is kept ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.exhaustive
def test_what_no_recovery_needs_leaves(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_backups, "MAX_AGE", timedelta(seconds=1))
    with started(Streaming(server.url, tmp_path, keep=1)) as streaming:
        streaming.ship_a_base()
        (first,) = bases_in(streaming.store.manifest())
        insert(server.url, 1)
        server.execute("SELECT pg_switch_wal()")

        def first_has_left() -> bool:
            streaming.stream.check()
            streaming.ship()
            return bases_in(streaming.store.manifest())[0] != first

        eventually(first_has_left)
        insert(server.url, 2)
        streaming.stream.stop()
        for _ in range(2):  # what the first no longer needs leaves with the second
            streaming.ship()
        stored = streaming.store.manifest()
        oldest = bases_in(stored)[0]
        segments = sorted(Path(name).name for name in stored if "/wal/" in name)
        assert segments[:1] in ([], [oldest.first_segment]), "and none before"
        assert streaming.recovered_rows() == {1, 2}
        local = [file for file in streaming.folder.glob("stream/*/*/*") if file.suffix != ".partial"]
        assert not [file for file in local if file.parent.name.startswith("base-")]
        assert len([file for file in local if file.parent.name == "wal"]) <= 1, "the newest, where the log goes on"
        assert len(list(streaming.folder.glob("stream/*/base-*"))) <= len(bases_in(stored)) + 1


@pytest.mark.exhaustive
def test_a_base_backup_that_is_nowhere_is_taken_again(streaming: Streaming) -> None:
    streaming.ship_a_base()
    (lost,) = bases_in(streaming.store.manifest())
    (streaming.folder / "store" / "manifest.json").unlink()
    streaming.ship_a_base()
    assert bases_in(streaming.store.manifest())[0] > lost


def test_pieces_are_few_and_cover_what_was_written() -> None:
    pieces: list[Piece] = []
    written = 0
    for end in range(100, 100_001, 100):
        added = next_piece(pieces, "S", end)
        assert added
        written += added.end - added.start
        pieces = [*(piece for piece in pieces if piece.start < added.start), added]
        assert [piece.start for piece in pieces] == [0, *(piece.end for piece in pieces[:-1])]
        assert len(pieces) <= 10
        assert next_piece(pieces, "S", end) is None
    assert written < 12 * 100_000


# ── what is refused ────────────────────────────────────────────────────────────────────────────


def refused(url: str, folder: Path) -> str:
    with pytest.raises(DatabaseError) as error:
        WalStream(url, folder / "stream", KEEP).start()
    return str(error.value)


@pytest.mark.exhaustive
def test_what_the_server_does_not_allow_is_said(own_server: Server, tmp_path: Path) -> None:
    own_server.execute(f"CREATE ROLE plain LOGIN PASSWORD '{postgres_server.PASSWORD}'")
    said = refused(own_server.url.replace("//postgres:", "//plain:"), tmp_path)
    assert "the role plain may not replicate" in said
    assert "a point-in-time recovery of its own" in said
    assert 'ALTER ROLE "plain" REPLICATION' in said

    own_server.execute("ALTER ROLE plain REPLICATION")
    with started(Streaming(own_server.url.replace("//postgres:", "//plain:"), tmp_path / "by-plain")) as streaming:
        streaming.ship_a_base()

    hba = own_server.folder / "data" / "pg_hba.conf"
    allowed = hba.read_text()
    hba.write_text("\n".join(line for line in allowed.splitlines() if " replication " not in line))
    own_server.execute("SELECT pg_reload_conf()")

    def is_refused() -> bool:
        assert "add to pg_hba.conf: host replication postgres" in refused(own_server.url, tmp_path)
        return True

    eventually(is_refused)
    hba.write_text(allowed)
    own_server.restart("max_slot_wal_keep_size=4GB", "max_slot_wal_keep_size=-1")
    assert "ALTER SYSTEM SET max_slot_wal_keep_size = '4GB'" in refused(own_server.url, tmp_path)
    own_server.execute("ALTER SYSTEM SET wal_level = 'minimal'", "ALTER SYSTEM SET max_wal_senders = 0")
    own_server.restart()
    assert "wal_level is minimal" in refused(own_server.url, tmp_path)
    assert not (tmp_path / "stream").exists()


@pytest.mark.exhaustive
def test_tablespaces_are_refused_whenever_they_come(
    server: Server, streaming: Streaming, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = server.folder / "elsewhere"
    place.mkdir()
    shutil.chown(place, user=(server.folder / "data").stat().st_uid)
    streaming.ship_a_base()
    server.execute(f"CREATE TABLESPACE cold LOCATION '{place}'")
    try:
        monkeypatch.setattr(change_stream, "LOOK_INTERVAL", 0.0)
        assert "tablespaces of its own: cold" in trouble(streaming.stream)
        assert "tablespaces of its own: cold" in refused(streaming.url, tmp_path / "other")
        streaming.stream.stop()
        streaming.ship()
        with pytest.raises(DatabaseError, match="had a tablespace of its own"):
            streaming.recovered_rows()
    finally:
        server.execute("DROP TABLESPACE cold")


def recover_from(files: str, into: str) -> None:
    recover(Path(files), None, "postgres", Path(into))


@pytest.mark.exhaustive
def test_what_cannot_be_recovered_is_said_and_the_recovering_server_ends_with_a_process_that_is_killed(
    streaming: Streaming, tmp_path: Path
) -> None:
    with pytest.raises(DatabaseError, match="has no base backup yet"):
        streaming.recovered_rows()
    streaming.ship_a_base()
    insert(streaming.url, 1)
    streaming.stream.stop()
    streaming.ship()
    (base,) = bases_in(streaming.store.manifest())
    with pytest.raises(DatabaseError, match="does not reach back") as early:
        streaming.recovered_rows(base.ended - timedelta(seconds=1))
    assert f"a moment from {base.ended.isoformat(timespec='microseconds')} on" in str(early.value)
    files = streaming.store.fetch(tmp_path / "fetched")
    temporary = Path(tempfile.mkdtemp())
    temporary.chmod(0o711)
    process = run_here("recover_from", str(files), str(tmp_path / "dump"), TMPDIR=str(temporary))
    eventually(lambda: processes_with(f"postgres -D {temporary}"))
    process.kill()
    process.wait()
    eventually(lambda: not processes_with(f"{temporary}"))
    assert not (tmp_path / "dump").exists()

    with pytest.raises(DatabaseError, match="there was no database nowhere"):  # found at the end
        recover(files, datetime.now(UTC) + timedelta(days=1), "nowhere", tmp_path / "dump")
    for segment in files.glob("*/*/0000*"):
        segment.unlink()
    with pytest.raises(DatabaseError, match="is missing"):
        recover(files, None, "postgres", tmp_path / "dump")
    streaming.store.fetch(files)
    tar = files / base.folder / "base.tar"
    with tar.open("r+b") as content:
        content.seek(tar.stat().st_size // 2)
        content.write(b"damaged" * 1000)
    with pytest.raises(DatabaseError, match=r"pg_verifybackup: |tar: "):
        recover(files, None, "postgres", tmp_path / "dump")
    assert not list(files.glob("abreast-*")), "nothing stays"


# ── a newer server ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.exhaustive
def test_a_newer_server_needs_programs_as_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = postgres_server.newer_server_url()
    said = refused(server, tmp_path)
    assert re.search(r"pg_receivewal is of PostgreSQL \d+, the server of 18", said)
    assert "apt-get install postgresql-client-" in said

    (programs,) = Path(tempfile.gettempdir()).glob("postgres-newer/*/*/bin")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    url = postgres_server.create_database(server=server)
    Server(0, url, tmp_path).execute("CREATE TABLE orders (id integer PRIMARY KEY)")
    with started(Streaming(url, tmp_path)) as streaming:
        streaming.ship_a_base()
        insert(url, 1)
        streaming.stream.stop()
        streaming.ship()
    files = streaming.store.fetch(tmp_path / "fetched")
    recover(files, None, urlsplit(url).path[1:], tmp_path / "dump")
    listed = subprocess.run(
        [programs / "pg_restore", "--data-only", "-f", "-", tmp_path / "dump"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "\n1\n" in listed
