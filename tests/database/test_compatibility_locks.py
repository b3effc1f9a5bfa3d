"""What is said to block users of a large table: real PostgreSQL takes the lock, and reads or writes the whole table."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from abreast.core.schema import migration_files
from abreast.core.schema.compatibility import find_risks
from abreast.core.schema.context import LARGE_TABLE_ROWS
from abreast.database.postgres import catalog
from postgres_server import create_database

SETUP = """
CREATE TABLE teams (id int PRIMARY KEY);
CREATE TABLE big (id int PRIMARY KEY, n int NOT NULL, note varchar(20), title varchar(20), at timestamp(0), price numeric(10,2), code text, team int);
CREATE INDEX by_lower_code ON big (lower(code));
CREATE INDEX by_note ON big (note);
CREATE UNIQUE INDEX one_n ON big (n);
ALTER TABLE big ADD CONSTRAINT has_note CHECK (note IS NOT NULL);
ALTER TABLE big ADD CONSTRAINT cheap CHECK (price < 100);
CREATE FUNCTION own_volatile() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
CREATE FUNCTION own_stable() RETURNS int STABLE LANGUAGE sql AS 'SELECT 1';
INSERT INTO teams VALUES (1);
INSERT INTO big SELECT n, n, 'x' FROM generate_series(1, 50) AS n;
"""
STATEMENTS = (
    "ALTER TABLE big ADD COLUMN c int",
    "ALTER TABLE big ADD COLUMN c int NOT NULL DEFAULT 3",
    "ALTER TABLE big ADD COLUMN c timestamptz DEFAULT now()",
    "ALTER TABLE big ADD COLUMN c timestamptz DEFAULT statement_timestamp() - interval '1 day'",
    "ALTER TABLE big ADD COLUMN c timestamptz DEFAULT clock_timestamp()",
    "ALTER TABLE big ADD COLUMN c jsonb DEFAULT jsonb_build_object('a', 1)",
    "ALTER TABLE big ADD COLUMN c tsvector DEFAULT to_tsvector('english', 'words')",
    "ALTER TABLE big ADD COLUMN c text DEFAULT current_setting('TimeZone')",
    "ALTER TABLE big ADD COLUMN c uuid DEFAULT gen_random_uuid()",
    "ALTER TABLE big ADD COLUMN c float DEFAULT random() * 3",
    "ALTER TABLE big ADD COLUMN c int DEFAULT own_volatile()",
    "ALTER TABLE big ADD COLUMN c int DEFAULT own_stable()",
    "ALTER TABLE big ADD COLUMN c serial",
    "ALTER TABLE big ADD COLUMN c int GENERATED ALWAYS AS IDENTITY",
    "ALTER TABLE big ADD COLUMN c int GENERATED ALWAYS AS (n * 2) STORED",
    "ALTER TABLE big ADD COLUMN c int UNIQUE",
    "ALTER TABLE big ADD COLUMN c int CHECK (c > 0)",
    "ALTER TABLE big ADD COLUMN c int REFERENCES teams (id)",
    "ALTER TABLE big ADD COLUMN c int DEFAULT NULL REFERENCES teams (id)",
    "ALTER TABLE big ADD COLUMN c int DEFAULT 1 REFERENCES teams (id)",
    "ALTER TABLE big ADD CONSTRAINT k CHECK (n > 0)",
    "ALTER TABLE big ADD CONSTRAINT k CHECK (n > 0) NOT VALID",
    "ALTER TABLE big ADD CONSTRAINT k CHECK (n > 0) NOT VALID, ADD CONSTRAINT l CHECK (n < 99)",
    "ALTER TABLE big ADD CONSTRAINT k FOREIGN KEY (team) REFERENCES teams (id)",
    "ALTER TABLE big ADD CONSTRAINT k FOREIGN KEY (team) REFERENCES teams (id) NOT VALID",
    "ALTER TABLE big ADD CONSTRAINT k UNIQUE (id, n)",
    "ALTER TABLE big ADD CONSTRAINT k UNIQUE USING INDEX one_n",
    "ALTER TABLE big ADD CONSTRAINT k CHECK (n > 0) NOT VALID; ALTER TABLE big VALIDATE CONSTRAINT k",
    "ALTER TABLE big ALTER COLUMN title TYPE varchar(40)",
    "ALTER TABLE big ALTER COLUMN title TYPE text",
    "ALTER TABLE big ALTER COLUMN note TYPE text",
    "ALTER TABLE big ALTER COLUMN code TYPE varchar",
    "ALTER TABLE big ALTER COLUMN at TYPE timestamp(3)",
    "ALTER TABLE big ALTER COLUMN price TYPE numeric(14,2)",
    "ALTER TABLE big ALTER COLUMN note SET NOT NULL",
    "ALTER TABLE big ALTER COLUMN n SET NOT NULL",
    "ALTER TABLE big SET UNLOGGED",
    "ALTER TABLE big SET (fillfactor = 70)",
    "ALTER TABLE big ALTER COLUMN n SET STATISTICS 300",
    "CREATE INDEX i ON big (n)",
    "CREATE INDEX IF NOT EXISTS by_note ON big (n)",
    "CREATE TRIGGER t BEFORE UPDATE ON big FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE TABLE small (id int REFERENCES big (id))",
    "REINDEX TABLE big",
    "CLUSTER big USING one_n",
    "DO $$ BEGIN IF true THEN CREATE INDEX i ON big (n); END IF; END $$",
    "DO $$ BEGIN ALTER TABLE big ADD COLUMN c int; END $$",
)  # fmt: skip
STRONG_LOCKS = "('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')"


@pytest.fixture(scope="module")
def db() -> Iterator["psycopg.Connection[Any]"]:
    with psycopg.connect(create_database(), autocommit=True) as connection:
        connection.execute(SETUP)
        yield connection


def is_blocked(db: "psycopg.Connection[Any]", sql: str) -> bool:
    """Run a migration, and return whether it read or wrote all of a table whose writers waited. Undoes it."""

    def fact(query: str) -> Any:  # noqa: ANN401
        return db.execute(query.encode()).fetchone()

    state = "SELECT seq_scan, pg_relation_filenode('big') FROM pg_stat_xact_user_tables WHERE relname = 'big'"
    with db.transaction(force_rollback=True):
        before = fact(state)
        db.execute(sql.encode())
        after = fact(state)
        locked = fact(
            "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'big'::regclass"
            f" AND mode IN {STRONG_LOCKS}"
        )
    return bool(locked[0]) and before != after


@pytest.mark.parametrize("sql", STATEMENTS)
def test_the_server_agrees(db: "psycopg.Connection[Any]", sql: str) -> None:
    tables = catalog.read_tables(db, ())
    (migration,), _ = migration_files.parse_migrations({"001_it.sql": sql.encode()})
    risks = find_risks([migration], "postgresql", tables, {"big": LARGE_TABLE_ROWS})
    assert bool(risks) == is_blocked(db, sql), risks
