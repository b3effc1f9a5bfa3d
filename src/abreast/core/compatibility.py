"""What the running version could not live with: told from a migration's statements, before any of them runs.

The old version is still up while the new one's migration runs, so that what it reads and writes has to stay: expand
first (add what is new), move, and contract (take away what is old) in a later release. What would lock a large table
makes it stand still, which is as bad.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from abreast.core import unparsed
from abreast.core.migrations import Migration
from abreast.core.scene import BESIDE, LATER, Found, Scene, remedy_of_index, waits
from abreast.core.statements import DIALECTS, split
from abreast.core.tables import Column, Table, Tables, breaking


@dataclass(frozen=True, slots=True)
class Risk:
    """One statement that breaks what runs, or makes it wait; ``remedy`` says what to do instead.

    ``wait``: it only makes it wait.
    """

    file: str
    line: int
    what: str
    remedy: str
    wait: bool = False

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}: {self.remedy}"


def risks(pending: Iterable[Migration], engine: str, tables: Tables, rows: Mapping[str, int]) -> Sequence[Risk]:
    """Return what is risky in migrations that will run, in order, on ``tables`` with so many ``rows``.

    What cannot be understood is a risk too.
    """
    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)
    scene = Scene(engine, tables, rows)
    return [risk for migration in pending for risk in _of(migration, scene)]


def _of(migration: Migration, scene: Scene) -> Iterator[Risk]:
    try:
        said = list(split(migration.up, scene.engine))
    except ValueError as error:
        yield Risk(migration.name, migration.up.line, f"it cannot be read: {error}", "SQL of its engine")
        return
    parsed = [(line, text, _parsed(text, scene.engine)) for line, text in said]
    back = _put_back([one for _, _, one in parsed], scene)
    for line, text, one in parsed:
        for what, remedy, wait in _looked_at(one, text, scene, back):
            if wait or not migration.contract:
                yield Risk(migration.name, line, what, remedy, wait)
    for name, columns in back.items():
        if columns is not None and name in scene.tables and not migration.contract:
            before, after = (_alike(one, scene.engine) for one in (scene.tables[name].columns, columns))
            for what in breaking({name: before}, {name: after}):
                yield Risk(migration.name, migration.up.line, *_halves(what))


def _alike(columns: Mapping[str, Column], engine: str) -> Table:
    """Return a table with names and types written in one way, whoever wrote them."""
    from sqlglot import exp  # noqa: PLC0415
    from sqlglot.errors import ParseError  # noqa: PLC0415

    def type_(text: str) -> str:
        try:
            return exp.DataType.build(text, dialect=DIALECTS[engine]).sql() if text else ""
        except ParseError:
            return text

    return Table({name.casefold(): Column(type_(one.type), one.needed) for name, one in columns.items()})


def _halves(text: str) -> tuple[str, str]:
    what, _, remedy = text.partition(": ")
    return what, remedy


def _parsed(text: str, engine: str) -> Any:  # noqa: ANN401 (an expression of the parser, None where it cannot)
    from sqlglot import parse_one  # noqa: PLC0415 (slow, and only migrations need it)
    from sqlglot.errors import ParseError  # noqa: PLC0415

    try:
        return parse_one(text, read=DIALECTS[engine])
    except (ParseError, ValueError):
        return None


def _put_back(statements: Sequence[Any], scene: Scene) -> dict[str, dict[str, Column] | None]:
    """Return tables that this migration takes away and puts back under the same name, with their columns then.

    So SQLite's tables are changed (https://sqlite.org/lang_altertable.html#otheralter), and so one is renamed behind a
    view that keeps its name; the columns of a view are not known: None.
    """
    from sqlglot import exp  # noqa: PLC0415

    gone: set[str] = set()
    made: dict[str, dict[str, Column] | None] = {}
    found: dict[str, dict[str, Column] | None] = {}
    for one in statements:
        if isinstance(one, exp.Drop) and one.args.get("kind") in {"TABLE", "VIEW"}:
            gone |= {_name(table) for table in _dropped(one)}
        elif isinstance(one, exp.Create) and one.kind in {"TABLE", "VIEW"}:
            made[_name(_target(one))] = _columns(one) if one.kind == "TABLE" else None
        elif isinstance(one, exp.Alter) and (to := _renamed(one)):
            old = _name(one.this)
            gone.add(old)
            made[to] = made.get(old, scene.new.get(old))
    for name in gone & made.keys():
        found[name] = made[name]
    return found


def _looked_at(one: Any, text: str, scene: Scene, back: Mapping[str, object]) -> Iterator[Found]:  # noqa: ANN401
    from sqlglot import exp  # noqa: PLC0415

    if one is not None:
        for below in one.find_all(exp.CTE):
            yield from _judged(below.this, scene, back)
    if type(one).__name__ in _KNOWN:
        yield from _judged(one, scene, back)
    else:
        yield from unparsed.judged(text, scene)


def _judged(one: Any, scene: Scene, back: Mapping[str, object]) -> Iterator[Found]:  # noqa: ANN401
    if look := _LOOKS.get(type(one).__name__):
        yield from look(one, scene, back)


# ── statements ─────────────────────────────────────────────────────────────────────────────────


def _create(one: Any, scene: Scene, _: Mapping[str, object]) -> Iterator[Found]:  # noqa: ANN401
    if one.kind == "TABLE":
        scene.new.setdefault(_name(_target(one)), _columns(one))
    elif one.kind == "INDEX":
        table = _name(one.this.args.get("table"))
        if scene.large(table) and not one.args.get("concurrently"):
            yield waits(scene, f"an index on {table}", table, remedy_of_index(scene))


def _drop(one: Any, scene: Scene, back: Mapping[str, object]) -> Iterator[Found]:  # noqa: ANN401
    kind = one.args.get("kind")
    if kind in {"INDEX", "TRIGGER", "CONSTRAINT"}:
        return
    for target in _dropped(one):
        name = _name(target)
        if kind in {"TABLE", "VIEW"} and (not scene.used(name) or name in back):
            continue
        yield f"the {str(kind).lower()} {name} is dropped", LATER, False


def _alter(one: Any, scene: Scene, back: Mapping[str, object]) -> Iterator[Found]:  # noqa: ANN401
    table = _name(one.this)
    kind = one.args.get("kind")
    if kind in {"INDEX", "SEQUENCE"}:
        return
    if to := _renamed(one):
        if scene.used(table) and table not in back:
            yield f"the {str(kind).lower()} {table} is renamed to {to}", "leave a view of the old name behind", False
        scene.new[to] = scene.new.pop(table, {})
        return
    if not scene.used(table):
        return
    for action in one.args.get("actions") or ():
        yield from _action(action, one, table, scene)


def _action(action: Any, one: Any, table: str, scene: Scene) -> Iterator[Found]:  # noqa: ANN401
    from sqlglot import exp  # noqa: PLC0415

    if isinstance(action, exp.ColumnDef):
        yield from _added(action, table, scene)
    elif isinstance(action, exp.Drop):
        if action.args.get("kind") == "COLUMN":
            yield f"the column {table}.{_name(_dropped(action)[0])} is dropped", LATER, False
    elif isinstance(action, exp.RenameColumn | exp.AlterRename):
        yield f"the column {table}.{_name(action.this)} is renamed", BESIDE, False
    elif isinstance(action, exp.AlterColumn):
        yield from _column(action, table, scene)
    elif isinstance(action, exp.AddConstraint):
        if scene.large(table) and not one.args.get("not_valid"):
            remedy = "add it NOT VALID, and VALIDATE CONSTRAINT in another file (a unique one by an index CONCURRENTLY)"
            yield waits(scene, f"a constraint on {table}", table, remedy)
    elif not isinstance(action, exp.AlterSet):
        yield f"{type(action).__name__} of {table} is not understood", "a person who looks at it", False


def _added(column: Any, table: str, scene: Scene) -> Iterator[Found]:  # noqa: ANN401
    from sqlglot import exp  # noqa: PLC0415

    kinds = [one.args.get("kind") for one in column.args.get("constraints") or ()]
    default = next((one for one in kinds if isinstance(one, exp.DefaultColumnConstraint)), None)
    by_itself = isinstance(column.args.get("kind"), exp.DataType) and "SERIAL" in column.args["kind"].this.name
    generated = any(
        isinstance(one, exp.ComputedColumnConstraint | exp.GeneratedAsIdentityColumnConstraint) for one in kinds
    )
    needed = any(
        isinstance(one, exp.NotNullColumnConstraint) and not one.args.get("allow_null") for one in kinds
    ) or any(isinstance(one, exp.PrimaryKeyColumnConstraint) for one in kinds)
    name = f"{table}.{_name(column)}"
    if needed and (default is None or isinstance(default.this, exp.Null)) and not (by_itself or generated):
        yield (
            f"the new column {name} is NOT NULL without a default",
            "give it a default, or add it without NOT NULL",
            False,
        )
    rewrites = by_itself or generated or (default is not None and _volatile(default.this))
    if rewrites and scene.large(table) and scene.engine == "postgresql":
        yield waits(scene, f"the new column {name}", table, "add it empty, and fill it in parts")


def _volatile(value: Any) -> bool:  # noqa: ANN401
    """Whether each row gets a value of its own, so that the whole table is written anew."""
    from sqlglot import exp  # noqa: PLC0415

    steady = (exp.CurrentTimestamp, exp.CurrentDate, exp.CurrentTime, exp.CurrentUser, exp.Cast, exp.Array)
    return any(isinstance(one, exp.Func) and not isinstance(one, steady) for one in value.walk())


def _column(action: Any, table: str, scene: Scene) -> Iterator[Found]:  # noqa: ANN401
    name = _name(action)
    full = f"{table}.{name}"
    if to := action.args.get("dtype"):
        known = scene.tables[table].columns.get(name) if table in scene.tables else None
        if not _wider(known.type if known else "", to):
            yield f"the type of {full} is changed to {to.sql(dialect='postgres')}", BESIDE, False
    elif action.args.get("allow_null") is False:
        yield f"{full} becomes NOT NULL", "a default, and a CHECK (… IS NOT NULL) NOT VALID first", False
    elif action.args.get("drop") and not action.args.get("allow_null"):
        yield f"the default of {full} is dropped", LATER, False


def _wider(before: str, to: Any) -> bool:  # noqa: ANN401
    """Whether each value stays as it is and the table is not written anew (PostgreSQL, ALTER TABLE, Notes)."""
    from sqlglot import exp  # noqa: PLC0415
    from sqlglot.errors import ParseError  # noqa: PLC0415

    try:
        old = exp.DataType.build(before, dialect="postgres") if before else None
    except ParseError:
        return False
    if old is None:
        return False
    if old == to:
        return True
    texts = {"VARCHAR", "TEXT"}
    sizes = [[int(part.name) for part in one.expressions if part.name.isdigit()] for one in (old, to)]
    if old.this.name in texts and to.this.name in texts:
        return not sizes[1] or bool(sizes[0] and sizes[1][0] >= sizes[0][0])
    if old.this.name == to.this.name == "DECIMAL":
        scales = [one[1] if len(one) > 1 else 0 for one in sizes]
        return not sizes[1] or bool(sizes[0] and sizes[1][0] >= sizes[0][0] and scales[0] == scales[1])
    return False


def _truncate(one: Any, scene: Scene, _: Mapping[str, object]) -> Iterator[Found]:  # noqa: ANN401
    for table in one.expressions:
        if scene.used(_name(table)):
            yield f"all rows of {_name(table)} are taken away", LATER, False


def _delete(one: Any, scene: Scene, _: Mapping[str, object]) -> Iterator[Found]:  # noqa: ANN401
    table = _name(one.this)
    if scene.used(table) and not one.args.get("where"):
        yield f"all rows of {table} are taken away", LATER, False


def _update(one: Any, scene: Scene, _: Mapping[str, object]) -> Iterator[Found]:  # noqa: ANN401
    table = _name(one.this)
    if scene.large(table) and not one.args.get("where"):
        yield waits(scene, f"every row of {table} is written", table, "fill it in parts, outside of the migration")


def _insert(one: Any, scene: Scene, _: Mapping[str, object]) -> Iterator[Found]:  # noqa: ANN401
    from sqlglot import exp  # noqa: PLC0415

    for source in one.find_all(exp.From):
        table = _name(source.this)
        if scene.engine == "sqlite" and scene.large(table):
            yield waits(scene, f"every row of {table} is copied", table, "copy it in parts, outside of the migration")


def _merge(one: Any, scene: Scene, _: Mapping[str, object]) -> Iterator[Found]:  # noqa: ANN401
    table = _name(one.this)
    if scene.used(table) and any(when.args["then"].name.upper() == "DELETE" for when in one.args["whens"].expressions):
        yield f"rows of {table} are taken away", LATER, False


def _revoke(one: Any, _: Scene, __: Mapping[str, object]) -> Iterator[Found]:  # noqa: ANN401
    yield f"a right is taken away on {_name(one.args.get('securable'))}", LATER, False


_LOOKS: Mapping[str, Callable[[Any, Scene, Mapping[str, object]], Iterator[Found]]] = {
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
"""Statements that take nothing away."""
_KNOWN = frozenset({*_LOOKS, *_HARMLESS})
"""What the parser understands; of all else it has the words only."""


# ── names ──────────────────────────────────────────────────────────────────────────────────────


def _name(one: Any) -> str:  # noqa: ANN401
    """Return a name as tables are known by here: without case and quotes, and without the schema where it is public."""
    if one is None:
        return ""
    schema = one.args.get("db") if hasattr(one, "args") else None
    below = schema.name if schema is not None and schema.name not in {"public", "main"} else ""
    return (f"{below}.{one.name}" if below else str(one.name)).casefold()


def _target(one: Any) -> Any:  # noqa: ANN401
    from sqlglot import exp  # noqa: PLC0415

    return one.this.this if isinstance(one.this, exp.Schema) else one.this


def _dropped(one: Any) -> list[Any]:  # noqa: ANN401
    found = one.args.get("tables") or ([one.this] if one.this else [])
    return list(found)


def _renamed(one: Any) -> str:  # noqa: ANN401
    """Return the new name that a table gets, "" where it keeps its name."""
    from sqlglot import exp  # noqa: PLC0415

    actions = one.args.get("actions") or ()
    renames = [action for action in actions if isinstance(action, exp.AlterRename)]
    return _name(renames[0].this) if renames and not one.args.get("options") else ""


def _columns(one: Any) -> dict[str, Column]:  # noqa: ANN401
    """Return the columns that CREATE TABLE gives a table; none where they come from elsewhere."""
    from sqlglot import exp  # noqa: PLC0415

    if not isinstance(one.this, exp.Schema):
        return {}
    found = {}
    keys = {part.name for key in one.this.find_all(exp.PrimaryKey) for part in key.expressions}
    for column in one.this.expressions:
        if isinstance(column, exp.ColumnDef):
            kinds = [each.args.get("kind") for each in column.args.get("constraints") or ()]
            needed = any(isinstance(k, exp.NotNullColumnConstraint) and not k.args.get("allow_null") for k in kinds)
            given = any(isinstance(k, exp.DefaultColumnConstraint | exp.PrimaryKeyColumnConstraint) for k in kinds)
            kind = column.args.get("kind")
            text = kind.sql() if kind is not None else ""
            found[column.name] = Column(text, needed and not given and column.name not in keys)
    return found
