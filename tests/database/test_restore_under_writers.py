"""A restore while applications write: what was acknowledged is in what was there before, or in what is there now."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg
import pytest

import postgres_server
from abreast.database.interface import Database
from abreast.database.postgres.database import PostgresDatabase
from abreast.database.sqlite.database import SqliteDatabase
from sample_project import eventually

WRITERS = 3

WRITER = """
import sqlite3, sys
file, log, writer = sys.argv[1:]
with open(log, "w", buffering=1) as log:
    number = 0
    db = None
    while True:
        number += 1
        try:
            db = db or sqlite3.connect(file, timeout=0.05, isolation_level=None)
            db.execute("INSERT INTO orders (id) VALUES (?)", (f"{writer}-{number}",))
        except sqlite3.Error:  # locked, or the table is gone for a moment
            continue
        log.write(f"{writer}-{number}\\n")
"""

POSTGRES_WRITER = """
import psycopg, sys
url, log, writer = sys.argv[1:]
with open(log, "w", buffering=1) as log:
    number = 0
    db = None
    while True:
        number += 1
        try:
            db = db or psycopg.connect(url, autocommit=True)
            db.execute("INSERT INTO orders (id) VALUES (%s)", (f"{writer}-{number}",))
        except psycopg.Error:  # its session was ended
            db = None
            continue
        log.write(f"{writer}-{number}\\n")
"""


@contextmanager
def writers(program: str, target: str, folder: Path) -> Iterator[None]:
    """Programs that write to a database for the block, and each log what was acknowledged."""
    with ExitStack() as stack:
        for number in range(WRITERS):
            arguments = [sys.executable, "-c", program, target, str(folder / f"{number}.log"), str(number)]
            process = stack.enter_context(subprocess.Popen(arguments))
            stack.callback(process.kill)
        eventually(lambda: len(acknowledged(folder)) > 20 * WRITERS)
        yield


def acknowledged(folder: Path) -> set[str]:
    """Return the ids of the orders that writers were told are stored."""
    return {line for log in folder.glob("*.log") for line in log.read_text().splitlines()}


def restore_under_writers(database: Database, program: str, target: str, tmp_path: Path) -> tuple[set[str], str]:
    """Restore an empty table while others write; return what they were told is stored, and what was kept."""
    with (tmp_path / "dump").open("wb") as into:
        database.dump(into)
    copy = database.sibling_copy("restored", swappable=True)
    copy.restore(tmp_path / "dump")
    with writers(program, target, tmp_path):
        kept = database.replace_with(copy, "before", print)
        known = len(acknowledged(tmp_path))
        eventually(lambda: len(acknowledged(tmp_path)) > known + 10 * WRITERS)
    time.sleep(0.1)
    return acknowledged(tmp_path), kept


@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
def test_sqlite_loses_nothing_that_was_acknowledged(tmp_path: Path, journal_mode: str) -> None:
    file = tmp_path / "shop.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute(f"PRAGMA journal_mode={journal_mode}")
        db.execute("CREATE TABLE orders (id TEXT PRIMARY KEY)")
        db.execute("CREATE TABLE ballast (data BLOB)")
        db.executemany("INSERT INTO ballast VALUES (randomblob(?))", [(1000,)] * 20_000)
        db.commit()
    told, kept = restore_under_writers(SqliteDatabase("sqlite:///shop.db", tmp_path), WRITER, str(file), tmp_path)
    before, after = (ids_in(name) for name in (kept, file))
    assert before
    assert after
    assert told - before - after == set()


def ids_in(file: str | Path) -> set[str]:
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {id_ for (id_,) in db.execute("SELECT id FROM orders")}


def test_postgresql_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    url = postgres_server.create_database()
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("CREATE TABLE orders (id TEXT PRIMARY KEY)")
    told, kept = restore_under_writers(PostgresDatabase(url), POSTGRES_WRITER, url, tmp_path)
    before, after = set[str](), set[str]()
    for name, ids in ((kept, before), (url.rpartition("/")[2], after)):
        with psycopg.connect(f"{url.rpartition('/')[0]}/{name}") as db:
            ids |= {id_ for (id_,) in db.execute("SELECT id FROM orders")}
    assert before
    assert after
    assert told - before - after == set()


@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
def test_sqlite_is_restored_though_its_page_size_has_changed(tmp_path: Path, journal_mode: str) -> None:
    file, database = tmp_path / "shop.db", SqliteDatabase("sqlite:///shop.db", tmp_path)
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("CREATE TABLE orders (id TEXT PRIMARY KEY)")
        db.execute("INSERT INTO orders VALUES ('before')")
        with (tmp_path / "dump").open("wb") as into:
            database.dump(into)
        for statement in ("PRAGMA page_size=8192", "VACUUM", f"PRAGMA journal_mode={journal_mode}"):
            db.execute(statement)
        db.execute("INSERT INTO orders VALUES ('after')")
        copy = database.sibling_copy("restored", swappable=True)
        copy.restore(tmp_path / "dump")
        kept = database.replace_with(copy, "before", print)
        assert db.execute("SELECT id FROM orders").fetchall() == [("before",)], "who has it open sees it"
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert ids_in(kept) == {"before", "after"}
