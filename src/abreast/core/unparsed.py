"""What the parser of SQL does not know in full, judged by its words."""

from collections.abc import Iterator, Sequence

from abreast.core.scene import BESIDE, LARGE, LATER, Found, Scene, remedy_of_index, waits
from abreast.core.statements import words

_HARMLESS = (
    ("CREATE",), ("REPLACE",), ("COMMENT",), ("SET",), ("RESET",), ("GRANT",), ("ANALYZE",), ("SELECT",), ("PRAGMA",),
    ("BEGIN",), ("COMMIT",), ("START",), ("SAVEPOINT",), ("RELEASE",), ("EXPLAIN",), ("NOTIFY",), ("SECURITY",),
    ("DROP", "POLICY"), ("DROP", "RULE"), ("DROP", "STATISTICS"), ("ALTER", "DEFAULT"), ("ALTER", "SYSTEM"),
    ("ALTER", "EXTENSION"), ("ALTER", "STATISTICS"), ("ALTER", "POLICY"), ("ALTER", "INDEX"), ("ALTER", "TRIGGER"),
    ("ALTER", "ROLE"), ("REFRESH", "MATERIALIZED", "VIEW", "CONCURRENTLY"), ("REINDEX",),
)  # fmt: skip
"""How statements begin that take nothing away."""

_TABLE_HARMLESS = frozenset({"VALIDATE", "OWNER", "CLUSTER", "ATTACH", "INHERIT", "REPLICA", "DISABLE", "FORCE", "NO"})
"""How actions of ALTER TABLE begin that take nothing away."""

_CONSTRAINTS = frozenset({"EXCLUDE", "CHECK", "FOREIGN", "UNIQUE", "PRIMARY"})


def judged(text: str, scene: Scene) -> Iterator[Found]:
    """Yield what is risky in a statement, word by word; what is not understood is a risk."""
    said = words(text, scene.engine)
    if said[:2] == ("VACUUM", "FULL") or said[:1] == ("CLUSTER",) or said[:1] == ("LOCK",):
        yield "the whole table is locked", "do it outside of the migration, or not at all", True
    elif said[:1] == ("VACUUM",):
        if scene.engine == "sqlite" and max(scene.rows.values(), default=0) >= LARGE:
            yield "the whole database is written anew", "do it outside of the migration", True
    elif said[:2] == ("REFRESH", "MATERIALIZED") and "CONCURRENTLY" not in said:
        yield "who reads the view waits", "REFRESH MATERIALIZED VIEW CONCURRENTLY", True
    elif said[:1] == ("REINDEX",) and "CONCURRENTLY" not in said and scene.engine == "postgresql":
        yield "who uses the table waits", "REINDEX … CONCURRENTLY", True
    elif said[:1] == ("CREATE",) and "INDEX" in said[:3]:
        yield from _index(said, scene)
    elif said[:3] == ("ALTER", "TABLE", "ALL"):
        yield "every table of a place is moved", "do it outside of the migration", True
    elif said[:2] == ("ALTER", "TABLE"):
        yield from _table_words(said, scene)
    elif said[:2] in {("ALTER", "SEQUENCE"), ("ALTER", "TYPE"), ("ALTER", "VIEW"), ("ALTER", "FUNCTION")}:
        if {"RENAME", "DROP", "SCHEMA"} & set(said) or (said[1] == "TYPE" and "ALTER" in said[1:]):
            yield f"{' '.join(said[:3]).lower()} takes away what is there under its name", BESIDE, False
    elif said[:2] == ("ALTER", "DOMAIN") and not {"ADD", "SET"} & set(said):
        return
    elif not any(said[: len(known)] == known for known in _HARMLESS):
        yield f"{' '.join(said[:3])} … is not understood", "a person who looks at it", False


def _table_words(said: Sequence[str], scene: Scene) -> Iterator[Found]:
    table, rest = _table(said[2:])
    if not scene.used(table):
        return
    for action in _actions(rest):
        yield from _action(action, table, scene)


def _index(said: Sequence[str], scene: Scene) -> Iterator[Found]:
    table, _ = _table(said[said.index("ON") + 1 :]) if "ON" in said else ("", ())
    if scene.large(table) and "CONCURRENTLY" not in said:
        yield waits(scene, f"an index on {table}", table, remedy_of_index(scene))


def _table(said: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the table that words begin with, without its schema, and what follows."""
    rest = [word for word in said if word not in {"IF", "EXISTS", "ONLY"}]
    while rest[1:2] == ["."]:
        rest = rest[2:]
    return (rest[0].strip('"').casefold() if rest else ""), rest[1:]


def _actions(said: Sequence[str]) -> Iterator[list[str]]:
    """Yield each action of ALTER TABLE: what stands between commas that are in no parentheses."""
    held: list[str] = []
    depth = 0
    for word in said:
        depth += (word == "(") - (word == ")")
        if word == "," and not depth:
            yield held
            held = []
        else:
            held.append(word)
    yield held


def _action(action: Sequence[str], table: str, scene: Scene) -> Iterator[Found]:
    verb, words_ = action[0] if action else "", set(action)
    if verb == "ADD" and words_ & _CONSTRAINTS and "COLUMN" not in words_:
        if scene.large(table) and "VALID" not in words_ and not {"USING", "INDEX"} <= words_:
            yield waits(scene, f"a constraint on {table}", table, "add it NOT VALID, and validate it in another file")
        return
    harmless = (
        verb in _TABLE_HARMLESS
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
        yield f"{what} on {table} takes away what the running version can do, or is not understood", LATER, False
