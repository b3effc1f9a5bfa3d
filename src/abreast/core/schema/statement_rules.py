"""Compatibility rules on statements that the parser understands."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlglot import exp
from sqlglot.errors import ParseError

from abreast.core.schema import sql_ast
from abreast.core.schema.context import (
    REMEDY_ADD_BESIDE,
    REMEDY_CONTRACT_LATER,
    SchemaContext,
    Violation,
    index_remedy,
    lock_violation,
)


def syntax_violations(statement: Any, context: SchemaContext, replaced: Mapping[str, object]) -> Iterator[Violation]:  # noqa: ANN401
    """Yield the violations of a parsed statement. ``replaced``: tables that the migration drops and creates again."""
    if look := _RULES.get(type(statement).__name__):
        yield from look(statement, context, replaced)


def _create(statement: Any, context: SchemaContext, _: Mapping[str, object]) -> Iterator[Violation]:  # noqa: ANN401
    if statement.kind == "TABLE":
        context.new_tables.setdefault(
            sql_ast.normalized_name(sql_ast.created_object(statement)), sql_ast.created_columns(statement)
        )
    elif statement.kind == "INDEX":
        table = sql_ast.normalized_name(statement.this.args.get("table"))
        if context.is_large(table) and not statement.args.get("concurrently"):
            yield lock_violation(context, f"an index on {table}", table, index_remedy(context))


def _drop(statement: Any, context: SchemaContext, replaced: Mapping[str, object]) -> Iterator[Violation]:  # noqa: ANN401
    kind = statement.args.get("kind")
    if kind in {"INDEX", "TRIGGER", "CONSTRAINT"}:
        return
    for target in sql_ast.dropped_objects(statement):
        name = sql_ast.normalized_name(target)
        if kind in {"TABLE", "VIEW"} and (not context.is_used(name) or name in replaced):
            continue
        yield f"the {str(kind).lower()} {name} is dropped", REMEDY_CONTRACT_LATER, False


def _alter(statement: Any, context: SchemaContext, replaced: Mapping[str, object]) -> Iterator[Violation]:  # noqa: ANN401
    table = sql_ast.normalized_name(statement.this)
    kind = statement.args.get("kind")
    if kind in {"INDEX", "SEQUENCE"}:
        return
    if to := sql_ast.renamed_to(statement):
        if context.is_used(table) and table not in replaced:
            yield f"the {str(kind).lower()} {table} is renamed to {to}", "leave a view of the old name behind", False
        context.new_tables[to] = context.new_tables.pop(table, {})
        return
    if not context.is_used(table):
        return
    for action in statement.args.get("actions") or ():
        yield from _alter_action(action, statement, table, context)


def _alter_action(action: Any, statement: Any, table: str, context: SchemaContext) -> Iterator[Violation]:  # noqa: ANN401
    if isinstance(action, exp.ColumnDef):
        yield from _added_column(action, table, context)
    elif isinstance(action, exp.Drop):
        if action.args.get("kind") == "COLUMN":
            yield (
                f"the column {table}.{sql_ast.normalized_name(sql_ast.dropped_objects(action)[0])} is dropped",
                REMEDY_CONTRACT_LATER,
                False,
            )
    elif isinstance(action, exp.RenameColumn | exp.AlterRename):
        yield f"the column {table}.{sql_ast.normalized_name(action.this)} is renamed", REMEDY_ADD_BESIDE, False
    elif isinstance(action, exp.AlterColumn):
        yield from _altered_column(action, table, context)
    elif isinstance(action, exp.AddConstraint):
        if context.is_large(table) and not statement.args.get("not_valid"):
            remedy = "add it NOT VALID, and VALIDATE CONSTRAINT in another file (a unique one by an index CONCURRENTLY)"
            yield lock_violation(context, f"a constraint on {table}", table, remedy)
    elif not isinstance(action, exp.AlterSet):
        yield f"{type(action).__name__} of {table} is not understood", "a person who looks at it", False


def _added_column(column: Any, table: str, context: SchemaContext) -> Iterator[Violation]:  # noqa: ANN401
    kinds = [constraint.args.get("kind") for constraint in column.args.get("constraints") or ()]
    default = next((kind for kind in kinds if isinstance(kind, exp.DefaultColumnConstraint)), None)
    by_itself = isinstance(column.args.get("kind"), exp.DataType) and "SERIAL" in column.args["kind"].this.name
    generated = any(
        isinstance(kind, exp.ComputedColumnConstraint | exp.GeneratedAsIdentityColumnConstraint) for kind in kinds
    )
    needed = any(
        isinstance(kind, exp.NotNullColumnConstraint) and not kind.args.get("allow_null") for kind in kinds
    ) or any(isinstance(kind, exp.PrimaryKeyColumnConstraint) for kind in kinds)
    name = f"{table}.{sql_ast.normalized_name(column)}"
    if needed and (default is None or isinstance(default.this, exp.Null)) and not (by_itself or generated):
        yield (
            f"the new column {name} is NOT NULL without a default",
            "give it a default, or add it without NOT NULL",
            False,
        )
    rewrites = by_itself or generated or (default is not None and _is_volatile(default.this))
    if rewrites and context.is_large(table) and context.engine == "postgresql":
        yield lock_violation(context, f"the new column {name}", table, "add it empty, and fill it in parts")


def _is_volatile(value: Any) -> bool:  # noqa: ANN401
    """Whether each row gets its own value, which rewrites the whole table."""
    steady = (exp.CurrentTimestamp, exp.CurrentDate, exp.CurrentTime, exp.CurrentUser, exp.Cast, exp.Array)
    return any(isinstance(node, exp.Func) and not isinstance(node, steady) for node in value.walk())


def _altered_column(action: Any, table: str, context: SchemaContext) -> Iterator[Violation]:  # noqa: ANN401
    name = sql_ast.normalized_name(action)
    full = f"{table}.{name}"
    if to := action.args.get("dtype"):
        known = context.tables[table].columns.get(name) if table in context.tables else None
        if not _is_widening(known.type if known else "", to):
            yield f"the type of {full} is changed to {to.sql(dialect='postgres')}", REMEDY_ADD_BESIDE, False
    elif action.args.get("allow_null") is False:
        yield f"{full} becomes NOT NULL", "a default, and a CHECK (… IS NOT NULL) NOT VALID first", False
    elif action.args.get("drop") and not action.args.get("allow_null"):
        yield f"the default of {full} is dropped", REMEDY_CONTRACT_LATER, False


def _is_widening(before: str, to: Any) -> bool:  # noqa: ANN401
    """Whether a type change keeps all values without rewriting the table (PostgreSQL, ALTER TABLE, Notes)."""
    try:
        old = exp.DataType.build(before, dialect="postgres") if before else None
    except ParseError:
        return False
    if old is None:
        return False
    if old == to:
        return True
    texts = {"VARCHAR", "TEXT"}
    sizes = [[int(part.name) for part in kind.expressions if part.name.isdigit()] for kind in (old, to)]
    if old.this.name in texts and to.this.name in texts:
        return not sizes[1] or bool(sizes[0] and sizes[1][0] >= sizes[0][0])
    if old.this.name == to.this.name == "DECIMAL":
        scales = [size[1] if len(size) > 1 else 0 for size in sizes]
        return not sizes[1] or bool(sizes[0] and sizes[1][0] >= sizes[0][0] and scales[0] == scales[1])
    return False


def _truncate(statement: Any, context: SchemaContext, _: Mapping[str, object]) -> Iterator[Violation]:  # noqa: ANN401
    for table in statement.expressions:
        if context.is_used(sql_ast.normalized_name(table)):
            yield f"all rows of {sql_ast.normalized_name(table)} are taken away", REMEDY_CONTRACT_LATER, False


def _delete(statement: Any, context: SchemaContext, _: Mapping[str, object]) -> Iterator[Violation]:  # noqa: ANN401
    table = sql_ast.normalized_name(statement.this)
    if context.is_used(table) and not statement.args.get("where"):
        yield f"all rows of {table} are taken away", REMEDY_CONTRACT_LATER, False


def _update(statement: Any, context: SchemaContext, _: Mapping[str, object]) -> Iterator[Violation]:  # noqa: ANN401
    table = sql_ast.normalized_name(statement.this)
    if context.is_large(table) and not statement.args.get("where"):
        yield lock_violation(
            context, f"every row of {table} is written", table, "fill it in parts, outside of the migration"
        )


def _insert(statement: Any, context: SchemaContext, _: Mapping[str, object]) -> Iterator[Violation]:  # noqa: ANN401
    for source in statement.find_all(exp.From):
        table = sql_ast.normalized_name(source.this)
        if context.engine == "sqlite" and context.is_large(table):
            yield lock_violation(
                context, f"every row of {table} is copied", table, "copy it in parts, outside of the migration"
            )


def _merge(statement: Any, context: SchemaContext, _: Mapping[str, object]) -> Iterator[Violation]:  # noqa: ANN401
    table = sql_ast.normalized_name(statement.this)
    if context.is_used(table) and any(
        when.args["then"].name.upper() == "DELETE" for when in statement.args["whens"].expressions
    ):
        yield f"rows of {table} are taken away", REMEDY_CONTRACT_LATER, False


def _revoke(statement: Any, _: SchemaContext, __: Mapping[str, object]) -> Iterator[Violation]:  # noqa: ANN401
    yield (
        f"a right is taken away on {sql_ast.normalized_name(statement.args.get('securable'))}",
        REMEDY_CONTRACT_LATER,
        False,
    )


_RULES: Mapping[str, Callable[[Any, SchemaContext, Mapping[str, object]], Iterator[Violation]]] = {
    "Create": _create,
    "Drop": _drop,
    "Alter": _alter,
    "TruncateTable": _truncate,
    "Delete": _delete,
    "Update": _update,
    "Insert": _insert,
    "Merge": _merge,
    "Revoke": _revoke,
}


_HARMLESS = frozenset(
    {
        "Analyze", "Attach", "Comment", "Commit", "Copy", "Detach", "Except", "Grant", "Intersect", "Pragma",
        "Rollback", "Select", "Semicolon", "Set", "Subquery", "Transaction", "Union", "Values",
    }
)  # fmt: skip
"""Statements that remove nothing."""
KNOWN_STATEMENTS = frozenset({*_RULES, *_HARMLESS})
"""Statements that the parser understands. Of all others it has only the tokens."""
