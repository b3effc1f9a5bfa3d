"""Compatibility rules on the actions of ALTER TABLE that the parser understands."""

import re
from collections.abc import Iterator
from typing import Any

from sqlglot import exp
from sqlglot.errors import ParseError

from abreast.core.schema import sql_ast
from abreast.core.schema.context import (
    REMEDY_ADD_BESIDE,
    REMEDY_CONTRACT_LATER,
    SchemaContext,
    Violation,
    lock_violation,
)
from abreast.core.schema.migration_outline import MigrationOutline
from abreast.core.schema.tables import is_widening, unique_keys

_VOLATILE = frozenset(
    {
        "random", "random_normal", "gen_random_uuid", "uuidv4", "uuidv7", "clock_timestamp", "timeofday", "nextval",
        "setval", "currval", "lastval", "set_config", "uuid_generate_v1", "uuid_generate_v1mc", "uuid_generate_v4",
        "gen_random_bytes", "gen_salt",
    }
)  # fmt: skip
"""Volatile functions of PostgreSQL (pg_proc.provolatile) and of its extensions that can stand in a default."""
_PARSED_AS = {"Rand": "random", "Uuid": "gen_random_uuid", "Randn": "random_normal", "NextValueFor": "nextval"}


def alter_action(
    action: Any,  # noqa: ANN401
    statement: Any,  # noqa: ANN401
    table: str,
    context: SchemaContext,
    outline: MigrationOutline,
) -> Iterator[Violation]:
    """Yield the violations of an action on a table that the running version uses."""
    if isinstance(action, exp.ColumnDef):
        yield from _added_column(action, table, context, outline)
    elif isinstance(action, exp.Drop) and action.args.get("kind") == "COLUMN":
        name = sql_ast.normalized_name(sql_ast.dropped_objects(action)[0])
        yield f"the column {table}.{name} is dropped", REMEDY_CONTRACT_LATER, False
    elif isinstance(action, exp.Drop):
        for target in sql_ast.dropped_objects(action):
            yield from lost_key(target.name, context, outline, table)
    elif isinstance(action, exp.RenameColumn | exp.AlterRename):
        yield f"the column {table}.{sql_ast.normalized_name(action.this)} is renamed", REMEDY_ADD_BESIDE, False
    elif isinstance(action, exp.AlterColumn):
        yield from _altered_column(action, table, context, outline)
    elif isinstance(action, exp.AddConstraint):
        if context.is_large(table) and table not in outline.made and not statement.args.get("not_valid"):
            remedy = "add it NOT VALID, and VALIDATE CONSTRAINT in another file (a unique one by an index CONCURRENTLY)"
            yield lock_violation(context, f"a constraint on {table}", table, remedy)
    else:
        yield f"{type(action).__name__} of {table} is not understood", "a person who looks at it", False


def lost_key(name: str, context: SchemaContext, outline: MigrationOutline, table: str = "") -> Iterator[Violation]:
    """Yield the violation of dropping the unique index or constraint ``name``, unless the migration makes it again."""
    for owner, key in context.key_of(name):
        bare = owner.rpartition(".")[2]
        if table and bare != table.rpartition(".")[2]:
            continue
        again = {
            rule: text
            for made, keys in outline.keys.items()
            if made.rpartition(".")[2] == bare
            for rule, text in keys.items()
        }
        if bare not in outline.replaced and key not in unique_keys(again):
            yield (
                f"{owner} has no unique key ({key}) any more: INSERT … ON CONFLICT fails",
                REMEDY_CONTRACT_LATER,
                False,
            )


def _added_column(
    column: Any,  # noqa: ANN401
    table: str,
    context: SchemaContext,
    outline: MigrationOutline,
) -> Iterator[Violation]:
    name = f"{table}.{sql_ast.normalized_name(column)}"
    default = sql_ast.column_default(column)
    kind = column.args.get("kind")
    by_itself = isinstance(kind, exp.DataType) and "SERIAL" in kind.this.name
    generated = sql_ast.has_constraint(column, exp.ComputedColumnConstraint, exp.GeneratedAsIdentityColumnConstraint)
    needed = sql_ast.is_not_null(column) or sql_ast.has_constraint(column, exp.PrimaryKeyColumnConstraint)
    if needed and (default is None or isinstance(default, exp.Null)) and not (by_itself or generated):
        yield (
            f"the new column {name} is NOT NULL without a default",
            "give it a default, or add it without NOT NULL",
            False,
        )
    if context.engine != "postgresql" or not context.is_large(table) or table in outline.made:
        return
    if by_itself or generated or (default is not None and _is_volatile(default, context, outline)):
        yield lock_violation(context, f"the new column {name}", table, "add it empty, and fill it in parts")
    if sql_ast.has_constraint(column, exp.UniqueColumnConstraint, exp.PrimaryKeyColumnConstraint):
        remedy = "add it without, and CREATE UNIQUE INDEX CONCURRENTLY, in a file with -- no-transaction"
        yield lock_violation(context, f"the unique index of the new column {name}", table, remedy)
    # PostgreSQL checks no foreign key of a new column that is empty (parse_utilcmd.c, skipValidation).
    is_checked = sql_ast.has_constraint(column, exp.CheckColumnConstraint)
    if is_checked or (default is not None and sql_ast.has_constraint(column, exp.Reference)):
        remedy = "add it without, then the constraint NOT VALID, and VALIDATE CONSTRAINT in another file"
        yield lock_violation(context, f"the constraint of the new column {name}", table, remedy)


def _is_volatile(value: Any, context: SchemaContext, outline: MigrationOutline) -> bool:  # noqa: ANN401
    """Whether each row gets its own value, which rewrites the whole table."""
    for node in value.walk():
        if isinstance(node, exp.Anonymous):
            name = node.name.casefold()
            is_own = name in outline.volatile_functions or (name not in _STEADY and context.is_volatile(name))
            if name in _VOLATILE or is_own:
                return True
        elif _PARSED_AS.get(type(node).__name__) in _VOLATILE:
            return True
    return False


_STEADY = frozenset(
    {
        "now", "transaction_timestamp", "statement_timestamp", "current_database", "current_setting", "version",
        "make_interval", "make_date", "timezone", "jsonb_build_object", "jsonb_build_array", "to_jsonb", "to_tsvector",
        "digest", "decode", "encode", "pg_backend_pid", "age", "format", "md5", "sha256", "lower", "upper",
    }
)  # fmt: skip
"""Functions that return one value in a statement, for a database that does not tell its own functions."""


def _altered_column(
    action: Any,  # noqa: ANN401
    table: str,
    context: SchemaContext,
    outline: MigrationOutline,
) -> Iterator[Violation]:
    name = sql_ast.normalized_name(action)
    full, known = f"{table}.{name}", context.column(table, name)
    if to := action.args.get("dtype"):
        is_other = outline.creates("type", to.sql(dialect="postgres").strip('"'))
        if is_other or not known or not _keeps_type(known.type, to):
            yield f"the type of {full} is changed to {to.sql(dialect='postgres')}", REMEDY_ADD_BESIDE, False
        elif known.type.casefold() != to.sql(dialect="postgres").casefold() and context.is_large(table):
            yield from _checked_again(table, name, context)
    elif action.args.get("allow_null") is False:
        if not (known and not known.nullable) and not _is_checked_not_null(table, name, context, outline):
            yield f"{full} becomes NOT NULL", "a default, and a CHECK (… IS NOT NULL) NOT VALID first", False
    elif action.args.get("drop") and not action.args.get("allow_null") and (table, name) not in outline.defaults:
        added = outline.columns.get((table, name))
        if added is None or sql_ast.is_not_null(added):
            yield f"the default of {full} is dropped", REMEDY_CONTRACT_LATER, False


def _keeps_type(before: str, to: Any) -> bool:  # noqa: ANN401
    try:
        return bool(exp.DataType.build(before, dialect="postgres") == to) or is_widening(
            before, to.sql(dialect="postgres")
        )
    except ParseError:
        return is_widening(before, to.sql(dialect="postgres"))


def _checked_again(table: str, column: str, context: SchemaContext) -> Iterator[Violation]:
    """Yield the violation of what reads the whole table when a type changes, even if it keeps its values.

    PostgreSQL builds indexes on expressions again, and checks the CHECK constraints of the column.
    """
    for rule, text in context.rules(table).items():
        body = text.partition(" USING ")[2].partition("(")[2] if rule.startswith("index ") else text
        is_read = re.search(r"\(| WHERE ", body) if rule.startswith("index ") else text.startswith("CHECK")
        if is_read and not text.endswith("NOT VALID") and re.search(rf"\b{re.escape(column)}\b", body, re.IGNORECASE):
            yield lock_violation(context, f"reading {table} again for its {rule}", table, REMEDY_ADD_BESIDE)
            return


def _is_checked_not_null(table: str, column: str, context: SchemaContext, outline: MigrationOutline) -> bool:
    """Whether a valid CHECK constraint refuses NULL already, so that nothing is read (ALTER TABLE, SET NOT NULL)."""
    wanted = re.compile(rf'CHECK \(\(+"?{re.escape(column)}"? IS NOT NULL\)+', re.IGNORECASE)
    return any(
        wanted.match(text)
        and (not text.endswith("NOT VALID") or rule.partition(" ")[2].casefold() in outline.validated)
        for rule, text in context.rules(table).items()
    )
