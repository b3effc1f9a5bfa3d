"""Compatibility rules on the tokens of statements that the parser does not understand."""

from collections.abc import Iterator, Sequence

from abreast.core.schema.alter_rules import lost_key
from abreast.core.schema.context import (
    LARGE_TABLE_ROWS,
    REMEDY_ADD_BESIDE,
    REMEDY_CONTRACT_LATER,
    SchemaContext,
    Violation,
    index_remedy,
    lock_violation,
)
from abreast.core.schema.migration_outline import MigrationOutline
from abreast.core.schema.sql_statements import normalized_tokens

_HARMLESS_PREFIXES = (
    ("CREATE",), ("REPLACE",), ("COMMENT",), ("SET",), ("RESET",), ("GRANT",), ("ANALYZE",), ("SELECT",), ("PRAGMA",),
    ("BEGIN",), ("COMMIT",), ("START",), ("SAVEPOINT",), ("RELEASE",), ("EXPLAIN",), ("NOTIFY",), ("SECURITY",),
    ("END",), ("DROP", "STATISTICS"), ("ALTER", "DEFAULT"), ("ALTER", "SYSTEM"), ("ALTER", "EXTENSION"),
    ("ALTER", "STATISTICS"), ("ALTER", "INDEX"), ("ALTER", "TRIGGER"), ("ALTER", "ROLE"), ("ALTER", "PUBLICATION"),
)  # fmt: skip
"""First tokens of statements that remove nothing."""

_HARMLESS_ALTER_ACTIONS = frozenset({"OWNER", "CLUSTER", "ATTACH", "INHERIT", "REPLICA", "RESET"})
"""First tokens of ALTER TABLE actions that remove nothing."""

_REWRITING_SETTINGS = frozenset({"LOGGED", "UNLOGGED", "TABLESPACE", "ACCESS"})
"""What ALTER TABLE … SET changes by writing the whole table again."""

_CONSTRAINTS = frozenset({"EXCLUDE", "CHECK", "FOREIGN", "UNIQUE", "PRIMARY"})
_ALTERABLE = frozenset({("ALTER", "SEQUENCE"), ("ALTER", "TYPE"), ("ALTER", "VIEW"), ("ALTER", "FUNCTION"),
                        ("ALTER", "PROCEDURE"), ("ALTER", "MATERIALIZED"), ("ALTER", "SCHEMA")})  # fmt: skip
_MAINTENANCE = frozenset({"CLUSTER", "LOCK", "VACUUM", "REFRESH", "REINDEX"})


def token_violations(text: str, context: SchemaContext, outline: MigrationOutline) -> Iterator[Violation]:
    """Yield the violations of a statement. What is not understood is a violation."""
    tokens = normalized_tokens(text, context.engine)
    if tokens[:1] and tokens[0] in _MAINTENANCE:
        yield from _maintenance_violations(tokens, context)
    elif tokens[:1] == ("CREATE",) and "INDEX" in tokens[:3]:
        yield from _create_index_violations(tokens, context, outline)
    elif tokens[:3] == ("ALTER", "TABLE", "ALL"):
        yield "every table of a place is moved", "do it outside of the migration", True
    elif tokens[:2] == ("ALTER", "TABLE"):
        yield from _alter_table_violations(tokens, context, outline)
    elif {"POLICY", "RULE"} & set(tokens[1:4]):
        yield from _policy_violations(tokens, context, outline)
    elif tokens[:1] == ("DROP",) and tokens[1:2] != ("STATISTICS",):
        yield from _drop_violations(tokens, context, outline)
    elif tokens[:2] in _ALTERABLE:
        yield from _alter_object_violations(tokens, context, outline)
    elif not _is_harmless(tokens):
        yield f"{' '.join(tokens[:3])} … is not understood", "a person who looks at it", False


def _is_harmless(tokens: Sequence[str]) -> bool:
    if tokens[:2] == ("ALTER", "DOMAIN"):
        return not {"ADD", "SET"} & set(tokens)
    return any(tokens[: len(known)] == known for known in _HARMLESS_PREFIXES)


def _maintenance_violations(tokens: Sequence[str], context: SchemaContext) -> Iterator[Violation]:
    """Yield the violations of statements that rewrite or lock tables, and change nothing else."""
    if context.engine == "sqlite":
        if tokens[0] == "VACUUM" and max(context.rows.values(), default=0) >= LARGE_TABLE_ROWS:
            yield "VACUUM rewrites the whole database", "do it outside of the migration", True
    elif tokens[0] in {"CLUSTER", "LOCK"} or (tokens[0] == "VACUUM" and _is_on("FULL", tokens)):
        yield "the whole table is locked", "do it outside of the migration, or not at all", True
    elif tokens[0] == "REFRESH" and "CONCURRENTLY" not in tokens:
        yield "who reads the view waits", "REFRESH MATERIALIZED VIEW CONCURRENTLY", True
    elif tokens[0] == "REINDEX" and not _is_on("CONCURRENTLY", tokens):
        yield "who uses the table waits", "REINDEX … CONCURRENTLY", True


def _is_on(option: str, tokens: Sequence[str]) -> bool:
    """Whether an option is given, by its name alone or in parentheses, and is not switched off."""
    if option not in tokens:
        return False
    after = tokens[tokens.index(option) + 1 :][:1]
    return "(" not in tokens[: tokens.index(option)] or not set(after) & {"FALSE", "OFF", "0", "NO"}


def _policy_violations(tokens: Sequence[str], context: SchemaContext, outline: MigrationOutline) -> Iterator[Violation]:
    """Yield the violations of statements on row security's policies, and on rewrite rules."""
    kind = "POLICY" if "POLICY" in tokens[1:4] else "RULE"
    after = tokens.index(kind) + 1
    name = next((word for word in tokens[after:] if word not in {"IF", "EXISTS"}), "")
    preposition = "TO" if kind == "RULE" and tokens[0] == "CREATE" else "ON"
    table, _ = _split_table_name(tokens[tokens.index(preposition) + 1 :]) if preposition in tokens else ("", ())
    bare = name.strip('"').casefold()
    is_created = tokens[0] == "CREATE" and kind == "POLICY" and "RESTRICTIVE" not in tokens
    is_renamed = tokens[0] == "ALTER" and "RENAME" in tokens
    is_restored = tokens[0] == "DROP" and outline.creates("policy", bare)
    if context.is_used(table) and not (is_created or is_renamed or is_restored):
        verb = {"CREATE": "applies to the running version too", "DROP": "is dropped"}.get(tokens[0], "is changed")
        yield f"the {kind.lower()} {bare} of {table} {verb}", REMEDY_CONTRACT_LATER, False


def _drop_violations(tokens: Sequence[str], context: SchemaContext, outline: MigrationOutline) -> Iterator[Violation]:
    """Yield the violations of a DROP of several objects, or of a rare kind."""
    kind = "view" if tokens[1:3] == ("MATERIALIZED", "VIEW") else " ".join(tokens[1:2]).lower()
    rest = [word for word in tokens[2:] if word not in {"IF", "EXISTS", "CONCURRENTLY", "VIEW"}]
    for words in _split_actions(rest):
        name, _ = _split_table_name(words)
        if kind == "index":
            yield from lost_key(name, context, outline)
        elif kind in {"table", "view"}:
            if context.is_used(name) and name not in outline.replaced:
                yield f"the {kind} {name} is dropped", REMEDY_CONTRACT_LATER, False
        elif kind in {"function", "procedure", "routine", "aggregate"}:
            is_needed = "CASCADE" in tokens or not context.is_trigger_function(name)
            if is_needed and context.may_have("function", name) and not outline.creates("function", name):
                yield f"the {kind} {name} is dropped", REMEDY_CONTRACT_LATER, False
        elif kind not in {"type", "sequence"} or (context.may_have(kind, name) and not outline.creates(kind, name)):
            yield f"the {kind} {name} is dropped", REMEDY_CONTRACT_LATER, False


def _alter_object_violations(
    tokens: Sequence[str], context: SchemaContext, outline: MigrationOutline
) -> Iterator[Violation]:
    kind = tokens[1].lower()
    name, _ = _split_table_name([word for word in tokens[2:] if word not in {"VIEW", "IF", "EXISTS"}])
    is_changed = {"RENAME", "DROP", "SCHEMA"} & set(tokens[2:]) or (kind == "type" and "ALTER" in tokens[1:])
    kind_of = {"procedure": "function"}.get(kind, kind)
    if kind_of in {"sequence", "type", "function"}:
        is_used = context.may_have(kind_of, name) and not ("TO" in tokens and outline.creates(kind_of, name))
        is_used = is_used and not (kind_of == "function" and context.is_trigger_function(name))
    elif kind_of == "schema":
        is_used = context.has_schema(name)
    else:
        is_used = context.is_used(name) and name not in outline.replaced
    if is_changed and is_used:
        yield f"{' '.join(tokens[:3]).lower()} takes away what is there under its name", REMEDY_ADD_BESIDE, False


def _alter_table_violations(
    tokens: Sequence[str], context: SchemaContext, outline: MigrationOutline
) -> Iterator[Violation]:
    table, rest = _split_table_name(tokens[2:])
    if not context.is_used(table):
        return
    for action in _split_actions(rest):
        yield from _alter_action_violations(action, table, context, outline)


def _create_index_violations(
    tokens: Sequence[str], context: SchemaContext, outline: MigrationOutline
) -> Iterator[Violation]:
    table, _ = _split_table_name(tokens[tokens.index("ON") + 1 :]) if "ON" in tokens else ("", ())
    if context.is_large(table) and table not in outline.made and "CONCURRENTLY" not in tokens:
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


def _alter_action_violations(
    action: Sequence[str], table: str, context: SchemaContext, outline: MigrationOutline
) -> Iterator[Violation]:
    verb, words_ = action[0] if action else "", set(action)
    if verb == "ADD" and words_ & _CONSTRAINTS and action[1:2] != ["COLUMN"]:
        if context.is_large(table) and "VALID" not in words_ and not {"USING", "INDEX"} <= words_:
            yield lock_violation(
                context, f"a constraint on {table}", table, "add it NOT VALID, and validate it in another file"
            )
    elif verb == "VALIDATE":
        name = action[2].strip('"').casefold() if len(action) > 2 else ""
        if outline.in_transaction and name in outline.unverified and context.is_large(table):
            what = f"validating {name} while the lock of its ADD CONSTRAINT lasts"
            yield lock_violation(context, what, table, "validate it in another file")
    elif verb == "SET" and words_ & _REWRITING_SETTINGS and action[1:2] != ["("]:
        if context.is_large(table):
            yield lock_violation(context, f"writing {table} again", table, "do it outside of the migration")
    elif verb == "DROP" and action[1:2] == ["CONSTRAINT"]:
        names = [word for word in action[2:] if word not in {"IF", "EXISTS"}]
        yield from lost_key(names[0].strip('"') if names else "", context, outline, table)
    elif not _is_harmless_action(verb, action, table, outline):
        what = " ".join(action[:3]).lower() or "what is done"
        yield (
            f"{what} on {table} takes away what the running version can do, or is not understood",
            REMEDY_CONTRACT_LATER,
            False,
        )


def _is_harmless_action(verb: str, action: Sequence[str], table: str, outline: MigrationOutline) -> bool:
    words_ = set(action)
    if verb == "DISABLE":
        return "TRIGGER" in words_ and table in outline.enabled_triggers
    if verb == "ALTER":
        return _is_tuning(action)
    return (
        verb in _HARMLESS_ALTER_ACTIONS
        or (verb == "RENAME" and action[1:2] == ["CONSTRAINT"])
        or (verb == "ADD" and not ({"NOT", "NULL"} <= words_ and "DEFAULT" not in words_ and "GENERATED" not in words_))
        or (verb == "SET" and action[1:2] != ["SCHEMA"])
        or (verb == "ENABLE" and "TRIGGER" in words_)
    )


def _is_tuning(action: Sequence[str]) -> bool:
    """Whether an ALTER of a column or constraint leaves what it accepts: statistics, storage, options, deferral."""
    words_ = set(action)
    has_options = "SET" in words_ and "(" in action[2:5] and "TYPE" not in words_
    is_tuned = bool({"STATISTICS", "STORAGE", "COMPRESSION", "RESET"} & words_)
    return is_tuned or has_options or {"ADD", "IDENTITY"} <= words_ or action[1:2] == ["CONSTRAINT"]
