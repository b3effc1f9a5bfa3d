"""The tables of abreast in an application's own database: what ran there, what was begun, whose it is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from abreast.core.errors import DatabaseError
from abreast.core.migrations import Applied, Migration

TABLE = "migrations"
"""What ran, in the form that many applications have already: id, filename, executed_at; abreast adds ``checksum``."""

BEGUN = "migrations_begun"
"""Migrations without a transaction that were begun: a row that stays means that nobody knows how they ended."""

OWNER = "abreast_owner"
"""One row: whose database this is, as ``project/environment/service``, and the deployment that restored it."""

OWN = frozenset({TABLE, BEGUN, OWNER})
"""Tables that no version of an application depends on."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """What engines say differently: a value's place, a number that counts by itself, and a moment.

    ``columns`` asks for the names of the columns of the table whose name is its one value; none where it is not there.
    """

    value: str
    counting: str
    moment: str
    columns: str


class Notes:
    """The notes as one connection of an engine, that has ``execute``, reads and writes them."""

    def __init__(self, db: Any, dialect: Dialect) -> None:  # noqa: ANN401 (of either library)
        self._db = db
        self._dialect = dialect

    # ── what ran ───────────────────────────────────────────────────────────────────────────────

    def applied(self) -> tuple[Applied, ...]:
        """Return which migrations ran, in order; raises DatabaseError where one was begun and its end is not known."""
        columns = self._form()
        if not columns:
            return ()
        if self._columns(BEGUN) and (begun := self._ask(f"SELECT filename, done FROM {BEGUN}")):
            raise _half_run(*begun[0])
        checksum = "coalesce(checksum, '')" if "checksum" in columns else "''"
        rows = self._ask(f"SELECT filename, CAST(executed_at AS text), {checksum} FROM {TABLE} ORDER BY id")
        return tuple(Applied(name, str(at), known) for name, at, known in rows)

    def prepare(self, known: Iterable[Migration]) -> None:
        """Make the tables, or adopt the one that is there: what ran of ``known`` has its checksum from now on."""
        kinds = self._dialect
        self._do(
            f"CREATE TABLE IF NOT EXISTS {TABLE} (id {kinds.counting} PRIMARY KEY, filename text NOT NULL UNIQUE,"
            f" executed_at {kinds.moment} NOT NULL DEFAULT CURRENT_TIMESTAMP, checksum text)"
        )
        if "checksum" not in self._form():
            self._do(f"ALTER TABLE {TABLE} ADD COLUMN checksum text")
        self._do(f"CREATE TABLE IF NOT EXISTS {BEGUN} (filename text PRIMARY KEY, done integer NOT NULL)")
        adopted = {name for (name,) in self._ask(f"SELECT filename FROM {TABLE} WHERE checksum IS NULL")}
        for one in known:
            for name in adopted & set(_names(one)):
                self._do(f"UPDATE {TABLE} SET checksum = ? WHERE filename = ?", one.checksum, name)

    def ran(self, one: Migration) -> None:
        """Note that a migration ran."""
        text = f"INSERT INTO {TABLE} (filename, executed_at, checksum) VALUES (?, CURRENT_TIMESTAMP, ?)"
        self._do(text, one.name, one.checksum)

    def forgotten(self, one: Migration) -> None:
        """Note that a migration was taken back."""
        self._do(f"DELETE FROM {TABLE} WHERE filename IN (?, ?)", *_names(one))

    # ── what was begun ─────────────────────────────────────────────────────────────────────────

    def begin(self, one: Migration) -> None:
        """Note that a migration without a transaction is begun."""
        self._do(f"INSERT INTO {BEGUN} VALUES (?, 0)", one.name)

    def done(self, number: int) -> None:
        """Note how many statements of it are done."""
        self._do(f"UPDATE {BEGUN} SET done = ?", number)

    def ended(self) -> None:
        """Note that it came to its end."""
        self._do(f"DELETE FROM {BEGUN}")

    # ── whose it is ────────────────────────────────────────────────────────────────────────────

    def owner(self) -> tuple[str, str]:
        """Return whose it is and which deployment put it in place, "" where that was not noted."""
        found = self._ask(f"SELECT owner, restored FROM {OWNER}") if self._columns(OWNER) else ()
        return tuple(found[0]) if found else ("", "")

    def claim(self, owner: str, restored: str) -> None:
        """Note whose it is, and which deployment will have put it in place."""
        self._do(f"CREATE TABLE IF NOT EXISTS {OWNER} (owner text NOT NULL, restored text NOT NULL)")
        self._do(f"DELETE FROM {OWNER}")
        self._do(f"INSERT INTO {OWNER} VALUES (?, ?)", owner, restored)

    # ── asking ─────────────────────────────────────────────────────────────────────────────────

    def _form(self) -> set[str]:
        """Return the columns of the table of migrations; raises DatabaseError where it is of another form."""
        columns = self._columns(TABLE)
        if columns and not {"id", "filename", "executed_at"} <= set(columns):
            raise DatabaseError(
                f"the database has a table {TABLE} of another form: {', '.join(columns)}",
                need=f"{TABLE} (id, filename, executed_at), or none",
            )
        return set(columns)

    def _columns(self, table: str) -> list[str]:
        return [name for (name,) in self._ask(self._dialect.columns, table)]

    def _ask(self, text: str, *values: object) -> Sequence[Sequence[Any]]:
        return self._do(text, *values).fetchall()  # type: ignore[no-any-return]

    def _do(self, text: str, *values: object) -> Any:  # noqa: ANN401 (a cursor of either library)
        return self._db.execute(text.replace("?", self._dialect.value), values)


def _names(one: Migration) -> tuple[str, str]:
    """Return how tables of migrations call one: some leave the ending away."""
    return one.name, one.name.removesuffix(".sql")


def _half_run(name: str, done: int) -> DatabaseError:
    """Return the error for a migration without a transaction whose end nobody saw."""
    return DatabaseError(
        f"{name} runs without a transaction and was cut off: {done} of its statements are done, "
        "the next may be, or may be not",
        need="a person who looks, and brings the database to the state before it or after it",
        next=f"then: DELETE FROM {BEGUN}; and, where it is done: "
        f"INSERT INTO {TABLE} (filename, executed_at) VALUES ('{name}', CURRENT_TIMESTAMP);",
    )
