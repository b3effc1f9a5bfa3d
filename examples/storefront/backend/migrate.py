"""Bring the database up to date: each file of migrations/ once, in order, safe with several at once."""

import sqlite3
from pathlib import Path

FILES = sorted((Path(__file__).parent / "migrations").glob("*.sql"))


def migrate(database: sqlite3.Connection) -> None:
    database.execute("BEGIN IMMEDIATE")
    database.execute(
        "CREATE TABLE IF NOT EXISTS migrations"
        " (id INTEGER PRIMARY KEY, filename TEXT NOT NULL UNIQUE, executed_at TEXT NOT NULL)"
    )
    done = {name for (name,) in database.execute("SELECT filename FROM migrations")}
    for file in FILES:
        if file.name not in done:
            for statement in file.read_text().split(";"):
                database.execute(statement)
            database.execute(
                "INSERT INTO migrations (filename, executed_at) VALUES (?, datetime('now'))", (file.name,)
            )
    database.execute("COMMIT")
