"""Compatibility rules on the tokens of statements that the parser does not understand."""

from collections.abc import Iterator, Sequence

from abreast.core.schema.context import (
    LARGE_TABLE_ROWS,
    REMEDY_ADD_BESIDE,
    REMEDY_CONTRACT_LATER,
    SchemaContext,
    Violation,
    index_remedy,
    lock_violation,
)
from abreast.core.schema.sql_statements import normalized_tokens

_HARMLESS_PREFIXES = (
    ("CREATE",), ("REPLACE",), ("COMMENT",), ("SET",), ("RESET",), ("GRANT",), ("ANALYZE",), ("SELECT",), ("PRAGMA",),
    ("BEGIN",), ("COMMIT",), ("START",), ("SAVEPOINT",), ("RELEASE",), ("EXPLAIN",), ("NOTIFY",), ("SECURITY",),
    ("DROP", "POLICY"), ("DROP", "RULE"), ("DROP", "STATISTICS"), ("ALTER", "DEFAULT"), ("ALTER", "SYSTEM"),
    ("ALTER", "EXTENSION"), ("ALTER", "STATISTICS"), ("ALTER", "POLICY"), ("ALTER", "INDEX"), ("ALTER", "TRIGGER"),
    ("ALTER", "ROLE"), ("REFRESH", "MATERIALIZED", "VIEW", "CONCURRENTLY"), ("REINDEX",),
)  # fmt: skip
"""First tokens of statements that remove nothing."""

_HARMLESS_ALTER_ACTIONS = frozenset(
    {"VALIDATE", "OWNER", "CLUSTER", "ATTACH", "INHERIT", "REPLICA", "DISABLE", "FORCE", "NO"}
)
"""First tokens of ALTER TABLE actions that remove nothing."""

_CONSTRAINTS = frozenset({"EXCLUDE", "CHECK", "FOREIGN", "UNIQUE", "PRIMARY"})


def token_violations(text: str, context: SchemaContext) -> Iterator[Violation]:
    """Yield the violations of a statement. What is not understood is a violation."""
    tokens = normalized_tokens(text, context.engine)
    if tokens[:2] == ("VACUUM", "FULL") or tokens[:1] == ("CLUSTER",) or tokens[:1] == ("LOCK",):
        yield "the whole table is locked", "do it outside of the migration, or not at all", True
    elif tokens[:1] == ("VACUUM",):
        if context.engine == "sqlite" and max(context.rows.values(), default=0) >= LARGE_TABLE_ROWS:
            yield "VACUUM rewrites the whole database", "do it outside of the migration", True
    elif tokens[:2] == ("REFRESH", "MATERIALIZED") and "CONCURRENTLY" not in tokens:
        yield "who reads the view waits", "REFRESH MATERIALIZED VIEW CONCURRENTLY", True
    elif tokens[:1] == ("REINDEX",) and "CONCURRENTLY" not in tokens and context.engine == "postgresql":
        yield "who uses the table waits", "REINDEX … CONCURRENTLY", True
    elif tokens[:1] == ("CREATE",) and "INDEX" in tokens[:3]:
        yield from _create_index_violations(tokens, context)
    elif tokens[:3] == ("ALTER", "TABLE", "ALL"):
        yield "every table of a place is moved", "do it outside of the migration", True
    elif tokens[:2] == ("ALTER", "TABLE"):
        yield from _alter_table_violations(tokens, context)
    elif tokens[:2] in {("ALTER", "SEQUENCE"), ("ALTER", "TYPE"), ("ALTER", "VIEW"), ("ALTER", "FUNCTION")}:
        if {"RENAME", "DROP", "SCHEMA"} & set(tokens) or (tokens[1] == "TYPE" and "ALTER" in tokens[1:]):
            yield f"{' '.join(tokens[:3]).lower()} takes away what is there under its name", REMEDY_ADD_BESIDE, False
    elif tokens[:2] == ("ALTER", "DOMAIN") and not {"ADD", "SET"} & set(tokens):
        return
    elif not any(tokens[: len(known)] == known for known in _HARMLESS_PREFIXES):
        yield f"{' '.join(tokens[:3])} … is not understood", "a person who looks at it", False


def _alter_table_violations(tokens: Sequence[str], context: SchemaContext) -> Iterator[Violation]:
    table, rest = _split_table_name(tokens[2:])
    if not context.is_used(table):
        return
    for action in _split_actions(rest):
        yield from _alter_action_violations(action, table, context)


def _create_index_violations(tokens: Sequence[str], context: SchemaContext) -> Iterator[Violation]:
    table, _ = _split_table_name(tokens[tokens.index("ON") + 1 :]) if "ON" in tokens else ("", ())
    if context.is_large(table) and "CONCURRENTLY" not in tokens:
        yield lock_violation(context, f"an index on {table}", table, index_remedy(context))


def _split_table_name(tokens: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the table name at the start of the tokens, without its schema, and the tokens after it."""
    rest = [word for word in tokens if word not in {"IF", "EXISTS", "ONLY"}]
    while rest[1:2] == ["."]:
        rest = rest[2:]
    return (rest[0].strip('"').casefold() if rest else ""), rest[1:]


def _split_actions(tokens: Sequence[str]) -> Iterator[list[str]]:
    """Yield each action of an ALTER TABLE: the tokens between top-level commas."""
    action: list[str] = []
    depth = 0
    for word in tokens:
        depth += (word == "(") - (word == ")")
        if word == "," and not depth:
            yield action
            action = []
        else:
            action.append(word)
    yield action


def _alter_action_violations(action: Sequence[str], table: str, context: SchemaContext) -> Iterator[Violation]:
    verb, words_ = action[0] if action else "", set(action)
    if verb == "ADD" and words_ & _CONSTRAINTS and "COLUMN" not in words_:
        if context.is_large(table) and "VALID" not in words_ and not {"USING", "INDEX"} <= words_:
            yield lock_violation(
                context, f"a constraint on {table}", table, "add it NOT VALID, and validate it in another file"
            )
        return
    harmless = (
        verb in _HARMLESS_ALTER_ACTIONS
        or (verb in {"RENAME", "DROP"} and action[1:2] == ["CONSTRAINT"])
        or (verb == "ADD" and not ({"NOT", "NULL"} <= words_ and "DEFAULT" not in words_))
        or (
            verb == "ALTER"
            and ({"ADD", "IDENTITY"} <= words_ or bool({"STATISTICS", "STORAGE", "COMPRESSION"} & words_))
        )
        or (verb == "SET" and action[1:2] != ["SCHEMA"])
        or (verb == "ENABLE" and "TRIGGER" in words_)
    )
    if not harmless:
        what = " ".join(action[:3]).lower() or "what is done"
        yield (
            f"{what} on {table} takes away what the running version can do, or is not understood",
            REMEDY_CONTRACT_LATER,
            False,
        )
