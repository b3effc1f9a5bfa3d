"""Programs that write to a database, and a restore meanwhile: which of their acknowledged writes are still anywhere."""

import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg

import postgres_server
from abreast.database.postgres.database import PostgresDatabase
from abreast.database.sql_database import SqlDatabase
from abreast.database.sqlite.database import SqliteDatabase
from limits import scaled
from sample_project import eventually

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
def writers(program: str, target: str, folder: Path, count: int) -> Iterator[None]:
    """Programs that write to a database for the block, and each log what was acknowledged."""
    with ExitStack() as stack:
        for number in range(count):
            arguments = [sys.executable, "-c", program, target, str(folder / f"{number}.log"), str(number)]
            process = stack.enter_context(subprocess.Popen(arguments))
            stack.callback(process.kill)
        eventually(lambda: len(acknowledged(folder)) > 20 * count)
        yield


def acknowledged(folder: Path) -> set[str]:
    """Return the ids of the orders that writers were told are stored."""
    return {line for log in folder.glob("*.log") for line in log.read_text().splitlines()}


def restore_under_writers(
    database: SqlDatabase, program: str, target: str, folder: Path, count: int
) -> tuple[set[str], str]:
    """Restore an empty table while others write; return what they were told is stored, and what was kept."""
    with (folder / "dump").open("wb") as into:
        database.dump(into)
    copy = database.sibling_copy("restored", swappable=True)
    copy.restore(folder / "dump")
    database.wait_timeout = scaled(30)  # the writers are many, and others may keep the machine busy
    with writers(program, target, folder, count):
        kept = database.replace_with(copy, "before", print)
        known = len(acknowledged(folder))
        eventually(lambda: len(acknowledged(folder)) > known + 10 * count)
    time.sleep(0.1)
    return acknowledged(folder), kept


def restore_sqlite_under_writers(folder: Path, journal_mode: str, count: int) -> tuple[set[str], set[str], set[str]]:
    """Return the ids that writers were told are stored, those in what was kept, and those in what is there now."""
    file = folder / "shop.db"
    with closing(sqlite3.connect(file)) as db:
        db.execute(f"PRAGMA journal_mode={journal_mode}")
        db.execute("CREATE TABLE orders (id TEXT PRIMARY KEY)")
        db.execute("CREATE TABLE ballast (data BLOB)")
        db.executemany("INSERT INTO ballast VALUES (randomblob(?))", [(1000,)] * 20_000)
        db.commit()
    told, kept = restore_under_writers(SqliteDatabase("sqlite:///shop.db", folder), WRITER, str(file), folder, count)
    return told, ids_in(kept), ids_in(file)


def ids_in(file: str | Path) -> set[str]:
    """Return the ids of the orders in an SQLite file, which must be intact."""
    with closing(sqlite3.connect(file)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {id_ for (id_,) in db.execute("SELECT id FROM orders")}


def restore_postgres_under_writers(folder: Path, count: int) -> tuple[set[str], set[str], set[str]]:
    """Return the ids that writers were told are stored, those in what was kept, and those in what is there now."""
    url = postgres_server.create_database()
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("CREATE TABLE orders (id TEXT PRIMARY KEY)")
    told, kept = restore_under_writers(PostgresDatabase(url), POSTGRES_WRITER, url, folder, count)
    found = []
    for name in (kept, url.rpartition("/")[2]):
        with psycopg.connect(f"{url.rpartition('/')[0]}/{name}") as db:
            found.append({id_ for (id_,) in db.execute("SELECT id FROM orders")})
    before, after = found
    return told, before, after
