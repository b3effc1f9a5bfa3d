"""What is known where a migration is judged: the tables of the running version, and what the migration made."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from abreast.core.schema.tables import Column, Tables

LARGE_TABLE_ROWS = 100_000
"""Rows from which on a table is not locked for as long as its rows are read."""

REMEDY_CONTRACT_LATER = "stop using it in this release, and take it away in a later one (-- contract: REASON)"
REMEDY_ADD_BESIDE = "add a new one beside it, fill both, and take the old one away in a later release"


@dataclass(slots=True)
class SchemaContext:
    """What is known: tables of the running version, and those that the migrations made, with their columns."""

    engine: str
    tables: Tables
    rows: Mapping[str, int]
    new_tables: dict[str, dict[str, Column]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tables = {name.casefold(): table for name, table in self.tables.items()}
        self.rows = {name.casefold(): count for name, count in self.rows.items()}

    def is_used(self, name: str) -> bool:
        """Whether the running version may use the table: one that is there, in whichever schema."""
        return name in self.tables or any(one.endswith(f".{name}") for one in self.tables)

    def is_large(self, name: str) -> bool:
        """Whether a lock on the table lasts."""
        return self.is_used(name) and self.rows.get(name, 0) >= LARGE_TABLE_ROWS


Violation = tuple[str, str, bool]
"""What, the remedy, and whether it only makes others wait."""


def lock_violation(context: SchemaContext, what: str, table: str, remedy: str) -> Violation:
    """Return that something makes others wait for a table."""
    locked = "all writers" if context.engine == "sqlite" else "who uses it"
    return f"{what} makes {locked} wait for {context.rows.get(table, 0)} rows", remedy, True


def index_remedy(context: SchemaContext) -> str:
    """Return how an index is made without making others wait."""
    if context.engine == "sqlite":
        return "make it when few write: `abreast db migrate` at night"
    return "CREATE INDEX CONCURRENTLY, in a file with -- no-transaction"
