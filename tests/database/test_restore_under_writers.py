"""A restore while applications write: what was acknowledged is in what was there before, or in what is there now."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from abreast.database.sqlite.database import SqliteDatabase
from database_writers import ids_in, restore_postgres_under_writers, restore_sqlite_under_writers


@pytest.mark.exhaustive
@pytest.mark.parametrize("journal_mode", ["wal", "delete"])
def test_sqlite_loses_nothing_that_was_acknowledged(tmp_path: Path, journal_mode: str) -> None:
    told, before, after = restore_sqlite_under_writers(tmp_path, journal_mode, count=3)
    assert before
    assert after
    assert told - before - after == set()


@pytest.mark.exhaustive
def test_postgresql_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    told, before, after = restore_postgres_under_writers(tmp_path, count=3)
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
