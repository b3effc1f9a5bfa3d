"""abreast's own tables in an application's database: applied migrations, unfinished ones, and the owner."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from abreast.core.errors import DatabaseError
from abreast.core.schema.migration_files import AppliedMigration, ForeignHistory, Migration
from abreast.database.migration_histories import HISTORIES

DEFAULT_MIGRATIONS_TABLE = "migrations"
"""Applied migrations, in a common form: id, filename, executed_at; abreast adds ``checksum``."""

OWNER_TABLE = "abreast_owner"
"""One row: the owner ``project/environment/service``, and the deployment that restored the database."""


def unfinished_table(migrations_table: str) -> str:
    """Return the table of started migrations without a transaction. A row that stays means that one was interrupted."""
    return f"{migrations_table}_begun"


def metadata_tables(migrations_table: str) -> frozenset[str]:
    """Return the tables that belong to abreast, not to the application."""
    return frozenset({migrations_table, unfinished_table(migrations_table), OWNER_TABLE})


_COLUMNS = frozenset({"id", "filename", "executed_at"})


@dataclass(frozen=True, slots=True)
class Dialect:
    """An engine's placeholder, serial type and timestamp type.

    ``columns_query`` takes a table's name and returns the names of its columns; no rows if the table does not exist.
    """

    placeholder: str
    serial_type: str
    timestamp_type: str
    columns_query: str


class MetadataTables:
    """Reads and writes abreast's tables over one connection, which has ``execute``."""

    def __init__(self, db: Any, dialect: Dialect, migrations_table: str) -> None:  # noqa: ANN401 (of either library)
        self._db = db
        self._dialect = dialect
        self._table = migrations_table
        self._unfinished = unfinished_table(migrations_table)

    # ── applied migrations ─────────────────────────────────────────────────────────────────────

    def applied_migrations(self) -> tuple[AppliedMigration, ...]:
        """Return the applied migrations in order; raises DatabaseError if one was interrupted in an unknown state.

        Another tool's table of the same name has none.
        """
        columns = self._column_names(self._table)
        if not set(columns) >= _COLUMNS:
            return ()
        if self._column_names(self._unfinished) and (
            unfinished := self._query(f"SELECT filename, done FROM {self._unfinished}")
        ):
            raise self._interrupted_error(*unfinished[0])
        checksum_column = "coalesce(checksum, '')" if "checksum" in columns else "''"
        rows = self._query(
            f"SELECT filename, CAST(executed_at AS text), {checksum_column} FROM {self._table} ORDER BY id"
        )
        return tuple(AppliedMigration(name, str(at), checksum) for name, at, checksum in rows)

    def prepare(self, migrations: Iterable[Migration]) -> None:
        """Create the tables, or adopt an existing one and add the checksums of ``migrations``."""
        dialect = self._dialect
        self._execute(
            f"CREATE TABLE IF NOT EXISTS {self._table}"
            f" (id {dialect.serial_type} PRIMARY KEY, filename text NOT NULL UNIQUE,"
            f" executed_at {dialect.timestamp_type} NOT NULL DEFAULT CURRENT_TIMESTAMP, checksum text)"
        )
        if "checksum" not in self._migrations_columns():
            self._execute(f"ALTER TABLE {self._table} ADD COLUMN checksum text")
        self._execute(
            f"CREATE TABLE IF NOT EXISTS {self._unfinished} (filename text PRIMARY KEY, done integer NOT NULL)"
        )
        unchecked = {name for (name,) in self._query(f"SELECT filename FROM {self._table} WHERE checksum IS NULL")}
        for migration in migrations:
            for name in unchecked & set(_recorded_names(migration)):
                self._execute(f"UPDATE {self._table} SET checksum = ? WHERE filename = ?", migration.checksum, name)

    def record_applied(self, migration: Migration) -> None:
        """Record that a migration was applied."""
        text = f"INSERT INTO {self._table} (filename, executed_at, checksum) VALUES (?, CURRENT_TIMESTAMP, ?)"
        self._execute(text, migration.name, migration.checksum)

    def record_reverted(self, migration: Migration) -> None:
        """Delete the record of a migration."""
        self._execute(f"DELETE FROM {self._table} WHERE filename IN (?, ?)", *_recorded_names(migration))

    def exist(self) -> bool:
        """Return whether the table of applied migrations exists; raises DatabaseError if it is another tool's."""
        return bool(self._migrations_columns())

    def foreign_history(self) -> ForeignHistory | None:
        """Return the history that another tool keeps in this database, None if there is none."""
        for known in HISTORIES:
            if known.table != self._table and known.columns <= set(self._column_names(known.table)):
                applied = tuple(str(name) for (name,) in self._query(known.applied))
                broken = tuple(str(name) for (name,) in self._query(known.broken)) if known.broken else ()
                if applied or broken:
                    return ForeignHistory(known.tool, known.table, applied, broken, is_highest=known.is_highest)
        return None

    # ── unfinished migrations ──────────────────────────────────────────────────────────────────

    def record_start(self, migration: Migration) -> None:
        """Record that a migration without a transaction started."""
        self._execute(f"INSERT INTO {self._unfinished} VALUES (?, 0)", migration.name)

    def record_progress(self, statements_done: int) -> None:
        """Record how many of its statements are done."""
        self._execute(f"UPDATE {self._unfinished} SET done = ?", statements_done)

    def record_end(self) -> None:
        """Record that it finished."""
        self._execute(f"DELETE FROM {self._unfinished}")

    # ── ownership ──────────────────────────────────────────────────────────────────────────────

    def ownership(self) -> tuple[str, str]:
        """Return the owner and the deployment that restored the database, each "" if not recorded."""
        rows = self._query(f"SELECT owner, restored FROM {OWNER_TABLE}") if self._column_names(OWNER_TABLE) else ()
        return tuple(rows[0]) if rows else ("", "")

    def claim(self, owner: str, restored_by: str) -> None:
        """Record the owner, and the deployment that restores the database."""
        self._execute(f"CREATE TABLE IF NOT EXISTS {OWNER_TABLE} (owner text NOT NULL, restored text NOT NULL)")
        self._execute(f"DELETE FROM {OWNER_TABLE}")
        self._execute(f"INSERT INTO {OWNER_TABLE} VALUES (?, ?)", owner, restored_by)

    # ── queries ────────────────────────────────────────────────────────────────────────────────

    def _interrupted_error(self, name: str, done: int) -> DatabaseError:
        """Return the error for an interrupted migration without a transaction."""
        return DatabaseError(
            f"{name} runs without a transaction and was interrupted: {done} of its statements are done; "
            "the next one may or may not be",
            need="the schema as it was before this migration, or as it is after it: complete or revert it by hand",
            next=f"then: DELETE FROM {self._unfinished}; and, if you completed it: "
            f"INSERT INTO {self._table} (filename, executed_at) VALUES ('{name}', CURRENT_TIMESTAMP);",
        )

    def _migrations_columns(self) -> set[str]:
        """Return the columns of the migrations table; raises DatabaseError if required ones are missing."""
        columns = self._column_names(self._table)
        if columns and not set(columns) >= _COLUMNS:
            raise DatabaseError(
                f"the database has another table called {self._table}, with the columns {', '.join(columns)}",
                need=f"the columns id, filename and executed_at, or no table {self._table}",
                next="give abreast's own table another name: `migrations_table: abreast_migrations` of the database",
            )
        return set(columns)

    def _column_names(self, table: str) -> list[str]:
        return [name for (name,) in self._query(self._dialect.columns_query, table)]

    def _query(self, text: str, *values: object) -> Sequence[Sequence[Any]]:
        return self._execute(text, *values).fetchall()  # type: ignore[no-any-return]

    def _execute(self, text: str, *values: object) -> Any:  # noqa: ANN401 (a cursor of either library)
        return self._db.execute(text.replace("?", self._dialect.placeholder), values)


def _recorded_names(migration: Migration) -> tuple[str, str]:
    """Return the names under which tables record a migration: with or without ``.sql``."""
    return migration.name, migration.name.removesuffix(".sql")
