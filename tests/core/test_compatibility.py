"""What the running version could not live with: told right of a corpus of migrations, on both engines."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from abreast.core.schema import migration_files
from abreast.core.schema.compatibility import find_risks
from abreast.core.schema.context import LARGE_TABLE_ROWS
from abreast.core.schema.tables import Column, Table

TABLES = {
    "users": Table(
        {
            "id": Column("INTEGER"), "name": Column("VARCHAR(20)"), "email": Column("TEXT"),
            "price": Column("NUMERIC(10,2)"), "made": Column("TEXT"),
        }
    ),
    "large": Table({"n": Column("INTEGER"), "at": Column("TEXT"), "note": Column("TEXT"), "user_id": Column("INTEGER")}),
    "teams": Table({"id": Column("INTEGER")}), "active": Table({"id": Column("INTEGER")}),
    "report": Table({"id": Column("INTEGER")}), "measures": Table({"id": Column("INTEGER")}), "old": Table({}),
}  # fmt: skip
ENGINES = {"pg": "postgresql", "lite": "sqlite"}
CORPUS: dict[str, list[dict[str, Any]]] = yaml.safe_load((Path(__file__).parent / "compatibility.yaml").read_text())
CASES = [(ENGINES[engine], one["sql"], one["breaks"]) for engine, all_ in CORPUS.items() for one in all_]


def found(engine: str, sql: str) -> list[str]:
    whole, faults = migration_files.parse_migrations({"001_it.sql": sql.encode()})
    assert faults == ()
    return [str(risk) for risk in find_risks(whole, engine, TABLES, {"large": 10 * LARGE_TABLE_ROWS, "users": 50})]


@pytest.mark.parametrize(("engine", "sql", "breaks"), CASES, ids=[f"{engine}-{sql[:60]}" for engine, sql, _ in CASES])
def test_the_corpus(engine: str, sql: str, *, breaks: bool) -> None:
    assert bool(found(engine, sql)) == breaks, found(engine, sql)


def test_it_is_large_enough() -> None:
    assert len(CASES) >= 150
    assert sum(breaks for _, _, breaks in CASES) >= 75


def test_the_place_and_the_remedy_are_said() -> None:
    (told,) = found("sqlite", "-- first\nSELECT 1;\n\n-- gone\nALTER TABLE users\n  DROP COLUMN email;\n")
    assert told.startswith("001_it.sql:5: the column users.email is dropped: ")
    assert "in a later one (-- contract: REASON)" in told


def test_what_cannot_be_understood_is_not_clean() -> None:
    for sql in ("DO $$ BEGIN EXECUTE what; END $$", "ALTER TABLE users FROBNICATE", "SELECT 'never ends"):
        assert found("postgresql", sql), sql
