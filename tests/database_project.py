"""The project of tests with a database: SQLite's file, or a real PostgreSQL's."""

import ctypes.util
import hashlib
import importlib.util
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

import postgres_server
from sample_project import APP_SOURCE, HEALTHY, SampleProject

_HEALTH_SOURCE = """    url = os.environ["DATABASE_URL"]
    if url.startswith("sqlite"):
        import sqlite3
        db = sqlite3.connect(url.removeprefix("sqlite:///"), timeout=10)
    else:
        db = Connection(url)
    try:
        NEEDED
        return 200, {}
    except Exception as error:
        print(error, flush=True)
        return 503, {"error": str(error)}
    finally:
        db.close()
"""
_CONNECTION_SOURCE = """
class Connection:
    def __init__(self, url):
        import ctypes
        self.pq = ctypes.CDLL("LIBPQ")
        self.pq.PQconnectdb.restype = self.pq.PQexec.restype = ctypes.c_void_p
        self.pq.PQerrorMessage.restype = ctypes.c_char_p
        self.pointer = ctypes.c_void_p
        self.db = self.pointer(self.pq.PQconnectdb(url.encode()))
    def execute(self, sql):
        result = self.pointer(self.pq.PQexec(self.db, sql.encode()))
        if self.pq.PQresultStatus(result) not in (1, 2):
            raise Exception(self.pq.PQerrorMessage(self.db).decode())
        self.pq.PQclear(result)
    def commit(self):
        pass  # each statement is its own transaction
    def close(self):
        self.pq.PQfinish(self.db)
"""
"""PostgreSQL's own client library: psycopg takes half a second of a processor to import, at each start."""

FIRST_MIGRATION = "CREATE TABLE orders (id integer PRIMARY KEY, product text NOT NULL, note text);\n"

ALEMBIC_ENV = """
import os
from alembic import context
from sqlalchemy import create_engine
url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
with create_engine(url).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
ALEMBIC_STEP = """
import sqlalchemy as sa
from alembic import op
revision, down_revision = "{number}", {before}
def upgrade():
    {up}
def downgrade():
    {down}
"""

_MIGRATOR_SOURCE = """
import os, sqlite3, sys
db = sqlite3.connect(os.environ["DATABASE_URL"].removeprefix("sqlite:///"))
db.execute("CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, product TEXT, note TEXT)")
has = "price" in [row[1] for row in db.execute("PRAGMA table_info(orders)")]
if sys.argv[1] == "down":
    db.execute("DOWN")
elif not has and PRICE:
    db.execute("ALTER TABLE orders ADD COLUMN price INTEGER")
db.commit()
"""


def migrator_source(*, price: bool, down: str = "ALTER TABLE orders DROP COLUMN price") -> str:
    """Return a program that migrates SQLite: ``up`` brings the orders, and their price, ``down`` takes it back."""
    return _MIGRATOR_SOURCE.replace("PRICE", str(price)).replace("DOWN", down)


def app_source(needed: str = 'db.execute("SELECT product FROM orders LIMIT 1")') -> str:
    """Return an application that is healthy where it can do what it needs with its database."""
    connection = _CONNECTION_SOURCE.replace("LIBPQ", _libpq())
    return connection + APP_SOURCE.replace(HEALTHY, _HEALTH_SOURCE.replace("NEEDED", needed))


@cache
def _libpq() -> str:
    """Return the client library that psycopg brings, or the system's."""
    binary = importlib.util.find_spec("psycopg_binary")
    brought = Path(f"{binary.origin}").parents[1].glob("psycopg_binary.libs/libpq-*") if binary else []
    return str(next(iter(brought), ctypes.util.find_library("pq")))


class DatabaseProject:
    """The project with a database and one migration, not yet deployed."""

    def __init__(self, project: SampleProject, engine: str = "sqlite", url: str = "") -> None:
        """``url``: an empty database of PostgreSQL, in place of one of the server that most tests share."""
        self.project = project
        self.engine = engine
        self.url = url or (postgres_server.create_database() if engine == "postgresql" else "sqlite:///shop.db")
        backend = project.config["services"]["backend"]
        backend["database"] = {"url": "${SHOP_DATABASE_URL}", "migrations": "migrations"}
        backend["run"] = f"exec {sys.executable} app.py"
        self.variables = {"SHOP_DATABASE_URL": self.url}
        self.write_migration("001_orders.sql", FIRST_MIGRATION)
        project.commit(app_py=app_source())

    @property
    def sqlite_file(self) -> Path:
        """Where SQLite's file is."""
        return self.project.folder / ".abreast" / "local" / "local" / "data" / "backend" / "shop.db"

    def write_migration(self, name: str, text: str) -> None:
        """Write a migration; it is committed with the next commit."""
        (self.project.folder / "migrations").mkdir(exist_ok=True)
        (self.project.folder / "migrations" / name).write_text(text)

    def run(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command of abreast."""
        return self.project.run(*arguments, code=code, variables=self.variables)

    def deploy(self, *arguments: str, code: int | None = 0) -> str:
        """Deploy, and return what was told."""
        done = self.run("deploy", "--yes", *arguments, code=code)
        return done.stdout + done.stderr

    def connect(self) -> Any:  # noqa: ANN401 (a connection of either)
        """Connect to the database as an application does."""
        return sqlite3.connect(self.sqlite_file, timeout=10) if self.engine == "sqlite" else psycopg.connect(self.url)

    def query(self, sql: str) -> list[Any]:
        """Ask the database, without abreast."""
        with closing(self.connect()) as db:
            found = db.execute(sql)
            rows = [tuple(row) for row in found.fetchall()] if found.description else []
            db.commit()
            return rows

    def insert_orders(self, rows: int = 100) -> None:
        """Take some orders, without a note."""
        first = self.query("SELECT coalesce(max(id), 0) + 1 FROM orders")[0][0]
        values = ", ".join(f"({number}, 'tea {number}')" for number in range(first, first + rows))
        self.query(f"INSERT INTO orders (id, product) VALUES {values}")

    def orders_digest(self) -> str:
        """Return a digest over all orders."""
        return hashlib.sha256(repr(self.query("SELECT * FROM orders ORDER BY id")).encode()).hexdigest()

    def schema(self) -> list[Any]:
        """Return what the database looks like."""
        if self.engine == "sqlite":
            return self.query("SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name")
        return self.query(
            "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns"
            " WHERE table_schema = 'public' ORDER BY 1, 2"
        )

    def backups(self) -> list[dict[str, Any]]:
        """Return the backups, newest first."""
        found: list[dict[str, Any]] = json.loads(self.run("db", "list", "--json").stdout)
        return found

    def leftover_copies(self) -> list[str]:
        """Return copies of the database that are still there, but for what a restore put aside."""
        work = [str(path) for path in (self.project.folder / ".abreast" / "work").rglob("*") if path.is_file()]
        if self.engine == "sqlite":
            names = [path.name for path in self.sqlite_file.parent.iterdir()]
            return [one for one in names if one[0] == "." and "lock" not in one and ".before_" not in one] + work
        name = self.url.rpartition("/")[2]
        with psycopg.connect(postgres_server.server_url()) as db:
            known = [one for (one,) in db.execute("SELECT datname FROM pg_database") if one.startswith(f"{name}_")]
        return [package for package in known if "_before_" not in package] + work
