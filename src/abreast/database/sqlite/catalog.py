"""Reads tables, rows and sizes of an SQLite database."""

from collections.abc import Collection, Iterator
from typing import Any, Protocol

from abreast.core.schema.tables import Column, Table, Tables
from abreast.database.interface import DatabaseStats


class Cursor(Protocol):
    """The result of a query."""

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the rows."""

    def fetchone(self) -> Any:  # noqa: ANN401 (a tuple of whatever the columns hold)
        """Return the next row."""


class Connection(Protocol):
    """A connection of ``sqlite3`` or ``apsw``."""

    def execute(self, sql: str, values: Any = ..., /) -> Cursor:  # noqa: ANN401 (each has a type of its own)
        """Run a statement."""


def read_stats(db: Connection) -> DatabaseStats:
    """Count the rows of each table and return them with the database's size."""
    rows = {
        name: int(db.execute(f"SELECT count(*) FROM {quote_identifier(name)}").fetchone()[0])
        for name in _table_names(db, "table")
    }
    (pages,), (size,) = db.execute("PRAGMA page_count").fetchone(), db.execute("PRAGMA page_size").fetchone()
    return DatabaseStats(rows, pages * size)


def read_tables(db: Connection, hidden: Collection[str]) -> Tables:
    """Return the tables and views, except those with a ``hidden`` name."""
    return {name: _read_table(db, name) for name in _table_names(db, "table", "view") if name not in hidden}


def _table_names(db: Connection, *kinds: str) -> list[str]:
    """Return the names without virtual tables: their module may be missing, and their data is in shadow tables."""
    rows = db.execute(
        "SELECT name, type FROM sqlite_master WHERE name NOT LIKE 'sqlite^_%' ESCAPE '^'"
        " AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
    )
    return [name for name, kind in rows if kind in kinds]


def _read_table(db: Connection, name: str) -> Table:
    columns = {
        column: Column(kind, bool(needed) and default is None and not key, not needed, default is not None)
        for _, column, kind, needed, default, key in db.execute(f"PRAGMA table_info({quote_identifier(name)})")
    }
    rules = db.execute(
        "SELECT type || ' ' || name, sql FROM sqlite_master"
        " WHERE tbl_name = ? AND type IN ('index', 'trigger') AND sql IS NOT NULL",
        (name,),
    )
    return Table(columns, dict(rules) | _key_constraints(db, name))


def _key_constraints(db: Connection, name: str) -> dict[str, str]:
    """Return the primary key and the UNIQUE constraints of a table, which have no names."""
    info = db.execute(f"PRAGMA table_info({quote_identifier(name)})")
    primary = [column for _, column in sorted((key, column) for _, column, _, _, _, key in info if key)]
    indexes = [row[1] for row in db.execute(f"PRAGMA index_list({quote_identifier(name)})") if row[3] == "u"]
    keys = [[str(row[2]) for row in db.execute(f"PRAGMA index_info({quote_identifier(index)})")] for index in indexes]
    texts = [", ".join(key) for key in (primary, *keys) if key]
    return {f"constraint UNIQUE ({text})": f"UNIQUE ({text})" for text in texts}


def quote_identifier(name: str) -> str:
    """Return a name as SQL."""
    return '"' + name.replace('"', '""') + '"'
