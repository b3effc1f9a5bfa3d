"""Compatibility rules on statements that write rows."""

from collections.abc import Iterator
from typing import Any

from sqlglot import exp

from abreast.core.schema import sql_ast
from abreast.core.schema.context import REMEDY_CONTRACT_LATER, SchemaContext, Violation, lock_violation
from abreast.core.schema.migration_outline import MigrationOutline


def truncate(statement: Any, context: SchemaContext, _: MigrationOutline) -> Iterator[Violation]:  # noqa: ANN401
    """Yield the violations of a TRUNCATE."""
    for table in statement.expressions:
        if context.is_used(sql_ast.normalized_name(table)):
            yield f"all rows of {sql_ast.normalized_name(table)} are taken away", REMEDY_CONTRACT_LATER, False


def delete(statement: Any, context: SchemaContext, _: MigrationOutline) -> Iterator[Violation]:  # noqa: ANN401
    """Yield the violations of a DELETE: the running version loses rows, whichever they are."""
    table = sql_ast.normalized_name(statement.this)
    if context.is_used(table):
        which = "rows" if statement.args.get("where") else "all rows"
        yield f"{which} of {table} are taken away", REMEDY_CONTRACT_LATER, False


def update(statement: Any, context: SchemaContext, outline: MigrationOutline) -> Iterator[Violation]:  # noqa: ANN401
    """Yield the violations of an UPDATE."""
    table = sql_ast.normalized_name(statement.this)
    if context.is_large(table) and _writes_every_row(statement, table, outline):
        yield lock_violation(
            context, f"every row of {table} is written", table, "fill it in parts, outside of the migration"
        )


def _writes_every_row(statement: Any, table: str, outline: MigrationOutline) -> bool:  # noqa: ANN401
    """Whether an UPDATE has no condition but joins, and that a column which the migration adds is empty."""
    source = statement.args.get("from_")
    if source is not None and (isinstance(source.this, exp.Values) or source.find(exp.Limit, exp.Values)):
        return False
    condition = statement.args.get("where")
    parts = (
        condition.this.flatten()
        if condition and isinstance(condition.this, exp.And)
        else [condition and condition.this]
    )
    return all(_is_no_restriction(part, table, outline, has_source=source is not None) for part in parts)


def _is_no_restriction(part: Any, table: str, outline: MigrationOutline, *, has_source: bool) -> bool:  # noqa: ANN401
    if part is None or (isinstance(part, exp.Boolean) and part.this):
        return True
    if isinstance(part, exp.EQ):
        return has_source and all(side.find(exp.Column) for side in (part.this, part.expression))
    if isinstance(part, exp.Is) and isinstance(part.expression, exp.Null):
        added = outline.columns.get((table, part.this.name.casefold()))
        return added is not None and sql_ast.column_default(added) is None
    return False


def insert(statement: Any, context: SchemaContext, _: MigrationOutline) -> Iterator[Violation]:  # noqa: ANN401
    """Yield the violations of an INSERT: SQLite lets nobody else write while it copies."""
    for source in statement.find_all(exp.From):
        name = sql_ast.normalized_name(source.this)
        table = context.renamed.get(name, name)
        if context.engine == "sqlite" and context.is_large(table):
            yield lock_violation(
                context, f"every row of {table} is copied", table, "copy it in parts, outside of the migration"
            )


def merge(statement: Any, context: SchemaContext, _: MigrationOutline) -> Iterator[Violation]:  # noqa: ANN401
    """Yield the violations of a MERGE."""
    table = sql_ast.normalized_name(statement.this)
    if context.is_used(table) and any(
        when.args["then"].name.upper() == "DELETE" for when in statement.args["whens"].expressions
    ):
        yield f"rows of {table} are taken away", REMEDY_CONTRACT_LATER, False
