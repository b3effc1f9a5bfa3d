"""What a migration as a whole creates and restores, by which its single statements are judged."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlglot import exp

from abreast.core.schema import sql_ast
from abreast.core.schema.context import SchemaContext
from abreast.core.schema.sql_statements import normalized_tokens
from abreast.core.schema.tables import Table


class Statement(NamedTuple):
    """A statement of a migration. ``parsed`` is its syntax tree, None for what the parser does not understand."""

    line: int
    text: str
    parsed: Any


@dataclass(slots=True)
class MigrationOutline:
    """What the statements of a migration do together.

    ``replaced``: tables and views that it drops or renames and creates again, with their new columns and keys, None if
    those are unknown. ``removed_at``: the lines where they are removed. ``created``: other objects by kind and name.
    ``defaults``: columns that get a default. ``columns``: those added to existing tables. ``unverified``: constraints
    that it adds NOT VALID, with their tables. ``validated``: those that it validates. ``loaded``: new tables, and
    whether they get all rows of another one. ``made``: tables and views that are new, whatever had their names.
    ``keys``: unique keys that it adds, as rules of the table.
    """

    in_transaction: bool
    replaced: dict[str, Table | None] = field(default_factory=dict)
    removed_at: dict[str, int] = field(default_factory=dict)
    created: set[tuple[str, str]] = field(default_factory=set)
    defaults: set[tuple[str, str]] = field(default_factory=set)
    columns: dict[tuple[str, str], Any] = field(default_factory=dict)
    unverified: dict[str, str] = field(default_factory=dict)
    loaded: dict[str, bool] = field(default_factory=dict)
    validated: set[str] = field(default_factory=set)
    volatile_functions: set[str] = field(default_factory=set)
    enabled_triggers: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    keys: dict[str, dict[str, str]] = field(default_factory=dict)

    def creates(self, kind: str, name: str) -> bool:
        """Whether the migration creates an object of this kind and name, in any schema."""
        return (kind, name.rpartition(".")[2].casefold()) in self.created


def outline_migration(
    statements: Sequence[Statement], context: SchemaContext, *, in_transaction: bool
) -> MigrationOutline:
    """Return what the statements do together."""
    outline = MigrationOutline(in_transaction)
    created: dict[str, Table | None] = {}
    for statement in statements:
        if statement.parsed is None or isinstance(statement.parsed, exp.Command):
            _note_tokens(normalized_tokens(statement.text, context.engine), outline)
        elif isinstance(statement.parsed, exp.Drop):
            _note_drop(statement, outline)
        elif isinstance(statement.parsed, exp.Create):
            _note_create(statement.parsed, outline, created)
            _note_volatility(statement, outline)
        elif isinstance(statement.parsed, exp.Alter):
            _note_alter(statement, outline, created, context)
        elif isinstance(statement.parsed, exp.Insert):
            _note_insert(statement.parsed, outline)
    outline.replaced = {
        name: _with_keys(created[name], outline.keys.get(name, {}))
        for name in outline.removed_at.keys() & created.keys()
    }
    outline.made |= outline.replaced.keys()
    return outline


def _with_keys(table: Table | None, keys: dict[str, str]) -> Table | None:
    return table and Table(table.columns, {**table.rules, **keys})


def _note_drop(statement: Statement, outline: MigrationOutline) -> None:
    if statement.parsed.args.get("kind") in {"TABLE", "VIEW"}:
        for target in sql_ast.dropped_objects(statement.parsed):
            outline.removed_at.setdefault(sql_ast.normalized_name(target), statement.line)


_CREATED_KINDS = {"FUNCTION": "function", "PROCEDURE": "function", "TRIGGER": "trigger", "TYPE": "type",
                  "SEQUENCE": "sequence", "POLICY": "policy", "AGGREGATE": "function", "DOMAIN": "type",
                  "SCHEMA": "schema"}  # fmt: skip


def _note_create(parsed: Any, outline: MigrationOutline, created: dict[str, Table | None]) -> None:  # noqa: ANN401
    name = sql_ast.normalized_name(sql_ast.created_object(parsed))
    if parsed.kind in {"TABLE", "VIEW"}:
        if not parsed.args.get("exists") and not parsed.args.get("replace"):
            outline.made.add(name)
        created[name] = _created_table(parsed) if parsed.kind == "TABLE" else None
    elif parsed.kind == "INDEX" and parsed.args.get("unique"):
        table = sql_ast.normalized_name(parsed.this.args.get("table"))
        outline.keys.setdefault(table, {})[f"index {parsed.this.name}"] = sql_ast.unique_index_key(parsed)
    elif parsed.kind in _CREATED_KINDS:
        called = parsed.this.name if parsed.kind == "TRIGGER" else sql_ast.function_name(parsed)
        outline.created.add((_CREATED_KINDS[parsed.kind], called.rpartition(".")[2].casefold()))


def _note_volatility(statement: Statement, outline: MigrationOutline) -> None:
    if statement.parsed.kind == "FUNCTION" and not re.search(r"\b(IMMUTABLE|STABLE)\b", statement.text, re.IGNORECASE):
        outline.volatile_functions.add(sql_ast.function_name(statement.parsed))


def _created_table(parsed: Any) -> Table | None:  # noqa: ANN401
    """Return the columns and keys of a CREATE TABLE that lists them."""
    if not isinstance(parsed.this, exp.Schema):
        return None
    return Table(sql_ast.created_columns(parsed), sql_ast.created_keys(parsed.this))


def _note_alter(
    statement: Statement, outline: MigrationOutline, created: dict[str, Table | None], context: SchemaContext
) -> None:
    parsed = statement.parsed
    table = sql_ast.normalized_name(parsed.this)
    if to := sql_ast.renamed_to(parsed):
        outline.removed_at.setdefault(table, statement.line)
        new = context.new_tables.get(table)
        created[to] = created.get(table, Table(new) if new is not None else None)
        if table in outline.loaded:
            outline.loaded[to] = outline.loaded[table]
        return
    for action in parsed.args.get("actions") or ():
        if isinstance(action, exp.ColumnDef):
            outline.columns[table, action.name.casefold()] = action
        elif isinstance(action, exp.AlterColumn) and action.args.get("default") is not None:
            outline.defaults.add((table, sql_ast.normalized_name(action)))
        elif isinstance(action, exp.AddConstraint):
            keys = sql_ast.created_keys(action)
            outline.keys.setdefault(table, {}).update(keys)
            if parsed.args.get("not_valid"):
                outline.unverified |= {one.name.casefold(): table for one in action.find_all(exp.Constraint)}


def _note_insert(parsed: Any, outline: MigrationOutline) -> None:  # noqa: ANN401
    target = parsed.this.this if isinstance(parsed.this, exp.Schema) else parsed.this
    select = parsed.args.get("expression")
    if isinstance(select, exp.Select) and select.args.get("from_"):
        name = sql_ast.normalized_name(target)
        outline.loaded[name] = outline.loaded.get(name, False) or not sql_ast.is_restricted(select)


def _note_tokens(tokens: Sequence[str], outline: MigrationOutline) -> None:
    words = [word.strip('"') for word in tokens]
    if words[:1] == ["CREATE"]:
        at = next((at for at, word in enumerate(words[1:5], 1) if word in _CREATED_KINDS), 0)
        if at and (name := _name_at([word for word in words[at + 1 :] if word not in {"IF", "NOT", "EXISTS"}])):
            outline.created.add((_CREATED_KINDS[words[at]], name))
            if words[at] == "FUNCTION" and not {"IMMUTABLE", "STABLE"} & set(words):
                outline.volatile_functions.add(name)
    elif words[:2] == ["ALTER", "TYPE"] and "TO" in words:
        outline.created.add(("type", _name_at(words[words.index("TO") + 1 :])))
    elif words[:2] == ["ALTER", "TABLE"]:
        _note_alter_tokens(words, outline)


def _note_alter_tokens(words: Sequence[str], outline: MigrationOutline) -> None:
    rest = [word for word in words[2:] if word not in {"IF", "EXISTS", "ONLY"}]
    table = _name_at(rest)
    text = " ".join(rest)
    if "ENABLE" in rest and "TRIGGER" in rest:
        outline.enabled_triggers.add(table)
    outline.validated |= {name.casefold() for name in re.findall(r"VALIDATE CONSTRAINT (\S+)", text)}
    if "VALID" in rest:
        outline.unverified |= {name.casefold(): table for name in re.findall(r"ADD CONSTRAINT (\S+)", text)}


def _name_at(words: Sequence[str]) -> str:
    """Return the name at the start, without its schema."""
    rest = list(words)
    while rest[1:2] == ["."]:
        rest = rest[2:]
    return rest[0].casefold() if rest else ""
