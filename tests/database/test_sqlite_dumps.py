"""Dumps of SQLite, page by page: each is a file of SQLite as it was at one moment, and nobody waits long for it."""

import hashlib
import io
import sqlite3
import subprocess
import threading
from contextlib import closing
from pathlib import Path

import pytest

from abreast.core.errors import DatabaseError
from abreast.database.sqlite.database import SqliteDatabase
from abreast.database.sqlite.streaming_dump import _PageFile, _SequentialWriter
from dump_hooks import FirstWriteHook, child_killer

WORDS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) INSERT INTO words SELECT i, hex(randomblob(60)) FROM n"


def filled(file: Path, rows: int, *, page: int = 4096, mode: str = "wal") -> SqliteDatabase:
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute(f"PRAGMA page_size={page}")
        db.execute(f"PRAGMA journal_mode={mode}")
        db.execute("CREATE TABLE words (id INTEGER PRIMARY KEY, word TEXT)")
        db.execute(WORDS.format(rows))
        db.execute("DELETE FROM words WHERE id % 7 = 0 OR id BETWEEN 50 AND 100")  # free pages belong to it too
    return SqliteDatabase(f"sqlite:///{file.name}", file.parent)


def rows(file: Path) -> str:
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return hashlib.sha256(repr(db.execute("SELECT * FROM words ORDER BY id").fetchall()).encode()).hexdigest()


@pytest.mark.parametrize("mode", ["wal", "delete"])
@pytest.mark.parametrize("page", [512, 1024, 4096, 65536])
@pytest.mark.parametrize("count", [1, 300, 40_000])
def test_a_dump_is_the_file_of_the_moment(tmp_path: Path, page: int, mode: str, count: int) -> None:
    database = filled(tmp_path / "shop.db", count, page=page, mode=mode)
    (tmp_path / "copy.db").write_bytes(dump := written(database))
    with closing(sqlite3.connect(tmp_path / "shop.db")) as db:
        assert len(dump) == db.execute("PRAGMA page_count").fetchone()[0] * page
    assert rows(tmp_path / "copy.db") == rows(tmp_path / "shop.db")


def written(database: SqliteDatabase) -> bytes:
    target = io.BytesIO()
    contents = database.dump(target)
    assert contents == database.stats()
    return target.getvalue()


@pytest.mark.parametrize("how", ["auto_vacuum=FULL", "auto_vacuum=INCREMENTAL", "encoding='UTF-16le'"])
def test_a_file_of_another_form_is_dumped_as_it_is(tmp_path: Path, how: str) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as db:
        db.execute(f"PRAGMA {how}")
        db.execute("CREATE TABLE first (id)")  # it is settled with the first page
        said = db.execute(f"PRAGMA {how.partition('=')[0]}").fetchall()
        assert said not in ([(0,)], [("UTF-8",)])
    database = filled(tmp_path / "shop.db", 40_000)
    (tmp_path / "copy.db").write_bytes(written(database))
    with closing(sqlite3.connect(tmp_path / "copy.db")) as db:
        assert db.execute(f"PRAGMA {how.partition('=')[0]}").fetchall() == said
    assert rows(tmp_path / "copy.db") == rows(tmp_path / "shop.db")


def test_what_only_the_log_holds_is_dumped(tmp_path: Path) -> None:
    database = filled(tmp_path / "shop.db", 10)
    with closing(sqlite3.connect(tmp_path / "shop.db")) as held:
        held.execute("PRAGMA wal_autocheckpoint=0")
        held.execute("CREATE TABLE later (id INTEGER)")
        held.execute("INSERT INTO later VALUES (1)")
        held.commit()
        (tmp_path / "copy.db").write_bytes(written(database))
    with closing(sqlite3.connect(tmp_path / "copy.db")) as db:
        assert db.execute("SELECT * FROM later").fetchall() == [(1,)]


@pytest.mark.exhaustive
def test_a_database_beyond_the_page_that_nothing_uses(tmp_path: Path) -> None:
    """SQLite leaves out the page at 1 GiB, where locks are."""
    with closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as db:
        db.execute("PRAGMA page_size=65536")
        db.execute("PRAGMA journal_mode=wal")
        db.execute("CREATE TABLE words (id INTEGER PRIMARY KEY, word BLOB)")
        for _ in range(2):
            db.execute("INSERT INTO words (word) VALUES (zeroblob(540000000))")
        db.execute("INSERT INTO words (word) VALUES ('the last')")
    database = SqliteDatabase("sqlite:///shop.db", tmp_path)
    with (tmp_path / "copy.db").open("wb") as target:
        database.dump(target)
    (tmp_path / "shop.db").unlink()
    with closing(sqlite3.connect(tmp_path / "copy.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT length(word), word FROM words WHERE id = 3").fetchall() == [(8, "the last")]
        assert db.execute("SELECT sum(length(word)) FROM words WHERE id < 3").fetchall() == [(1_080_000_000,)]


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_writers_do_not_wait_for_who_takes_the_dump(tmp_path: Path, mode: str) -> None:
    database = filled(tmp_path / "shop.db", 40_000, mode=mode)

    def write() -> None:
        with closing(sqlite3.connect(tmp_path / "shop.db", timeout=10)) as db:
            db.execute("INSERT INTO words (word) VALUES ('while the store is slow')")
            db.commit()

    database.dump(FirstWriteHook(write))  # type: ignore[arg-type]
    assert database.stats().rows["words"] > 30_000


def test_a_dump_of_a_database_in_use_leaves_others_locks_alone(tmp_path: Path) -> None:
    database = filled(tmp_path / "shop.db", 10, mode="delete")
    with closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as held:
        held.execute("BEGIN IMMEDIATE")
        written(database)
        done = subprocess.run(
            ["sqlite3", tmp_path / "shop.db", "BEGIN IMMEDIATE"], capture_output=True, text=True, check=False
        )
        assert "locked" in done.stderr


def test_a_dump_leaves_nothing_when_it_is_killed(tmp_path: Path) -> None:
    database = filled(tmp_path / "shop.db", 40_000, mode="delete")
    with pytest.raises(DatabaseError, match="the dump was killed by signal 9"):
        database.dump(FirstWriteHook(child_killer("streaming_dump")))  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["shop.db"]
    written(database)


def test_a_dump_of_a_locked_database_says_so(tmp_path: Path) -> None:
    database = filled(tmp_path / "shop.db", 10, mode="delete")
    database.wait_timeout = 0.2
    with closing(sqlite3.connect(tmp_path / "shop.db", isolation_level=None)) as held:
        held.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseError, match=r"(?s)database is locked.*a lock that is released within the timeout"):
            database.dump(io.BytesIO())


def test_a_dump_of_what_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "shop.db").write_text("no database at all " * 100)
    database = SqliteDatabase("sqlite:///shop.db", tmp_path)
    with pytest.raises(DatabaseError, match=r"(?s)file is not a database.*an intact SQLite database"):
        database.dump(io.BytesIO())


def test_a_dump_of_pages_that_are_damaged_is_a_dump_and_no_more(tmp_path: Path) -> None:
    """A backup is verified before it counts; that a file is damaged is found there, and told."""
    file = tmp_path / "shop.db"
    filled(file, 40_000, mode="delete")
    harmed = bytearray(file.read_bytes())
    harmed[8192:9000] = bytes(808)
    file.write_bytes(harmed)

    def there_and_back() -> None:
        (tmp_path / "copy.db").write_bytes(written(SqliteDatabase("sqlite:///shop.db", tmp_path)))
        SqliteDatabase("sqlite:///copy.db", tmp_path).check_integrity()

    with pytest.raises(DatabaseError, match=r"malformed|is damaged"):
        there_and_back()


def test_pages_that_do_not_come_in_order_are_no_dump() -> None:
    pages = _SequentialWriter(io.BytesIO(), b"first")
    pages.handle_page(b"other", 5)
    for page, offset in [(b"again", 5), (b"later", 15), (b"FIRST", 0)]:
        with pytest.raises(Exception, match=f"page at {offset} instead of 10"):
            pages.handle_page(page, offset)
    file = _PageFile(pages.handle_page)
    assert file.xRead(100, 0) == b""
    file.xWrite(b"third", 10)
    with pytest.raises(Exception, match="SQLite read 4096 bytes back at 0"):
        file.xRead(4096, 0)


def test_a_module_of_the_project_is_not_taken_for_a_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "apsw.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    written(filled(tmp_path / "shop.db", 10))


def test_many_dumps_at_once(tmp_path: Path) -> None:
    database = filled(tmp_path / "shop.db", 5_000)
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(len(written(database)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
