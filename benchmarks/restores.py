"""Restores while eight programs write: how many acknowledged writes are in neither the old nor the new database."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.tests_helpers import tests_module

RUNS = int(os.environ.get("ABREAST_RESTORES", "100"))
WRITERS = 8

Outcome = tuple[set[str], set[str], set[str]]
"""Ids of the acknowledged writes, of those in the old database, of those in the new one."""


def run() -> str:
    """Return a table of both engines."""
    with tests_module("database_writers") as helpers:
        restores: dict[str, Callable[[Path], Outcome]] = {
            "SQLite, WAL": lambda folder: helpers.restore_sqlite_under_writers(folder, "wal", WRITERS),
            "SQLite, rollback journal": lambda folder: helpers.restore_sqlite_under_writers(folder, "delete", WRITERS),
            "PostgreSQL": lambda folder: helpers.restore_postgres_under_writers(folder, WRITERS),
        }
        rows = [_count(engine, restore) for engine, restore in restores.items()]
    return "\n".join([
        "## Restore under writers", "",
        f"{WRITERS} programs insert rows, each in a transaction of its own, while the database is replaced. Goal: none is lost.", "",
        "| engine | restores | acknowledged writes | of these in the old database | in neither |", "|---|---|---|---|---|", *rows,
    ])  # fmt: skip


def _count(engine: str, restore: Callable[[Path], Outcome]) -> str:
    acknowledged = kept = lost = 0
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            told, before, after = restore(Path(folder))
        acknowledged, kept, lost = acknowledged + len(told), kept + len(before), lost + len(told - before - after)
    return f"| {engine} | {RUNS} | {acknowledged:,} | {kept:,} | {lost} |"
