"""Checks of migrations' SQL, loaded on first use: most commands check none, and the parser is slow to import."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module

from abreast.core.schema.context import MigrationRisk
from abreast.core.schema.migration_files import Migration, MigrationStep
from abreast.core.schema.tables import Tables

# Only these names are strings, so that nothing imports sqlglot at start-up. The functions are those of the modules.
_COMPATIBILITY = "abreast.core.schema.compatibility"
_SQL_STATEMENTS = "abreast.core.schema.sql_statements"


def find_risks(
    pending: Iterable[Migration], engine: str, tables: Tables, rows: Mapping[str, int]
) -> Sequence[MigrationRisk]:
    """Return the risks of ``pending`` migrations. See ``compatibility.find_risks``."""
    risks: Sequence[MigrationRisk] = import_module(_COMPATIBILITY).find_risks(pending, engine, tables, rows)
    return risks


def split_statements(step: MigrationStep, engine: str) -> Iterator[tuple[int, str]]:
    """Yield the statements of a step with their lines. See ``sql_statements.split_statements``."""
    statements: Iterator[tuple[int, str]] = import_module(_SQL_STATEMENTS).split_statements(step, engine)
    return statements


def transaction_end_fault(step: MigrationStep, engine: str) -> str:
    """Return where a step ends its own transaction. See ``sql_statements.transaction_end_fault``."""
    return str(import_module(_SQL_STATEMENTS).transaction_end_fault(step, engine))
