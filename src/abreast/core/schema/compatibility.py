"""Find the statements of a migration that break or block the running version, before any of them runs.

The previous version still serves while the migration runs, so what it reads and writes must stay: expand (add the
new), migrate, and contract (remove the old) in a later release. A long lock on a large table is a risk too.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlglot import exp, parse_one
from sqlglot.errors import ParseError

from abreast.core.schema import sql_ast, statement_rules, token_rules
from abreast.core.schema.context import MigrationRisk, SchemaContext, Violation
from abreast.core.schema.migration_files import Migration
from abreast.core.schema.sql_statements import DIALECTS, split_statements
from abreast.core.schema.tables import Column, Table, Tables, breaking_changes


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
    statements = [(line, text, _parse_statement(text, context.engine)) for line, text in numbered_texts]
    replaced = _replaced_tables([statement for _, _, statement in statements], context)
    for line, text, statement in statements:
        for what, remedy, wait in _statement_violations(statement, text, context, replaced):
            if wait or not migration.contract_reason:
                yield MigrationRisk(migration.name, line, what, remedy, wait)
    for name, columns in replaced.items():
        if columns is not None and name in context.tables and not migration.contract_reason:
            before, after = (
                _normalized_table(table, context.engine) for table in (context.tables[name].columns, columns)
            )
            for what in breaking_changes({name: before}, {name: after}):
                yield MigrationRisk(migration.name, migration.up.line, *_split_remedy(what))


def _normalized_table(columns: Mapping[str, Column], engine: str) -> Table:
    """Return a table with lower-case names and types in one spelling."""

    def type_(text: str) -> str:
        try:
            return exp.DataType.build(text, dialect=DIALECTS[engine]).sql() if text else ""
        except ParseError:
            return text

    return Table({name.casefold(): Column(type_(column.type), column.required) for name, column in columns.items()})


def _split_remedy(text: str) -> tuple[str, str]:
    what, _, remedy = text.partition(": ")
    return what, remedy


def _parse_statement(text: str, engine: str) -> Any:  # noqa: ANN401 (a sqlglot expression, None for invalid SQL)
    try:
        return parse_one(text, read=DIALECTS[engine])
    except (ParseError, ValueError):
        return None


def _replaced_tables(statements: Sequence[Any], context: SchemaContext) -> dict[str, dict[str, Column] | None]:
    """Return the tables that a migration drops or renames and then re-creates under the same name, with new columns.

    SQLite tables are changed this way (https://sqlite.org/lang_altertable.html#otheralter). A view can also take over
    the name of a renamed table: its columns are unknown, None.
    """
    removed: set[str] = set()
    created: dict[str, dict[str, Column] | None] = {}
    for statement in statements:
        if isinstance(statement, exp.Drop) and statement.args.get("kind") in {"TABLE", "VIEW"}:
            removed |= {sql_ast.normalized_name(table) for table in sql_ast.dropped_objects(statement)}
        elif isinstance(statement, exp.Create) and statement.kind in {"TABLE", "VIEW"}:
            created[sql_ast.normalized_name(sql_ast.created_object(statement))] = (
                sql_ast.created_columns(statement) if statement.kind == "TABLE" else None
            )
        elif isinstance(statement, exp.Alter) and (to := sql_ast.renamed_to(statement)):
            old = sql_ast.normalized_name(statement.this)
            removed.add(old)
            created[to] = created.get(old, context.new_tables.get(old))
    return {name: created[name] for name in removed & created.keys()}


def _statement_violations(
    statement: Any,  # noqa: ANN401 (a sqlglot expression)
    text: str,
    context: SchemaContext,
    replaced: Mapping[str, object],
) -> Iterator[Violation]:
    if statement is not None:
        for below in statement.find_all(exp.CTE):
            yield from statement_rules.syntax_violations(below.this, context, replaced)
    if type(statement).__name__ in statement_rules.KNOWN_STATEMENTS:
        yield from statement_rules.syntax_violations(statement, context, replaced)
    else:
        yield from token_rules.token_violations(text, context)
