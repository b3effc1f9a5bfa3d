"""The tables of a database, as far as a running version depends on them, and their differences."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Column:
    """A column. ``type`` is the engine's spelling. ``required``: an INSERT must give it a value."""

    type: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view: its columns by name, and its rules by kind and name.

    Rules: ``index X``, ``constraint X``, ``trigger X``, ``policy X``, ``rule X``, ``row security``, and ``grant ROLE``
    with the role's privileges, separated by commas.
    """

    columns: Mapping[str, Column]
    rules: Mapping[str, str] = field(default_factory=dict)


Tables = Mapping[str, Table]
"""Tables by name. In PostgreSQL, names outside ``public`` include the schema."""


def schema_diff(before: Tables, after: Tables) -> Iterator[str]:
    """Yield the differences, one line each: ``+ table orders``, ``~ column orders.note: text → integer``."""
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            yield f"+ table {name} ({', '.join(after[name].columns)})"
        elif name not in after:
            yield f"- table {name}"
        else:
            yield from _table_diff(name, before[name], after[name])


def _table_diff(name: str, before: Table, after: Table) -> Iterator[str]:
    for column in sorted(before.columns.keys() | after.columns.keys()):
        old, new = before.columns.get(column), after.columns.get(column)
        if old is None and new:
            yield f"+ column {name}.{column}: {_column_text(new)}"
        elif new is None:
            yield f"- column {name}.{column}"
        elif old and old != new:
            yield f"~ column {name}.{column}: {_column_text(old)} → {_column_text(new)}"
    for rule in sorted(before.rules.keys() | after.rules.keys()):
        was, is_ = before.rules.get(rule), after.rules.get(rule)
        if was != is_:
            yield f"{'+' if was is None else '-' if is_ is None else '~'} {rule} on {name}"


def _column_text(column: Column) -> str:
    return f"{column.type or 'any'}{' (needed)' if column.required else ''}"


def breaking_changes(before: Tables, after: Tables) -> Iterator[str]:
    """Yield the changes in ``after`` that break a version written for ``before``, each with its remedy."""
    for name, table in before.items():
        if name not in after:
            yield f"the table {name} is gone: let a later release take it away, when no version reads it any more"
            continue
        for column, old in table.columns.items():
            new = after[name].columns.get(column)
            if new is None:
                yield f"the column {name}.{column} is gone: let a later release take it away"
            elif new.required and not old.required:
                yield f"{name}.{column} needs a value now: give it a default, or check it NOT VALID first"
            elif new.type.casefold() != old.type.casefold():
                yield f"{name}.{column} is {new.type} and was {old.type}: add a new column beside it, and fill both"
        for column, new in after[name].columns.items():
            if column not in table.columns and new.required:
                yield f"the new column {name}.{column} needs a value: give it a default"
        yield from _broken_access(name, table.rules, after[name].rules)


def _broken_access(name: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """Yield what the running version can no longer reach: by grants, policies, row security and rewrite rules."""
    for rule, was in before.items():
        kind, _, what = rule.partition(" ")
        now = after.get(rule)
        if kind == "grant" and (lost := set(was.split(", ")) - set((now or "").split(", "))):
            yield f"{what} has lost {', '.join(sorted(lost))} on {name}: grant it again in the same migration"
        elif kind in {"policy", "rule"} and now != was:
            yield f"the {rule} of {name} {'is gone' if now is None else 'has changed'}: let a later release change it"
    for rule, now in after.items():
        if rule in before:
            continue
        if rule.startswith("rule ") or (rule.startswith("policy ") and now.startswith("restrictive")):
            yield f"the new {rule} of {name} applies to the running version too: let a later release add it"
        elif rule == "row security":
            yield f"row security is on for {name} now: the running version sees only what its policies allow"


def lost_rows(before: Mapping[str, int], after: Mapping[str, int], tables: Tables) -> Iterator[str]:
    """Yield the tables that stay and have fewer rows ``after``, given their row counts, each with the remedy."""
    for name in tables:
        had, has = before.get(name, 0), after.get(name)
        if has is not None and has < had:
            yield f"{name} has lost {had - has} of {had} rows: let a later release delete them"
