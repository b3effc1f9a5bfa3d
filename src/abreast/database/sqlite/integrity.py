"""Proves what ``PRAGMA integrity_check`` proves, on all cores, and without looking up each row in each index."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import NamedTuple

from abreast.core.errors import DatabaseError
from abreast.database.sqlite.catalog import quote_identifier

Connect = Callable[[], AbstractContextManager[sqlite3.Connection]]
MAX_PROBLEMS = 5
_ROWID = -1
"""The column number that ``PRAGMA index_xinfo`` gives for the rowid."""


def find_damage(connect: Connect) -> list[str]:
    """Return what is damaged in a database that nobody writes to, in SQLite's words; empty if nothing is.

    ``PRAGMA quick_check`` proves all but what takes most of the time: that the indexes have what the tables have, and
    that unique indexes are unique. Sorted merges prove that. If one of them finds a difference or fails, such as
    for lack of room to sort, ``PRAGMA integrity_check`` has the last word. See https://sqlite.org/pragma.html.
    """
    if _is_sound(connect):
        return []
    with connect() as db:
        found = [str(row[0]) for row in db.execute(f"PRAGMA integrity_check({MAX_PROBLEMS})")]
    return [] if found == ["ok"] else found


class _Check(NamedTuple):
    """A query, and its rows where nothing is damaged."""

    query: str
    expected: list[tuple[object, ...]]


_OK: list[tuple[object, ...]] = [("ok",)]


def _is_sound(connect: Connect) -> bool:
    cores = os.cpu_count() or 1

    def passes(check: _Check) -> bool:
        with connect() as db:
            db.execute(f"PRAGMA threads = {cores}")  # of a sort
            return db.execute(check.query).fetchall() == check.expected

    try:
        with connect() as db:
            checks = [_Check("PRAGMA quick_check", _OK), *_index_checks(db)]
        with ThreadPoolExecutor(cores) as executor:
            return all(executor.map(passes, checks))
    except DatabaseError:
        return False


def _index_checks(db: sqlite3.Connection) -> Iterator[_Check]:
    tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'")
    for (table,) in tables.fetchall():
        queries = [_index_queries(db, table, *index) for index in _indexes(db, table)]
        if all(queries):
            yield from (_Check(query, []) for of_index in queries for query in of_index)
        else:
            yield _Check(f"PRAGMA integrity_check({quote_identifier(table)})", _OK)


def _indexes(db: sqlite3.Connection, table: str) -> list[tuple[str, bool, bool]]:
    """Return the name of each index of a table, and whether it is unique and partial."""
    return db.execute('SELECT name, "unique", partial FROM pragma_index_list(?)', (table,)).fetchall()


def _index_queries(db: sqlite3.Connection, table: str, index: str, is_unique: bool, is_partial: bool) -> Sequence[str]:
    """Return queries that find a row each if an index does not have what its table has, none if it has.

    Returns no query for what only ``PRAGMA integrity_check`` can check: partial indexes, those of expressions, with
    other collations, and of tables without a rowid.
    """
    entries = db.execute("SELECT cid, name, coll, key FROM pragma_index_xinfo(?)", (index,)).fetchall()
    keys = [name for number, name, collation, is_key in entries if is_key and number >= 0 and collation == "BINARY"]
    rowid = _rowid_name(db, table)
    if is_partial or not rowid or [number for number, *_ in entries[len(keys) :]] != [_ROWID]:
        return ()
    columns = [f"{quote_identifier(key)} COLLATE BINARY" for key in keys]
    row = ", ".join([*columns, rowid])
    order = ", ".join(str(number) for number in range(1, len(keys) + 2))
    rows = f"{quote_identifier(table)} NOT INDEXED"
    by_index = f"{quote_identifier(table)} INDEXED BY {quote_identifier(index)}"
    no_entry = f"SELECT {row} FROM {rows} EXCEPT SELECT {row} FROM {by_index} ORDER BY {order} LIMIT 1"
    other_count = f"SELECT 1 WHERE (SELECT count(*) FROM {rows}) <> (SELECT count({rowid}) FROM {by_index})"
    no_null = " AND ".join(f"{column} NOTNULL" for column in columns)
    twice = f"SELECT 1 FROM {by_index} WHERE {no_null} GROUP BY {', '.join(columns)} HAVING count(*) > 1 LIMIT 1"
    return (no_entry, other_count, twice) if is_unique else (no_entry, other_count)


def _rowid_name(db: sqlite3.Connection, table: str) -> str:
    """Return a name of the rowid that no column has, "" if each is taken. See https://sqlite.org/rowidtable.html."""
    columns = {name.lower() for (name,) in db.execute("SELECT name FROM pragma_table_xinfo(?)", (table,))}
    return next((name for name in ("rowid", "_rowid_", "oid") if name not in columns), "")
