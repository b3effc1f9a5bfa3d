"""The context in which a migration is checked, and the risks found in it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from abreast.core.schema.tables import NO_TABLE, Column, Table, Tables, unique_keys
from abreast.core.wording import counted

LARGE_TABLE_ROWS = 100_000
"""A table with this many rows counts as large: a lock for a full scan blocks users."""

REMEDY_CONTRACT_LATER = "stop using it in this release, and remove it in a later one (-- contract: REASON)"
REMEDY_ADD_BESIDE = "add a new one beside it, write to both, and remove the old one in a later release"


@dataclass(frozen=True, slots=True)
class MigrationRisk:
    """A statement that breaks the running version, or only blocks it (``only_waits``), and the remedy."""

    file: str
    line: int
    what: str
    remedy: str
    only_waits: bool = False

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}: {self.remedy}"


@dataclass(slots=True)
class SchemaContext:
    """The tables of the running version with their row counts, and the columns of tables that migrations created."""

    engine: str
    tables: Tables
    rows: Mapping[str, int]
    new_tables: dict[str, dict[str, Column]] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    """The former names of tables that migrations renamed, by the new ones."""

    def __post_init__(self) -> None:
        self.tables = {name.casefold(): table for name, table in self.tables.items()}
        self.rows = {name.casefold(): count for name, count in self.rows.items()}

    def is_used(self, name: str) -> bool:
        """Whether the running version may use the table. It matches in any schema."""
        return any(self._names(name))

    def is_large(self, name: str) -> bool:
        """Whether a lock on the table would last."""
        return self.row_count(name) >= LARGE_TABLE_ROWS

    def row_count(self, name: str) -> int:
        """Return the rows of the largest table of that name."""
        return max((self.rows.get(known, 0) for known in self._names(name)), default=0)

    def column(self, table: str, name: str) -> Column | None:
        """Return a column that the running version may use."""
        for known in self._names(table):
            for own, column in self.tables[known].columns.items():
                if own.casefold() == name.casefold():
                    return column
        return None

    def rules(self, name: str) -> Mapping[str, str]:
        """Return the rules of a table, by kind and name."""
        return {rule: text for known in self._names(name) for rule, text in self.tables[known].rules.items()}

    def key_of(self, name: str) -> Iterator[tuple[str, str]]:
        """Yield the table and the columns of each unique index or constraint called ``name``, if no other has them."""
        bare = name.rpartition(".")[2]
        for table, known in self.tables.items():
            for kind in ("index", "constraint"):
                own = {rule: text for rule, text in known.rules.items() if rule.casefold() == f"{kind} {bare}"}
                others = {
                    rule: text for rule, text in known.rules.items() if rule.rpartition(" ")[2].casefold() != bare
                }
                yield from ((table, key) for key in unique_keys(own) - unique_keys(others))

    def may_have_trigger(self, name: str, table: str) -> bool:
        """Whether a trigger may run for the running version. ``table``: "" for any.

        True if the database does not tell.
        """
        if self.engine == "postgresql" and NO_TABLE not in self.tables:
            return self.is_used(table)
        tables = self._names(table) if table else self.tables
        return any(
            rule.casefold() == f"trigger {name.casefold()}" for known in tables for rule in self.tables[known].rules
        )

    def has_schema(self, name: str) -> bool:
        """Whether a schema has anything that the running version may use. True if the database does not tell."""
        objects = (rule.partition(" ")[2] for rule in self.tables.get(NO_TABLE, Table({})).rules)
        return NO_TABLE not in self.tables or any(known.startswith(f"{name}.") for known in (*self.tables, *objects))

    def may_have(self, kind: str, name: str) -> bool:
        """Whether the running version may use a function, sequence or type. True if the database does not tell."""
        return NO_TABLE not in self.tables or any(self._objects(kind, name))

    def is_trigger_function(self, name: str) -> bool:
        """Whether a function can only be called by triggers."""
        found = [result for _, result in self._objects("function", name)]
        return bool(found) and all(result.endswith(" trigger") for result in found)

    def is_volatile(self, function: str) -> bool:
        """Whether a function may return another value for each row, as far as the database tells."""
        if NO_TABLE not in self.tables:
            return True
        return any(text.startswith("volatile ") for _, text in self._objects("function", function))

    def _objects(self, kind: str, name: str) -> Iterator[tuple[str, str]]:
        bare = name.rpartition(".")[2].casefold()
        for rule, text in self.tables.get(NO_TABLE, Table({})).rules.items():
            known = re.sub(r"\(.*", "", rule).casefold()
            if known.startswith(f"{kind} ") and known.partition(" ")[2].rpartition(".")[2] == bare:
                yield rule, text

    def _names(self, name: str) -> Iterator[str]:
        """Yield the tables called ``name``, in any schema."""
        if name and name in self.tables:
            yield name
        elif name:
            yield from (table for table in self.tables if table.endswith(f".{name}"))


Violation = tuple[str, str, bool]
"""The problem, the remedy, and whether it only blocks others for a while."""


def lock_violation(context: SchemaContext, what: str, table: str, remedy: str) -> Violation:
    """Return the violation of blocking a large table."""
    blocked = "all writers" if context.engine == "sqlite" else "all users of the table"
    return f"{what} blocks {blocked} for {counted(context.row_count(table), 'row')}", remedy, True


def index_remedy(context: SchemaContext) -> str:
    """Return how to create an index without blocking others."""
    if context.engine == "sqlite":
        return "create it when there are few writes: `abreast db migrate` at night"
    return "use CREATE INDEX CONCURRENTLY, in a file with -- no-transaction"
