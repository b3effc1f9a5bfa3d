"""The context in which a migration is checked, and the risks found in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from abreast.core.schema.tables import Column, Tables

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

    def __post_init__(self) -> None:
        self.tables = {name.casefold(): table for name, table in self.tables.items()}
        self.rows = {name.casefold(): count for name, count in self.rows.items()}

    def is_used(self, name: str) -> bool:
        """Whether the running version may use the table. It matches in any schema."""
        return name in self.tables or any(table.endswith(f".{name}") for table in self.tables)

    def is_large(self, name: str) -> bool:
        """Whether a lock on the table would last."""
        return self.is_used(name) and self.rows.get(name, 0) >= LARGE_TABLE_ROWS


Violation = tuple[str, str, bool]
"""The problem, the remedy, and whether it only blocks others for a while."""


def lock_violation(context: SchemaContext, what: str, table: str, remedy: str) -> Violation:
    """Return the violation of blocking a large table."""
    blocked = "all writers" if context.engine == "sqlite" else "all users of the table"
    return f"{what} blocks {blocked} for {context.rows.get(table, 0)} rows", remedy, True


def index_remedy(context: SchemaContext) -> str:
    """Return how to create an index without blocking others."""
    if context.engine == "sqlite":
        return "create it when there are few writes: `abreast db migrate` at night"
    return "use CREATE INDEX CONCURRENTLY, in a file with -- no-transaction"
