"""What the running version could not live with: told from a migration's statements, before any of them runs.

The old version is still up while the new one's migration runs, so that what it reads and writes has to stay: expand
first (add what is new), move, and contract (take away what is old) in a later release. What would lock a large table
makes it stand still, which is as bad.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from abreast.core.schema import sql_ast, statement_rules, token_rules
from abreast.core.schema.context import SchemaContext, Violation
from abreast.core.schema.migration_files import Migration
from abreast.core.schema.sql_statements import DIALECTS, split_statements
from abreast.core.schema.tables import Column, Table, Tables, breaking_changes


@dataclass(frozen=True, slots=True)
class MigrationRisk:
    """One statement that breaks what runs, or makes it wait; ``remedy`` says what to do instead.

    ``wait``: it only makes it wait.
    """

    file: str
    line: int
    what: str
    remedy: str
    only_waits: bool = False

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}: {self.remedy}"


def find_risks(
    pending: Iterable[Migration], engine: str, tables: Tables, rows: Mapping[str, int]
) -> Sequence[MigrationRisk]:
    """Return what is risky in migrations that will run, in order, on ``tables`` with so many ``rows``.

    What cannot be understood is a risk too.
    """
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
    context = SchemaContext(engine, tables, rows)
    return [risk for migration in pending for risk in _migration_risks(migration, context)]


def _migration_risks(migration: Migration, context: SchemaContext) -> Iterator[MigrationRisk]:
    try:
        numbered_texts = list(split_statements(migration.up, context.engine))
    except ValueError as error:
        yield MigrationRisk(migration.name, migration.up.line, f"it cannot be read: {error}", "SQL of its engine")
        return
    statements = [(line, text, _parse_statement(text, context.engine)) for line, text in numbered_texts]
    replaced = _replaced_tables([one for _, _, one in statements], context)
    for line, text, one in statements:
        for what, remedy, wait in _statement_violations(one, text, context, replaced):
            if wait or not migration.contract_reason:
                yield MigrationRisk(migration.name, line, what, remedy, wait)
    for name, columns in replaced.items():
        if columns is not None and name in context.tables and not migration.contract_reason:
            before, after = (_normalized_table(one, context.engine) for one in (context.tables[name].columns, columns))
            for what in breaking_changes({name: before}, {name: after}):
                yield MigrationRisk(migration.name, migration.up.line, *_split_remedy(what))


def _normalized_table(columns: Mapping[str, Column], engine: str) -> Table:
    """Return a table with names and types written in one way, whoever wrote them."""
    from sqlglot import exp  # noqa: PLC0415
    from sqlglot.errors import ParseError  # noqa: PLC0415

    def type_(text: str) -> str:
        try:
            return exp.DataType.build(text, dialect=DIALECTS[engine]).sql() if text else ""
        except ParseError:
            return text

    return Table({name.casefold(): Column(type_(one.type), one.required) for name, one in columns.items()})


def _split_remedy(text: str) -> tuple[str, str]:
    what, _, remedy = text.partition(": ")
    return what, remedy


def _parse_statement(text: str, engine: str) -> Any:  # noqa: ANN401 (an expression of the parser, None where it cannot)
    from sqlglot import parse_one  # noqa: PLC0415 (slow, and only migrations need it)
    from sqlglot.errors import ParseError  # noqa: PLC0415

    try:
        return parse_one(text, read=DIALECTS[engine])
    except (ParseError, ValueError):
        return None


def _replaced_tables(statements: Sequence[Any], context: SchemaContext) -> dict[str, dict[str, Column] | None]:
    """Return tables that this migration takes away and puts back under the same name, with their columns then.

    So SQLite's tables are changed (https://sqlite.org/lang_altertable.html#otheralter), and so one is renamed behind a
    view that keeps its name; the columns of a view are not known: None.
    """
    from sqlglot import exp  # noqa: PLC0415

    removed: set[str] = set()
    created: dict[str, dict[str, Column] | None] = {}
    found: dict[str, dict[str, Column] | None] = {}
    for one in statements:
        if isinstance(one, exp.Drop) and one.args.get("kind") in {"TABLE", "VIEW"}:
            removed |= {sql_ast.normalized_name(table) for table in sql_ast.dropped_objects(one)}
        elif isinstance(one, exp.Create) and one.kind in {"TABLE", "VIEW"}:
            created[sql_ast.normalized_name(sql_ast.created_object(one))] = (
                sql_ast.created_columns(one) if one.kind == "TABLE" else None
            )
        elif isinstance(one, exp.Alter) and (to := sql_ast.renamed_to(one)):
            old = sql_ast.normalized_name(one.this)
            removed.add(old)
            created[to] = created.get(old, context.new_tables.get(old))
    for name in removed & created.keys():
        found[name] = created[name]
    return found


def _statement_violations(
    statement: Any,  # noqa: ANN401 (an expression of the parser)
    text: str,
    context: SchemaContext,
    replaced: Mapping[str, object],
) -> Iterator[Violation]:
    from sqlglot import exp  # noqa: PLC0415

    if statement is not None:
        for below in statement.find_all(exp.CTE):
            yield from statement_rules.syntax_violations(below.this, context, replaced)
    if type(statement).__name__ in statement_rules.KNOWN_STATEMENTS:
        yield from statement_rules.syntax_violations(statement, context, replaced)
    else:
        yield from token_rules.token_violations(text, context)
