"""What the running version can no longer do, as the difference of a real database before and after a change shows."""

import sqlite3
from contextlib import closing

import psycopg
import pytest

from abreast.core.schema.tables import breaking_changes
from abreast.database.postgres import catalog as postgres_catalog
from abreast.database.sqlite import catalog as sqlite_catalog
from postgres_server import create_database

POSTGRESQL = """
CREATE TYPE state AS ENUM ('open', 'closed');
CREATE TYPE place AS (street text, number int);
CREATE SEQUENCE numbers;
CREATE TABLE notes (id serial PRIMARY KEY, text varchar(20), owner text DEFAULT 'me', state state, n int, UNIQUE (owner, n));
CREATE UNIQUE INDEX one_text ON notes (lower(text));
CREATE FUNCTION total(a int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION listed() RETURNS TABLE (size bigint, bucket text) LANGUAGE sql AS 'SELECT 1, NULL';
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION unused() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touched BEFORE UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TABLE guarded (id int);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON guarded USING (id > 0);
"""
SQLITE = "CREATE TABLE notes (id INTEGER PRIMARY KEY, a TEXT DEFAULT 'x', b TEXT, UNIQUE (a, b));"

BREAKING = (
    ("DROP POLICY own ON guarded", "the policy own of guarded is gone"),
    ("ALTER POLICY own ON guarded USING (id > 5)", "the policy own of guarded has changed"),
    ("CREATE POLICY more ON guarded AS RESTRICTIVE USING (id > 5)", "the new policy more of guarded applies"),
    ("ALTER TABLE guarded FORCE ROW LEVEL SECURITY", "row security of guarded is forced now"),
    ("ALTER TABLE guarded DISABLE ROW LEVEL SECURITY", "row security of guarded is off now"),
    ("DROP TRIGGER touched ON notes", "the trigger touched of notes does not run any more"),
    ("ALTER TABLE notes DISABLE TRIGGER touched", "the trigger touched of notes does not run any more"),
    ("ALTER TABLE notes ALTER owner DROP DEFAULT", "notes.owner has no default any more"),
    ("ALTER TABLE notes ALTER owner SET NOT NULL", "notes.owner refuses NULL now"),
    ("ALTER TABLE notes ALTER n TYPE bigint", "notes.n is bigint and was integer"),
    ("ALTER TABLE notes DROP CONSTRAINT notes_owner_n_key", "notes has no unique key (n, owner) any more"),
    ("ALTER TABLE notes DROP CONSTRAINT notes_pkey", "notes has no unique key (id) any more"),
    ("DROP FUNCTION total(int)", "the function total(integer) is gone"),
    ("DROP FUNCTION listed(); CREATE FUNCTION listed() RETURNS TABLE (size bigint, name text) LANGUAGE sql AS ''SELECT 1, NULL''",
     "the function listed() returns TABLE(size bigint, name text) now"),
    ("DROP SEQUENCE numbers", "the sequence numbers is gone"),
    ("ALTER SEQUENCE notes_id_seq RENAME TO other", "the sequence notes_id_seq is gone"),
    ("ALTER TYPE state RENAME VALUE ''open'' TO ''opened''", "the type state has lost 'open'"),
    ("ALTER TYPE place DROP ATTRIBUTE number", "the type place has lost number integer"),
)  # fmt: skip
HARMLESS = (
    "ALTER TABLE notes ALTER text TYPE varchar(40)",
    "ALTER TABLE notes ALTER text TYPE text",
    "ALTER TABLE notes ALTER owner SET DEFAULT ''you''",
    "ALTER TABLE notes DROP CONSTRAINT notes_owner_n_key, ADD CONSTRAINT other UNIQUE (n, owner)",
    "ALTER TYPE state ADD VALUE ''new''",
    "CREATE POLICY more ON guarded FOR SELECT USING (id > 5)",
    "DROP POLICY own ON guarded; CREATE POLICY own ON guarded USING (id > 0)",
    "DROP FUNCTION unused()",
    "CREATE OR REPLACE FUNCTION total(a int) RETURNS int STABLE LANGUAGE sql AS ''SELECT 2''",
    "CREATE INDEX more ON notes (n); ALTER TABLE notes ADD CONSTRAINT positive CHECK (n > 0)",
    "CREATE FUNCTION total(a text) RETURNS int LANGUAGE sql AS ''SELECT 2''",
)  # fmt: skip


@pytest.fixture(scope="module")
def url() -> str:
    url = create_database()
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(POSTGRESQL)
    return url


def difference(url: str, sql: str) -> list[str]:
    with psycopg.connect(url) as db:
        before = postgres_catalog.read_tables(db, ())
        db.execute(f"DO $$ BEGIN EXECUTE '{sql}'; END $$".encode())
        after = postgres_catalog.read_tables(db, ())
        db.rollback()
    return list(breaking_changes(before, after))


@pytest.mark.parametrize(("sql", "told"), BREAKING)
def test_what_breaks_is_seen(url: str, sql: str, told: str) -> None:
    found = difference(url, sql)
    assert len(found) == 1, found
    assert found[0].startswith(told)


@pytest.mark.parametrize("sql", HARMLESS)
def test_what_does_not_is_not(url: str, sql: str) -> None:
    assert difference(url, sql) == []


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("id INTEGER PRIMARY KEY, a TEXT DEFAULT 'x', b TEXT", ["notes has no unique key (a, b) any more"]),
        ("id INTEGER, a TEXT DEFAULT 'x', b TEXT, UNIQUE (a, b)", ["notes has no unique key (id) any more"]),
        ("id INTEGER PRIMARY KEY, a TEXT, b TEXT, UNIQUE (a, b)", ["notes.a has no default any more"]),
        ("id INTEGER PRIMARY KEY, a TEXT DEFAULT 'x', b TEXT NOT NULL, UNIQUE (a, b)", ["notes.b needs a value now"]),
        ("id INTEGER PRIMARY KEY, a TEXT DEFAULT 'x', b TEXT, more TEXT, UNIQUE (b, a)", []),
    ],
)
def test_a_table_of_sqlite_that_is_created_again(columns: str, told: list[str]) -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(SQLITE)
        before = sqlite_catalog.read_tables(db, ())
        db.executescript(f"DROP TABLE notes; CREATE TABLE notes ({columns})")
        found = list(breaking_changes(before, sqlite_catalog.read_tables(db, ())))
    assert [text.partition(" (INSERT")[0].partition(":")[0] for text in found] == told
