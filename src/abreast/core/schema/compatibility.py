"""Find the statements of a migration that break or block the running version, before any of them runs.

The previous version still serves while the migration runs, so what it reads and writes must stay: expand (add the
new), migrate, and contract (remove the old) in a later release. A long lock on a large table is a risk too.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlglot import exp
from sqlglot.errors import ParseError

from abreast.core.schema import statement_rules, token_rules
from abreast.core.schema.context import MigrationRisk, SchemaContext, Violation
from abreast.core.schema.migration_files import Migration
from abreast.core.schema.migration_outline import MigrationOutline, Statement, outline_migration
from abreast.core.schema.sql_statements import DIALECTS, split_statements
from abreast.core.schema.statement_parts import statement_parts
from abreast.core.schema.tables import Column, Table, Tables, breaking_changes, unique_keys


def find_risks(
    pending: Iterable[Migration], engine: str, tables: Tables, rows: Mapping[str, int]
) -> Sequence[MigrationRisk]:
    """Return the risks of ``pending`` migrations, run in order on ``tables`` with ``rows`` rows each.

    A statement that cannot be parsed is a risk too.
    """
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
    context = SchemaContext(engine, tables, rows)
    return [risk for migration in pending for risk in _migration_risks(migration, context)]


def _migration_risks(migration: Migration, context: SchemaContext) -> Iterator[MigrationRisk]:
    try:
        numbered_texts = list(split_statements(migration.up, context.engine))
    except ValueError as error:
        yield MigrationRisk(
            migration.name, migration.up.line, f"cannot be parsed: {error}", "write valid SQL of its engine"
        )
        return
    statements = [part for line, text in numbered_texts for part in statement_parts(line, text, context.engine)]
    outline = outline_migration(statements, context, in_transaction=migration.up.in_transaction)
    for statement in statements:
        for what, remedy, wait in _statement_violations(statement, context, outline):
            if wait or not migration.contract_reason:
                yield MigrationRisk(migration.name, statement.line, what, remedy, wait)
    if not migration.contract_reason:
        for line, what, remedy in _replacement_violations(context, outline):
            yield MigrationRisk(migration.name, line, what, remedy)


def _replacement_violations(context: SchemaContext, outline: MigrationOutline) -> Iterator[tuple[int, str, str]]:
    """Yield what tables lose that the migration drops or renames and then creates again under the same name.

    SQLite tables are changed this way (https://sqlite.org/lang_altertable.html#otheralter).
    """
    for name, after in outline.replaced.items():
        before = context.tables.get(name)
        if before is None or after is None:
            continue
        line = outline.removed_at[name]
        again = [_normalized_table(table, context.engine) for table in (before, after)]
        for what in breaking_changes({name: again[0]}, {name: again[1]}):
            yield line, *_split_remedy(what)
        if not outline.loaded.get(name):
            yield line, f"{name} is created again without all of its rows", "copy all: INSERT INTO … SELECT … FROM …"


def _normalized_table(table: Table, engine: str) -> Table:
    """Return a table with lower-case names and types in one spelling, and of its rules the unique keys."""

    def type_(text: str) -> str:
        try:
            return exp.DataType.build(text, dialect=DIALECTS[engine]).sql() if text else ""
        except ParseError:
            return text

    columns = {name.casefold(): Column(type_(column.type), column.required) for name, column in table.columns.items()}
    return Table(columns, {f"constraint {key}": f"UNIQUE ({key})" for key in unique_keys(table.rules)})


def _split_remedy(text: str) -> tuple[str, str]:
    what, _, remedy = text.partition(": ")
    return what, remedy


def _statement_violations(
    statement: Statement, context: SchemaContext, outline: MigrationOutline
) -> Iterator[Violation]:
    if statement.parsed is not None:
        for below in statement.parsed.find_all(exp.CTE):
            yield from statement_rules.syntax_violations(below.this, context, outline)
    if statement_rules.is_understood(statement.parsed):
        yield from statement_rules.syntax_violations(statement.parsed, context, outline)
    else:
        yield from token_rules.token_violations(statement.text, context, outline)
