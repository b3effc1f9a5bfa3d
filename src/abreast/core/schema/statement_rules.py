"""Compatibility rules on statements that the parser understands."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlglot import exp

from abreast.core.schema import row_rules, sql_ast
from abreast.core.schema.alter_rules import alter_action, lost_key
from abreast.core.schema.context import (
    REMEDY_CONTRACT_LATER,
    SchemaContext,
    Violation,
    index_remedy,
    lock_violation,
)
from abreast.core.schema.migration_outline import MigrationOutline


def syntax_violations(statement: Any, context: SchemaContext, outline: MigrationOutline) -> Iterator[Violation]:  # noqa: ANN401
    """Yield the violations of a parsed statement of a migration."""
    if look := _RULES.get(type(statement).__name__):
        yield from look(statement, context, outline)


def _create(statement: Any, context: SchemaContext, outline: MigrationOutline) -> Iterator[Violation]:  # noqa: ANN401
    if statement.kind == "TABLE":
        context.new_tables.setdefault(
            sql_ast.normalized_name(sql_ast.created_object(statement)), sql_ast.created_columns(statement)
        )
    elif statement.kind == "INDEX":
        table = sql_ast.normalized_name(statement.this.args.get("table"))
        is_there = statement.args.get("exists") and f"index {statement.this.name}" in context.rules(table)
        is_cheap = is_there or table in outline.made or statement.args.get("concurrently")
        if context.is_large(table) and not is_cheap:
            yield lock_violation(context, f"an index on {table}", table, index_remedy(context))


def _drop(statement: Any, context: SchemaContext, outline: MigrationOutline) -> Iterator[Violation]:  # noqa: ANN401
    kind = str(statement.args.get("kind")).lower()
    for target in sql_ast.dropped_objects(statement):
        name = sql_ast.normalized_name(target)
        if kind in {"index", "constraint"}:
            yield from lost_key(name, context, outline)
        elif _is_missed(kind, name, statement, context, outline):
            yield f"the {kind} {name.rstrip('.')} is dropped", REMEDY_CONTRACT_LATER, False


def _is_missed(
    kind: str,
    name: str,
    statement: Any,  # noqa: ANN401
    context: SchemaContext,
    outline: MigrationOutline,
) -> bool:
    """Whether the running version would miss what a DROP drops."""
    if kind in {"table", "view"}:
        return context.is_used(name) and name not in outline.replaced
    if kind == "trigger":
        table = statement.args.get("cluster")
        on = sql_ast.normalized_name(table.this) if table is not None else ""
        return context.may_have_trigger(name, on) and on not in outline.replaced and not outline.creates(kind, name)
    if kind == "schema":
        return context.has_schema(name.rstrip("."))
    if kind in {"function", "procedure", "aggregate"}:
        is_called = statement.args.get("cascade") or not context.is_trigger_function(name)
        return context.may_have("function", name) and bool(is_called) and not outline.creates("function", name)
    if kind in {"type", "domain", "sequence"}:
        kind = "type" if kind == "domain" else kind
        return context.may_have(kind, name) and not outline.creates(kind, name)
    return True


def _alter(statement: Any, context: SchemaContext, outline: MigrationOutline) -> Iterator[Violation]:  # noqa: ANN401
    table = sql_ast.normalized_name(statement.this)
    kind = statement.args.get("kind")
    if kind in {"INDEX", "SEQUENCE"}:
        return
    if to := sql_ast.renamed_to(statement):
        if context.is_used(table) and table not in outline.replaced:
            yield f"the {str(kind).lower()} {table} is renamed to {to}", "leave a view of the old name behind", False
        context.new_tables[to] = context.new_tables.pop(table, {})
        context.renamed[to] = table
        return
    if not context.is_used(table):
        return
    for action in statement.args.get("actions") or ():
        yield from alter_action(action, statement, table, context, outline)


def _revoke(statement: Any, _: SchemaContext, __: MigrationOutline) -> Iterator[Violation]:  # noqa: ANN401
    yield (
        f"a right is taken away on {sql_ast.normalized_name(statement.args.get('securable'))}",
        REMEDY_CONTRACT_LATER,
        False,
    )


_RULES: Mapping[str, Callable[[Any, SchemaContext, MigrationOutline], Iterator[Violation]]] = {
    "Create": _create,
    "Drop": _drop,
    "Alter": _alter,
    "TruncateTable": row_rules.truncate,
    "Delete": row_rules.delete,
    "Update": row_rules.update,
    "Insert": row_rules.insert,
    "Merge": row_rules.merge,
    "Revoke": _revoke,
}


_HARMLESS = frozenset(
    {
        "Analyze", "Attach", "Comment", "Commit", "Copy", "Detach", "Except", "Grant", "Intersect", "Pragma",
        "Rollback", "Select", "Semicolon", "Set", "Subquery", "Transaction", "Union", "Values",
    }
)  # fmt: skip
"""Statements that remove nothing."""
_ONLY_TOKENS = (exp.AlterSet,)


def is_understood(statement: Any) -> bool:  # noqa: ANN401
    """Whether the parser understands a statement. Of all others it has only the tokens."""
    if isinstance(statement, exp.Alter) and any(
        isinstance(each, _ONLY_TOKENS) for each in statement.args.get("actions") or ()
    ):
        return False
    return type(statement).__name__ in _RULES or type(statement).__name__ in _HARMLESS
