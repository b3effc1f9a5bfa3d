"""abreast's own tables in an application's database: applied migrations, unfinished ones, and the owner."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from abreast.core.errors import DatabaseError
from abreast.core.schema.migration_files import AppliedMigration, Migration

MIGRATIONS_TABLE = "migrations"
"""Applied migrations, in a common form: id, filename, executed_at; abreast adds ``checksum``."""

UNFINISHED_TABLE = "migrations_begun"
"""Started migrations without a transaction; a row that stays means that one was interrupted."""

OWNER_TABLE = "abreast_owner"
"""One row: the owner ``project/environment/service``, and the deployment that restored the database."""

METADATA_TABLES = frozenset({MIGRATIONS_TABLE, UNFINISHED_TABLE, OWNER_TABLE})
"""Tables that belong to abreast, not to the application."""


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

    def __init__(self, db: Any, dialect: Dialect) -> None:  # noqa: ANN401 (of either library)
        self._db = db
        self._dialect = dialect

    # ── applied migrations ─────────────────────────────────────────────────────────────────────

    def applied_migrations(self) -> tuple[AppliedMigration, ...]:
        """Return the applied migrations in order; raises DatabaseError if one was interrupted in an unknown state."""
        columns = self._migrations_columns()
        if not columns:
            return ()
        if self._column_names(UNFINISHED_TABLE) and (
            unfinished := self._query(f"SELECT filename, done FROM {UNFINISHED_TABLE}")
        ):
            raise _interrupted_error(*unfinished[0])
        checksum_column = "coalesce(checksum, '')" if "checksum" in columns else "''"
        rows = self._query(
            f"SELECT filename, CAST(executed_at AS text), {checksum_column} FROM {MIGRATIONS_TABLE} ORDER BY id"
        )
        return tuple(AppliedMigration(name, str(at), checksum) for name, at, checksum in rows)

    def prepare(self, migrations: Iterable[Migration]) -> None:
        """Create the tables, or adopt an existing one and add the checksums of ``migrations``."""
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
        unchecked = {name for (name,) in self._query(f"SELECT filename FROM {MIGRATIONS_TABLE} WHERE checksum IS NULL")}
        for migration in migrations:
            for name in unchecked & set(_recorded_names(migration)):
                self._execute(
                    f"UPDATE {MIGRATIONS_TABLE} SET checksum = ? WHERE filename = ?", migration.checksum, name
                )

    def record_applied(self, migration: Migration) -> None:
        """Record that a migration was applied."""
        text = f"INSERT INTO {MIGRATIONS_TABLE} (filename, executed_at, checksum) VALUES (?, CURRENT_TIMESTAMP, ?)"
        self._execute(text, migration.name, migration.checksum)

    def record_reverted(self, migration: Migration) -> None:
        """Delete the record of a migration."""
        self._execute(f"DELETE FROM {MIGRATIONS_TABLE} WHERE filename IN (?, ?)", *_recorded_names(migration))

    # ── unfinished migrations ──────────────────────────────────────────────────────────────────

    def record_start(self, migration: Migration) -> None:
        """Record that a migration without a transaction started."""
        self._execute(f"INSERT INTO {UNFINISHED_TABLE} VALUES (?, 0)", migration.name)

    def record_progress(self, statements_done: int) -> None:
        """Record how many of its statements are done."""
        self._execute(f"UPDATE {UNFINISHED_TABLE} SET done = ?", statements_done)

    def record_end(self) -> None:
        """Record that it finished."""
        self._execute(f"DELETE FROM {UNFINISHED_TABLE}")

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

    def _migrations_columns(self) -> set[str]:
        """Return the columns of the migrations table; raises DatabaseError if required ones are missing."""
        columns = self._column_names(MIGRATIONS_TABLE)
        if columns and not {"id", "filename", "executed_at"} <= set(columns):
            raise DatabaseError(
                f"the database has another table called {MIGRATIONS_TABLE}, with the columns {', '.join(columns)}",
                need=f"the columns id, filename and executed_at, or no table {MIGRATIONS_TABLE}",
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


def _interrupted_error(name: str, done: int) -> DatabaseError:
    """Return the error for an interrupted migration without a transaction."""
    return DatabaseError(
        f"{name} runs without a transaction and was interrupted: {done} of its statements are done; "
        "the next one may or may not be",
        need="the schema as it was before this migration, or as it is after it: complete or revert it by hand",
        next=f"then: DELETE FROM {UNFINISHED_TABLE}; and, if you completed it: "
        f"INSERT INTO {MIGRATIONS_TABLE} (filename, executed_at) VALUES ('{name}', CURRENT_TIMESTAMP);",
    )
