"""The tables of a database, as far as a running version depends on them, and their differences."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import field

from abreast.core.frozen_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """A column. ``type`` is the engine's spelling. ``required``: an INSERT must give it a value."""

    type: str
    required: bool = False
    nullable: bool = True
    has_default: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view: its columns by name, and its rules by kind and name.

    Rules: ``index X``, ``constraint X``, ``trigger X``, ``policy X``, ``rule X``, ``row security``, and ``grant ROLE``
    with the role's privileges, separated by commas.
    """

    columns: Mapping[str, Column]
    rules: Mapping[str, str] = field(default_factory=dict)


NO_TABLE = ""
"""The name under which PostgreSQL's objects of no table stand, as rules: ``function f(integer)`` with its volatility
and result, ``sequence X``, and ``type X`` with an enum's labels, a domain's type, or a composite type's attributes."""

Tables = Mapping[str, Table]
"""Tables by name. In PostgreSQL, names outside ``public`` include the schema. Without NO_TABLE, there are no objects of
no table, or the database does not tell them."""


def schema_diff(before: Tables, after: Tables) -> Iterator[str]:
    """Yield the differences, one line each: ``+ table orders``, ``~ column orders.note: text → integer``."""
    before, after = ({NO_TABLE: Table({}), **tables} for tables in (before, after))
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
            yield f"{'+' if was is None else '-' if is_ is None else '~'} {rule}{f' on {name}' if name else ''}"


def _column_text(column: Column) -> str:
    if column.required:
        return f"{column.type or 'any'} (needed)"
    marks = ("" if column.nullable else " not null") + (" default" if column.has_default else "")
    return f"{column.type or 'any'}{marks}"


def breaking_changes(before: Tables, after: Tables) -> Iterator[str]:
    """Yield the changes in ``after`` that break a version written for ``before``, each with its remedy."""
    before, after = ({NO_TABLE: Table({}), **tables} for tables in (before, after))
    for name, table in before.items():
        if name not in after:
            yield f"the table {name} is gone: let a later release take it away, when no version reads it any more"
            continue
        for column, old in table.columns.items():
            yield from _broken_column(f"{name}.{column}", old, after[name].columns.get(column))
        for column, new in after[name].columns.items():
            if column not in table.columns and new.required:
                yield f"the new column {name}.{column} needs a value: give it a default"
        yield from _broken_access(name, table.rules, after[name].rules)
        yield from _lost_keys(name, table, after[name])
    yield from _broken_objects(before[NO_TABLE].rules, after[NO_TABLE].rules)


def _broken_column(name: str, old: Column, new: Column | None) -> Iterator[str]:
    if new is None:
        yield f"the column {name} is gone: let a later release take it away"
    elif new.required and not old.required:
        yield f"{name} needs a value now: give it a default, or check it NOT VALID first"
    elif old.nullable and not new.nullable:
        yield f"{name} refuses NULL now: check it NOT VALID first"
    elif old.has_default and not new.has_default:
        yield f"{name} has no default any more: let a later release take it away"
    elif not is_widening(old.type, new.type):
        yield f"{name} is {new.type} and was {old.type}: add a new column beside it, and fill both"


_TYPE = re.compile(r"(?P<name>[a-z ]+?)\s*(?:\((?P<sizes>[\d, ]+)\))?(?P<zone> with(?:out)? time zone)?")
_TYPE_NAMES = {"character varying": "varchar", "decimal": "numeric", "timestamp with time zone": "timestamptz",
               "timestamp without time zone": "timestamp", "time without time zone": "time",
               "time with time zone": "timetz"}  # fmt: skip
_SIZED = frozenset({"varchar", "bit varying", "varbit", "timestamp", "timestamptz", "time", "timetz", "interval"})


def is_widening(before: str, after: str) -> bool:
    """Whether a type keeps all values of another, without PostgreSQL rewriting the table (ALTER TABLE, Notes)."""
    old, new = _TYPE.fullmatch(before.casefold()), _TYPE.fullmatch(after.casefold())
    if before.casefold() == after.casefold():
        return True
    if not old or not new:
        return False
    (was, had), (is_, has) = _name_and_sizes(old), _name_and_sizes(new)
    if is_ == "text" and was in {"varchar", "text"}:
        return True
    if was == "text" and is_ == "varchar":
        return not has
    if was != is_:
        return False
    if was == "numeric":
        return not has or bool(had and has[0] >= had[0] and has[1:] == had[1:])
    return was in _SIZED and (not has or bool(had and has[0] >= had[0]))


def _name_and_sizes(found: re.Match[str]) -> tuple[str, list[int]]:
    name = f"{found['name']}{found['zone'] or ''}"
    sizes = [int(size) for size in (found["sizes"] or "").split(",") if size.strip()]
    name = _TYPE_NAMES.get(name, name)
    return name, [*sizes, 0] if name == "numeric" and len(sizes) == 1 else sizes


_UNIQUE_CONSTRAINT = re.compile(r"\s*(?:PRIMARY KEY|UNIQUE)\b[^(]*\((.*)\)", re.IGNORECASE | re.DOTALL)
_UNIQUE_INDEX = re.compile(r"\s*CREATE UNIQUE INDEX\b.*?\sON\s[^(]*(\(.*)", re.IGNORECASE | re.DOTALL)


def unique_keys(rules: Mapping[str, str]) -> frozenset[str]:
    """Return what INSERT … ON CONFLICT can name of a table: columns of its unique indexes and constraints."""
    found = set()
    for text in rules.values():
        if constraint := _UNIQUE_CONSTRAINT.match(text):
            found.add(_normalized_key(constraint[1]))
        elif index := _UNIQUE_INDEX.match(text):
            found.add(_normalized_key(index[1].removeprefix("(").removesuffix(")")))
    return frozenset(found)


def _normalized_key(text: str) -> str:
    """Return columns in one order and spelling. An expression, or a condition of the index, stays as it is."""
    plain = re.sub(r'["`\[\]]', "", text).casefold()
    return ", ".join(sorted(column.strip() for column in plain.split(",")) if "(" not in plain else [plain])


def _lost_keys(name: str, before: Table, after: Table) -> Iterator[str]:
    columns = {column.casefold() for column in after.columns}
    for key in sorted(unique_keys(before.rules) - unique_keys(after.rules)):
        if set(key.split(", ")) <= columns:
            yield f"{name} has no unique key ({key}) any more (INSERT … ON CONFLICT): let a later release drop it"


def _broken_access(name: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """Yield what the running version can no longer reach or rely on: grants, row security, rules, triggers."""
    for rule, was in before.items():
        kind, _, what = rule.partition(" ")
        now = after.get(rule)
        if kind == "grant" and (lost := set(was.split(", ")) - set((now or "").split(", "))):
            yield f"{what} has lost {', '.join(sorted(lost))} on {name}: grant it again in the same migration"
        elif kind in {"policy", "rule"} and now != was:
            yield f"the {rule} of {name} {'is gone' if now is None else 'has changed'}: let a later release change it"
        elif kind == "trigger" and (now is None or (now.endswith(_DISABLED) and not was.endswith(_DISABLED))):
            yield f"the {rule} of {name} does not run any more: let a later release take it away"
        elif rule == "row security" and now != was:
            how = "off" if now is None else now
            yield f"row security of {name} is {how} now, and was {was}: let a later release change it"
    for rule, now in after.items():
        if rule in before:
            continue
        if rule.startswith("rule ") or (rule.startswith("policy ") and now.startswith("restrictive")):
            yield f"the new {rule} of {name} applies to the running version too: let a later release add it"
        elif rule == "row security":
            yield f"row security is on for {name} now: the running version sees only what its policies allow"


_DISABLED = " DISABLED"


def _broken_objects(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """Yield the functions, sequences and types that are gone or work in another way."""
    for rule, was in before.items():
        kind = rule.partition(" ")[0]
        if kind == "function" and was.endswith((" trigger", " event_trigger")):  # only their triggers call them
            continue
        if rule not in now:
            yield f"the {rule} is gone: let a later release take it away"
        elif kind == "function" and was.partition(" ")[2] != now[rule].partition(" ")[2]:
            yield f"the {rule} returns {now[rule].partition(' ')[2]} now: create one of another name beside it"
        elif kind == "type" and (lost := set(was.split(", ")) - set(now[rule].split(", "))):
            yield f"the {rule} has lost {', '.join(sorted(lost))}: let a later release take it away"


def lost_rows(before: Mapping[str, int], after: Mapping[str, int], tables: Tables) -> Iterator[str]:
    """Yield the tables that stay and have fewer rows ``after``, given their row counts, each with the remedy."""
    for name in tables:
        had, has = before.get(name, 0), after.get(name)
        if has is not None and has < had:
            yield f"{name} has lost {had - has} of {had} rows: let a later release delete them"
