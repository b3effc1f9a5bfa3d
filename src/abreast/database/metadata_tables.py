"""The tables of abreast in an application's own database: what ran there, what was begun, whose it is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from abreast.core.errors import DatabaseError
from abreast.core.schema.migration_files import AppliedMigration, Migration

MIGRATIONS_TABLE = "migrations"
"""What ran, in the form that many applications have already: id, filename, executed_at; abreast adds ``checksum``."""

UNFINISHED_TABLE = "migrations_begun"
"""Migrations without a transaction that were begun: a row that stays means that nobody knows how they ended."""

OWNER_TABLE = "abreast_owner"
"""One row: whose database this is, as ``project/environment/service``, and the deployment that restored it."""

METADATA_TABLES = frozenset({MIGRATIONS_TABLE, UNFINISHED_TABLE, OWNER_TABLE})
"""Tables that no version of an application depends on."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What engines say differently: a value's place, a number that counts by itself, and a moment.

    ``columns`` asks for the names of the columns of the table whose name is its one value; none where it is not there.
    """

    placeholder: str
    serial_type: str
    timestamp_type: str
    columns_query: str


class MetadataTables:
    """The notes as one connection of an engine, that has ``execute``, reads and writes them."""

    def __init__(self, db: Any, dialect: Dialect) -> None:  # noqa: ANN401 (of either library)
        self._db = db
        self._dialect = dialect

    # ── what ran ───────────────────────────────────────────────────────────────────────────────

    def applied_migrations(self) -> tuple[AppliedMigration, ...]:
        """Return which migrations ran, in order; raises DatabaseError where one was begun and its end is not known."""
        columns = self._migrations_columns()
        if not columns:
            return ()
        if self._column_names(UNFINISHED_TABLE) and (
            unfinished := self._query(f"SELECT filename, done FROM {UNFINISHED_TABLE}")
        ):
            raise _interrupted_error(*unfinished[0])
        checksum = "coalesce(checksum, '')" if "checksum" in columns else "''"
        rows = self._query(
            f"SELECT filename, CAST(executed_at AS text), {checksum} FROM {MIGRATIONS_TABLE} ORDER BY id"
        )
        return tuple(AppliedMigration(name, str(at), known) for name, at, known in rows)

    def prepare(self, migrations: Iterable[Migration]) -> None:
        """Make the tables, or adopt the one that is there: what ran of ``known`` has its checksum from now on."""
        dialect = self._dialect
        self._execute(
            f"CREATE TABLE IF NOT EXISTS {MIGRATIONS_TABLE}"
            f" (id {dialect.serial_type} PRIMARY KEY, filename text NOT NULL UNIQUE,"
            f" executed_at {dialect.timestamp_type} NOT NULL DEFAULT CURRENT_TIMESTAMP, checksum text)"
        )
        if "checksum" not in self._migrations_columns():
            self._execute(f"ALTER TABLE {MIGRATIONS_TABLE} ADD COLUMN checksum text")
        self._execute(
            f"CREATE TABLE IF NOT EXISTS {UNFINISHED_TABLE} (filename text PRIMARY KEY, done integer NOT NULL)"
        )
        adopted = {name for (name,) in self._query(f"SELECT filename FROM {MIGRATIONS_TABLE} WHERE checksum IS NULL")}
        for one in migrations:
            for name in adopted & set(_recorded_names(one)):
                self._execute(f"UPDATE {MIGRATIONS_TABLE} SET checksum = ? WHERE filename = ?", one.checksum, name)

    def record_applied(self, migration: Migration) -> None:
        """Note that a migration ran."""
        text = f"INSERT INTO {MIGRATIONS_TABLE} (filename, executed_at, checksum) VALUES (?, CURRENT_TIMESTAMP, ?)"
        self._execute(text, migration.name, migration.checksum)

    def record_reverted(self, migration: Migration) -> None:
        """Note that a migration was taken back."""
        self._execute(f"DELETE FROM {MIGRATIONS_TABLE} WHERE filename IN (?, ?)", *_recorded_names(migration))

    # ── what was begun ─────────────────────────────────────────────────────────────────────────

    def record_start(self, migration: Migration) -> None:
        """Note that a migration without a transaction is begun."""
        self._execute(f"INSERT INTO {UNFINISHED_TABLE} VALUES (?, 0)", migration.name)

    def record_progress(self, statements_done: int) -> None:
        """Note how many statements of it are done."""
        self._execute(f"UPDATE {UNFINISHED_TABLE} SET done = ?", statements_done)

    def record_end(self) -> None:
        """Note that it came to its end."""
        self._execute(f"DELETE FROM {UNFINISHED_TABLE}")

    # ── whose it is ────────────────────────────────────────────────────────────────────────────

    def ownership(self) -> tuple[str, str]:
        """Return whose it is and which deployment put it in place, "" where that was not noted."""
        found = self._query(f"SELECT owner, restored FROM {OWNER_TABLE}") if self._column_names(OWNER_TABLE) else ()
        return tuple(found[0]) if found else ("", "")

    def claim(self, owner: str, restored_by: str) -> None:
        """Note whose it is, and which deployment will have put it in place."""
        self._execute(f"CREATE TABLE IF NOT EXISTS {OWNER_TABLE} (owner text NOT NULL, restored text NOT NULL)")
        self._execute(f"DELETE FROM {OWNER_TABLE}")
        self._execute(f"INSERT INTO {OWNER_TABLE} VALUES (?, ?)", owner, restored_by)

    # ── asking ─────────────────────────────────────────────────────────────────────────────────

    def _migrations_columns(self) -> set[str]:
        """Return the columns of the table of migrations; raises DatabaseError where it is of another form."""
        columns = self._column_names(MIGRATIONS_TABLE)
        if columns and not {"id", "filename", "executed_at"} <= set(columns):
            raise DatabaseError(
                f"the database has a table {MIGRATIONS_TABLE} of another form: {', '.join(columns)}",
                need=f"{MIGRATIONS_TABLE} (id, filename, executed_at), or none",
            )
        return set(columns)

    def _column_names(self, table: str) -> list[str]:
        return [name for (name,) in self._query(self._dialect.columns_query, table)]

    def _query(self, text: str, *values: object) -> Sequence[Sequence[Any]]:
        return self._execute(text, *values).fetchall()  # type: ignore[no-any-return]

    def _execute(self, text: str, *values: object) -> Any:  # noqa: ANN401 (a cursor of either library)
        return self._db.execute(text.replace("?", self._dialect.placeholder), values)


def _recorded_names(migration: Migration) -> tuple[str, str]:
    """Return how tables of migrations call one: some leave the ending away."""
    return migration.name, migration.name.removesuffix(".sql")


def _interrupted_error(name: str, done: int) -> DatabaseError:
    """Return the error for a migration without a transaction whose end nobody saw."""
    return DatabaseError(
        f"{name} runs without a transaction and was cut off: {done} of its statements are done, "
        "the next may be, or may be not",
        need="a person who looks, and brings the database to the state before it or after it",
        next=f"then: DELETE FROM {UNFINISHED_TABLE}; and, where it is done: "
        f"INSERT INTO {MIGRATIONS_TABLE} (filename, executed_at) VALUES ('{name}', CURRENT_TIMESTAMP);",
    )
