"""PostgreSQL, by psycopg and its own pg_dump and pg_restore (https://www.postgresql.org/docs/current/app-pgdump.html)."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit, urlunsplit

from abreast.core.errors import DatabaseError
from abreast.core.migrations import Applied, Migration, Step
from abreast.core.statements import split
from abreast.core.tables import Column, Table, Tables
from abreast.database import notes
from abreast.database.interface import Contents, Database, Limits, Ran, Tell

if TYPE_CHECKING:
    from psycopg import Connection

SCHEMES = ("postgresql://", "postgres://")
PATIENCE = 10.0
"""Seconds to wait for a connection, and for whoever migrates already."""
SWAP = 30.0
"""Seconds for which sessions are ended until a database can take another's name."""
LONGEST = 63
"""Letters of a name, at most (NAMEDATALEN)."""
OLDEST = 130000
INSTALL = "pip install 'abreast[postgres]'"


class PostgresDatabase(Database):
    """One database of a server; copies are made at ``scratch``, the URL of a server, or beside it."""

    engine = "postgresql"

    def __init__(self, url: str, scratch: str | None = None, *, copy: bool = False) -> None:
        self._url = url
        self._scratch = scratch
        self._copy = copy
        self._name = urlsplit(url).path.removeprefix("/")

    def address(self) -> str:
        """Return the URL by which an application reaches it."""
        return self._url

    def version(self) -> str:
        """Return the server's version; raises DatabaseError where it cannot be reached or is too old."""
        with self._open() as db:
            if db.info.server_version < OLDEST:
                raise DatabaseError(f"PostgreSQL {db.info.server_version // 10000} is too old", need="13 or newer")
            return str(_one(db, "SHOW server_version")).split(" ")[0]

    def exists(self) -> bool:
        """Tell whether it is there."""
        import psycopg  # noqa: PLC0415 (slow, and only databases need it)

        try:
            with self._open():
                return True
        except DatabaseError as error:
            # A connection that fails has no SQLSTATE, but its words (libpq gives no more).
            if isinstance(error.__cause__, psycopg.OperationalError) and "does not exist" in str(error.__cause__):
                return False
            raise

    def contents(self) -> Contents:
        """Return what it holds, by counting."""
        with self._open() as db:
            return _counted(db)

    def sizes(self) -> Mapping[str, int]:
        """Return about how many rows each table has, as the planner thinks; -1 is unknown to it, and counted."""
        with self._open() as db:
            found = {name: int(rows) for name, rows in db.execute(_SIZES).fetchall()}
            return {name: rows if rows >= 0 else _rows(db, name) for name, rows in found.items()}

    def tables(self) -> Tables:
        """Return what it looks like."""
        with self._open() as db:
            columns: dict[str, dict[str, Column]] = {}
            for table, column, kind, needed in db.execute(_COLUMNS).fetchall():
                columns.setdefault(table, {})
                if column:
                    columns[table][column] = Column(kind, needed)
            rules: dict[str, dict[str, str]] = {}
            for table, name, text in db.execute(_RULES).fetchall():
                rules.setdefault(table, {})[name] = text
        return {name: Table(found, rules.get(name, {})) for name, found in columns.items() if name not in notes.OWN}

    def owner(self) -> str:
        """Return whose it is, as ``claim`` noted it; "" where nobody did."""
        return self._noted("owner")

    def restored(self) -> str:
        """Return the deployment that put this database in place, as ``claim`` noted it, "" where none did."""
        return self._noted("restored")

    def _noted(self, what: str) -> str:
        with self._open() as db:
            if _one(db, f"SELECT to_regclass('{notes.OWNER}')") is None:
                return ""
            return str(_one(db, f"SELECT {what} FROM {notes.OWNER}") or "")

    def claim(self, owner: str, restored: str = "") -> None:
        """Note whose it is, in the database itself, and which deployment will have put it in place."""
        with self._open() as db, db.transaction():
            db.execute(f"CREATE TABLE IF NOT EXISTS {notes.OWNER} (owner text NOT NULL, restored text NOT NULL)")
            db.execute(f"DELETE FROM {notes.OWNER}")
            db.execute(f"INSERT INTO {notes.OWNER} VALUES (%s, %s)", (owner, restored))

    # ── dump and restore ───────────────────────────────────────────────────────────────────────

    def dump(self, into: IO[bytes]) -> Contents:
        """Write all of it, as it is at one moment, while others write; returns what it held at that moment."""
        with self._open() as db:
            db.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            snapshot = str(_one(db, "SELECT pg_export_snapshot()"))
            with ThreadPoolExecutor(1) as beside:
                counting = beside.submit(_counted, db)
                self._program("pg_dump", "--format=custom", "--compress=0", f"--snapshot={snapshot}", into=into)
                return counting.result()

    def restore(self, dump: Path) -> None:
        """Make this database, which is a copy that nobody uses, what was dumped; the dump is gone then."""
        self.drop()
        self._create("template0")
        jobs = f"--jobs={os.cpu_count() or 1}"
        self._program("pg_restore", "--exit-on-error", "--no-password", jobs, f"--dbname={self._name}", str(dump))
        dump.unlink()

    def check(self) -> Contents:
        """Return what it holds: that each constraint and index could be made of it shows that it is whole."""
        return self.contents()

    def beside(self, name: str, *, here: bool = False) -> "PostgresDatabase":
        """Return the copy of that name: at the scratch server, or ``here``, where it can take this one's place."""
        server = self._url if here or not self._scratch else self._scratch
        room = LONGEST - len(name) - 1
        return PostgresDatabase(_named(server, f"{self._name[:room]}_{name}"), copy=True)

    def copy_from(self, other: Database) -> None:
        """Make this copy anew from another one that nobody uses."""
        assert isinstance(other, PostgresDatabase)
        self.drop()
        self._create(other._name)

    def drop(self) -> None:
        """Take this copy away; fine where there is none."""
        assert self._copy, "only copies are dropped"
        with self._server() as db:
            db.execute(_sql(f"DROP DATABASE IF EXISTS {_quoted(self._name)} WITH (FORCE)"))

    def replace_by(self, copy: Database, kept: str) -> str:
        """Let a copy take this database's name, in one transaction, when the sessions of both were ended."""
        assert isinstance(copy, PostgresDatabase)
        aside = f"{self._name[: LONGEST - len(kept) - 1]}_{kept}"
        until = time.monotonic() + SWAP
        with self._server() as db:
            there = self.exists()
            while True:
                try:
                    _swapped(db, self._name, copy._name, aside, there=there)
                    return aside if there else ""
                except Exception as error:
                    if getattr(error, "sqlstate", None) != "55006" or time.monotonic() > until:  # object in use
                        raise
                    time.sleep(0.02)

    # ── migrations ─────────────────────────────────────────────────────────────────────────────

    def applied(self) -> Sequence[Applied]:
        """Return which migrations ran, in order; raises DatabaseError where one was begun and its end is not known."""
        with self._open() as db:
            if _one(db, f"SELECT to_regclass('{notes.TABLE}')") is None:
                return ()
            columns = _columns_of_notes(db)
            if _one(db, f"SELECT to_regclass('{notes.BEGUN}')"):
                begun = db.execute(f"SELECT filename, done FROM {notes.BEGUN}").fetchone()
                if begun:
                    raise notes.half_run(*begun)
            checksum = "coalesce(checksum, '')" if "checksum" in columns else "''"
            rows = db.execute(
                _sql(f"SELECT filename, executed_at::text, {checksum} FROM {notes.TABLE} ORDER BY id")
            ).fetchall()
            return tuple(Applied(name, at, known) for name, at, known in rows)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the database's advisory lock of migrations for the block."""
        with self._open() as db:
            until = time.monotonic() + PATIENCE
            while not _one(db, f"SELECT pg_try_advisory_lock({_LOCK})"):
                if time.monotonic() > until:
                    raise DatabaseError(
                        f"another migration of {self._name} is under way", next="wait for it, and try again"
                    )
                time.sleep(0.05)
            yield

    def run(self, migration: Migration, limits: Limits, tell: Tell) -> Ran:
        """Run a migration's ``up`` and note it, both or neither."""
        note = (f"INSERT INTO {notes.TABLE} (filename, checksum) VALUES (%s, %s)", (migration.name, migration.checksum))
        return self._step(migration, migration.up, note, limits, tell)

    def take_back(self, migration: Migration, limits: Limits, tell: Tell) -> Ran:
        """Run a migration's ``down`` and forget it, both or neither."""
        assert migration.down is not None
        note = (
            f"DELETE FROM {notes.TABLE} WHERE filename IN (%s, %s)",
            (migration.name, migration.name.removesuffix(".sql")),
        )
        return self._step(migration, migration.down, note, limits, tell)

    def _step(
        self, migration: Migration, step: Step, note: tuple[str, tuple[str, ...]], limits: Limits, tell: Tell
    ) -> Ran:
        began = time.monotonic()
        for attempt in range(1, limits.tries + 1):
            try:
                with self._open() as db:
                    _prepare(db)
                    _limit(db, limits)
                    locks = (_in_one if step.transaction else _one_by_one)(db, migration, step, note)
                return Ran(migration.name, time.monotonic() - began, locks)
            except DatabaseError as error:
                state = getattr(error.__cause__, "sqlstate", None)
                if state not in _AGAIN or attempt == limits.tries or not step.transaction:
                    raise
                tell(f"{migration.name}: waited {limits.lock:g} s for a lock; again, {attempt + 1} of {limits.tries}")
                time.sleep(min(0.1 * 2**attempt, 5.0))
        raise AssertionError("the last attempt returns or raises")

    # ── the server ─────────────────────────────────────────────────────────────────────────────

    def _create(self, template: str) -> None:
        with self._server() as db:
            found = db.execute(
                "SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_database"
                " WHERE datname IN (%s, 'postgres', 'template1') ORDER BY datname = %s DESC LIMIT 1",
                (template, template),
            ).fetchone()
            assert found
            encoding, collate, kind = (str(one).replace("'", "''") for one in found)
            locale = f" ENCODING '{encoding}' LC_COLLATE '{collate}' LC_CTYPE '{kind}'"
            db.execute(_sql(f"CREATE DATABASE {_quoted(self._name)} TEMPLATE {_quoted(template)}{locale}"))

    @contextmanager
    def _open(self) -> Iterator["Connection[Any]"]:
        with _connected(self._url) as db:
            yield db

    @contextmanager
    def _server(self) -> Iterator["Connection[Any]"]:
        """Connect to the server for what is done with whole databases."""
        with _connected(_named(self._url, "postgres")) as db:
            yield db

    def _program(self, name: str, *arguments: str, into: IO[bytes] | None = None) -> None:
        """Run one of PostgreSQL's programs; variables tell it the connection, so that no list of processes has it."""
        program = _found(name)
        with subprocess.Popen(
            [program, *arguments],
            env={"PATH": os.defpath, "LC_ALL": "C", **_variables(self._url)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if into else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as process:
            said: list[bytes] = []
            assert process.stderr
            hearing = threading.Thread(target=lambda: said.append(process.stderr.read()))  # type: ignore[union-attr]
            hearing.start()
            try:
                if into and process.stdout:
                    shutil.copyfileobj(process.stdout, into, 1 << 20)
            except BaseException:
                process.kill()
                raise
            finally:
                code = process.wait()
                hearing.join()
        if code:
            text = b"".join(said).decode(errors="replace").strip().splitlines()
            why = "; ".join(text[:4]) or f"it ended by signal {-code}"
            raise DatabaseError(f"{name}: {why}", need=_need_of(why), next=f"{name} --version")


def _need_of(why: str) -> str:
    return f"a client as new as the server: apt-get install {CLIENT}" if "version mismatch" in why else ""


CLIENT = "postgresql-client"
_AGAIN = frozenset({"55P03", "40P01"})
"""Lock not available, deadlock (PostgreSQL, Appendix A)."""
_LOCK = "hashtextextended('abreast migrations', 0)"
_MINE = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'"
_NAME = "CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname"
_SIZES = (
    f"SELECT {_NAME}, c.reltuples FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    f" WHERE c.relkind = 'r' AND {_MINE}"
)
_COLUMNS = (
    f"SELECT {_NAME}, a.attname, format_type(a.atttypid, a.atttypmod),"
    " a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND c.relkind IN ('r', 'p')"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    f" WHERE c.relkind IN ('r', 'p', 'v', 'm') AND {_MINE} ORDER BY 1, a.attnum"
)
_RULES = (
    f"SELECT {_NAME}, 'index ' || i.relname, pg_get_indexdef(i.oid) FROM pg_index x"
    " JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid"
    f" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_MINE}"
    f" UNION ALL SELECT {_NAME}, 'constraint ' || k.conname, pg_get_constraintdef(k.oid) FROM pg_constraint k"
    f" JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_MINE}"
    f" UNION ALL SELECT {_NAME}, 'trigger ' || t.tgname, pg_get_triggerdef(t.oid) FROM pg_trigger t"
    f" JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    f" WHERE NOT t.tgisinternal AND {_MINE}"
)


def _sql(text: str) -> bytes:
    """Return SQL as psycopg takes what is not written out in the program."""
    return text.encode()


def _one(db: "Connection[Any]", text: str) -> Any:  # noqa: ANN401 (whatever the column holds)
    found = db.execute(_sql(text)).fetchone()
    return found[0] if found else None


@contextmanager
def _connected(url: str) -> Iterator["Connection[Any]"]:
    """Connect for the block; what cannot be done is said in our words, without the password."""
    try:
        import psycopg  # noqa: PLC0415 (slow, and only databases need it)
    except ImportError as error:
        raise DatabaseError("psycopg is not installed", need="what PostgreSQL needs", next=INSTALL) from error
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=int(PATIENCE), application_name="abreast") as db:
            yield db
    except psycopg.Error as error:
        what = (error.diag.message_primary or str(error)).strip().splitlines()[0]
        raise DatabaseError(
            f"{_shown(url)}: {what}",
            need="a server that answers, and a role that may" if isinstance(error, psycopg.OperationalError) else "",
            next="abreast doctor",
        ) from error


def _shown(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2] or 'localhost'}{parts.path}"


def _named(url: str, name: str) -> str:
    """Return the URL of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{quote(name)}"))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _variables(url: str) -> dict[str, str]:
    """Return a connection as the variables of libpq (https://www.postgresql.org/docs/current/libpq-envars.html)."""
    from psycopg import pq  # noqa: PLC0415
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    names = {one.keyword.decode(): one.envvar.decode() for one in pq.Conninfo.get_defaults() if one.envvar}
    said = conninfo_to_dict(url)
    return {names[key]: str(value) for key, value in said.items() if key in names and value is not None}


def _found(name: str) -> str:
    """Return a program of PostgreSQL: that on the path, or the newest where Debian puts them."""
    known = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda one: int(one.parts[4]))
    found = str(known[-1]) if known else shutil.which(name)
    if not found:
        raise DatabaseError(f"{name} is not installed", need=CLIENT, next=f"apt-get install {CLIENT}")
    return found


def _rows(db: "Connection[Any]", name: str) -> int:
    return int(_one(db, f"SELECT count(*) FROM {'.'.join(map(_quoted, name.split('.', 1)))}"))


def _counted(db: "Connection[Any]") -> Contents:
    names = [name for name, _ in db.execute(_sql(_SIZES)).fetchall()]
    size = int(_one(db, "SELECT pg_database_size(current_database())"))
    return Contents({name: _rows(db, name) for name in sorted(names)}, size)


def _columns_of_notes(db: "Connection[Any]") -> list[str]:
    found = db.execute(
        _sql(f"SELECT attname FROM pg_attribute WHERE attrelid = '{notes.TABLE}'::regclass AND attnum > 0")
    ).fetchall()
    columns = [name for (name,) in found]
    if not {"id", "filename", "executed_at"} <= set(columns):
        what, need = notes.not_ours(", ".join(columns))
        raise DatabaseError(what, need=need)
    return columns


def _prepare(db: "Connection[Any]") -> None:
    """Make the tables of notes, or adopt the one that is there."""
    with db.transaction():
        db.execute(
            _sql(
                f"CREATE TABLE IF NOT EXISTS {notes.TABLE} (id serial PRIMARY KEY, filename text NOT NULL UNIQUE,"
                " executed_at timestamptz NOT NULL DEFAULT now(), checksum text)"
            )
        )
        if "checksum" not in _columns_of_notes(db):
            db.execute(_sql(f"ALTER TABLE {notes.TABLE} ADD COLUMN checksum text"))
        db.execute(_sql(f"CREATE TABLE IF NOT EXISTS {notes.BEGUN} (filename text PRIMARY KEY, done int NOT NULL)"))


def _limit(db: "Connection[Any]", limits: Limits) -> None:
    db.execute(_sql(f"SET lock_timeout = {int(limits.lock * 1000)}"))
    db.execute(_sql(f"SET statement_timeout = {int(limits.statement * 1000)}"))


def _in_one(
    db: "Connection[Any]", migration: Migration, step: Step, note: tuple[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Run all in one transaction; returns the locks that it held in the end."""
    from psycopg.pq import TransactionStatus  # noqa: PLC0415

    with db.transaction():
        _execute(db, step.text, migration.name, step.line)
        if db.info.transaction_status is not TransactionStatus.INTRANS:
            raise DatabaseError(
                f"{migration.name} ends its transaction itself", need="no COMMIT in it, or -- no-transaction"
            )
        locks = db.execute(_LOCKS).fetchall()
        db.execute(_sql(note[0]), note[1])
    return tuple(f"{mode} on {table}" for table, mode in locks)


_LOCKS = (
    "SELECT c.relname, replace(l.mode, 'Lock', '') FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
    " JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE l.pid = pg_backend_pid() AND l.granted AND c.relkind IN ('r', 'p') AND n.nspname NOT LIKE 'pg\\_%'"
    " AND l.mode IN ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock') ORDER BY 1, 2"
)


def _one_by_one(
    db: "Connection[Any]", migration: Migration, step: Step, note: tuple[str, tuple[str, ...]]
) -> tuple[str, ...]:
    """Run each statement by itself, noting how far it got."""
    db.execute(_sql(f"INSERT INTO {notes.BEGUN} VALUES (%s, 0)"), (migration.name,))
    for number, (line, text) in enumerate(split(step, "postgresql")):
        _execute(db, text, migration.name, line)
        db.execute(_sql(f"UPDATE {notes.BEGUN} SET done = %s"), (number + 1,))
    with db.transaction():
        db.execute(_sql(note[0]), note[1])
        db.execute(_sql(f"DELETE FROM {notes.BEGUN}"))
    return ()


def _execute(db: "Connection[Any]", text: str, file: str, line: int) -> None:
    """Run SQL; raises DatabaseError with the line that it stopped at."""
    import psycopg  # noqa: PLC0415

    try:
        db.execute(_sql(text))
    except psycopg.Error as error:
        where = int(error.diag.statement_position or 1) - 1
        at = line + text.count("\n", 0, where)
        detail = f" ({error.diag.message_detail})" if error.diag.message_detail else ""
        raise DatabaseError(
            f"{file}:{at}: {error.diag.message_primary or str(error).strip()}{detail}",
            need="a statement that the data allows, within its limits",
        ) from error


def _swapped(db: "Connection[Any]", name: str, copy: str, aside: str, *, there: bool) -> None:
    for one in (name, copy):
        db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            (one,),
        )
    with db.transaction():
        if there:
            db.execute(_sql(f"ALTER DATABASE {_quoted(name)} RENAME TO {_quoted(aside)}"))
        db.execute(_sql(f"ALTER DATABASE {_quoted(copy)} RENAME TO {_quoted(name)}"))
