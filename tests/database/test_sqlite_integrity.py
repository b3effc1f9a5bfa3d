"""Damage is found wherever SQLite's own check finds it; that check is the witness."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from abreast.core.errors import DatabaseError
from abreast.database.sqlite import integrity
from abreast.database.sqlite.database_file import open_for_reading
from abreast.database.sqlite.integrity import find_damage

SCHEMA = """
CREATE TABLE plain (id INTEGER PRIMARY KEY, word TEXT, number REAL, data BLOB);
CREATE INDEX plain_word ON plain (word);
CREATE INDEX plain_number ON plain (number DESC, word);
CREATE UNIQUE INDEX plain_data ON plain (data);
CREATE TABLE folded (word TEXT COLLATE NOCASE UNIQUE, other TEXT);
CREATE INDEX folded_binary ON folded (word COLLATE BINARY);
CREATE TABLE "no ""rowid" (word TEXT PRIMARY KEY, number INTEGER) WITHOUT ROWID;
CREATE INDEX "no rowid" ON "no ""rowid" (number);
CREATE TABLE hidden (rowid TEXT, _rowid_ TEXT, word TEXT, twice TEXT AS (word || word));
CREATE INDEX hidden_word ON hidden (word, rowid);
CREATE INDEX hidden_twice ON hidden (twice);
CREATE INDEX hidden_some ON hidden (word) WHERE word > 'm';
CREATE INDEX hidden_expression ON hidden (lower(word));
CREATE TABLE taken (rowid TEXT, _rowid_ TEXT, oid TEXT);
CREATE INDEX taken_oid ON taken (oid);
CREATE VIRTUAL TABLE found USING fts5 (word);
"""
INDEXES = [
    "plain_word", "plain_number", "plain_data", "folded_binary", "no rowid", "hidden_word", "hidden_twice",
    "hidden_some", "hidden_expression", "taken_oid",
]  # fmt: skip
CHANGES = {
    "a row more": "INSERT INTO {table} ({columns}) VALUES ({values})",
    "a row less": "DELETE FROM {table} WHERE {first} IN (SELECT {first} FROM {table} ORDER BY {first} DESC LIMIT 1)",
    "another value": "UPDATE {table} SET {column} = 'zz' WHERE {first} IN (SELECT {first} FROM {table} ORDER BY {first} DESC LIMIT 1)",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database with indexes of every kind."""
    words = [f"{chr(97 + number % 26)}{number}" for number in range(400)]
    with closing(sqlite3.connect(tmp_path / "shop.db")) as db, db:
        db.executescript(SCHEMA)
        for number, word in enumerate(words):
            data = None if number % 3 == 0 else word.encode()
            db.execute("INSERT INTO plain VALUES (?, ?, ?, ?)", (number, word, number / 4, data))
            db.execute("INSERT INTO folded VALUES (?, ?)", (word, word))
            db.execute('INSERT INTO "no ""rowid" VALUES (?, ?)', (word, number))
            db.execute("INSERT INTO hidden (rowid, _rowid_, word) VALUES (?, ?, ?)", (word, None, word))
            db.execute("INSERT INTO taken VALUES (?, ?, ?)", (word, word, word))
            db.execute("INSERT INTO found VALUES (?)", (word,))
    return tmp_path / "shop.db"


def damage(file: Path) -> list[str]:
    return find_damage(lambda: open_for_reading(file, 5))


def is_ok(file: Path) -> bool:
    with closing(sqlite3.connect(file)) as db:
        db.text_factory = bytes
        return db.execute("PRAGMA integrity_check").fetchall() == [(b"ok",)]


@pytest.fixture
def verdicts(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What the quick way found, each time, before SQLite's own check had the last word."""
    given: list[bool] = []
    quick = integrity._is_sound

    def record(connect: integrity.Connect) -> bool:
        given.append(quick(connect))
        return given[-1]

    monkeypatch.setattr(integrity, "_is_sound", record)
    return given


def test_what_is_whole_is_whole_at_once(file: Path, verdicts: list[bool]) -> None:
    assert damage(file) == []
    assert verdicts == [True]


@pytest.mark.parametrize("index", INDEXES)
@pytest.mark.parametrize("change", CHANGES)
def test_an_index_that_does_not_have_what_its_table_has(file: Path, index: str, change: str) -> None:
    change_without_index(file, index, CHANGES[change])
    assert (damage(file) == []) == is_ok(file)
    if index not in {"hidden_some", "folded_binary"} and change != "another value":
        assert damage(file)


def test_an_index_that_is_unique_no_more(file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("DROP INDEX plain_data")
        db.execute("CREATE INDEX plain_data ON plain (data)")
        db.execute("UPDATE plain SET data = x'61' WHERE id IN (7, 8)")
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_master SET sql = replace(sql, 'INDEX', 'UNIQUE INDEX') WHERE name = 'plain_data'")
    assert not is_ok(file)
    assert "non-unique entry in index plain_data" in str(damage(file))


@pytest.mark.exhaustive
def test_no_byte_is_changed_unseen(file: Path) -> None:
    chance, content = random.Random(1), file.read_bytes()
    found = 0
    for _ in range(300):
        changed = bytearray(content)
        for _ in range(chance.choice([1, 1, 20])):
            changed[chance.randrange(100, len(changed))] ^= 1 << chance.randrange(8)
        file.write_bytes(changed)
        try:
            expected = is_ok(file)
        except (sqlite3.DatabaseError, UnicodeDecodeError):
            expected = False
        try:
            assert (damage(file) == []) == expected
        except DatabaseError:
            assert not expected
        found += not expected
    assert found > 30


def change_without_index(file: Path, index: str, change: str) -> None:
    """Change a table while SQLite does not know one of its indexes."""
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        (saved,) = db.execute("SELECT type, name, tbl_name, rootpage, sql FROM sqlite_master WHERE name = ?", (index,))
        db.execute("PRAGMA writable_schema = ON")
        db.execute("DELETE FROM sqlite_master WHERE name = ?", (index,))
    table = '"' + saved[2].replace('"', '""') + '"'
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        columns = [name for (name,) in db.execute("SELECT name FROM pragma_table_info(?)", (saved[2],))]
        values = ", ".join("4000" if name == "id" else f"'zz{name}'" for name in columns)
        db.execute(
            change.format(table=table, columns=", ".join(columns), values=values, first=columns[0], column=columns[-1])
        )
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", saved)
