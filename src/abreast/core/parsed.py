"""What the parser of SQL knows of a statement, judged."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from abreast.core import expressions
from abreast.core.scene import BESIDE, LATER, Found, Scene, remedy_of_index, waits


def judged(one: Any, scene: Scene, back: Mapping[str, object]) -> Iterator[Found]:  # noqa: ANN401
    """Yield what is risky in a statement that the parser understands; ``back`` are tables that are put back."""
    if look := _LOOKS.get(type(one).__name__):
        yield from look(one, scene, back)


def _create(one: Any, scene: Scene, _: Mapping[str, object]) -> Iterator[Found]:  # noqa: ANN401
    if one.kind == "TABLE":
        scene.new.setdefault(expressions.name(expressions.target(one)), expressions.columns(one))
    elif one.kind == "INDEX":
        table = expressions.name(one.this.args.get("table"))
        if scene.large(table) and not one.args.get("concurrently"):
            yield waits(scene, f"an index on {table}", table, remedy_of_index(scene))


def _drop(one: Any, scene: Scene, back: Mapping[str, object]) -> Iterator[Found]:  # noqa: ANN401
    kind = one.args.get("kind")
    if kind in {"INDEX", "TRIGGER", "CONSTRAINT"}:
        return
    for target in expressions.dropped(one):
        name = expressions.name(target)
        if kind in {"TABLE", "VIEW"} and (not scene.used(name) or name in back):
            continue
        yield f"the {str(kind).lower()} {name} is dropped", LATER, False


def _alter(one: Any, scene: Scene, back: Mapping[str, object]) -> Iterator[Found]:  # noqa: ANN401
    table = expressions.name(one.this)
    kind = one.args.get("kind")
    if kind in {"INDEX", "SEQUENCE"}:
        return
    if to := expressions.renamed(one):
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
            yield f"the column {table}.{expressions.name(expressions.dropped(action)[0])} is dropped", LATER, False
    elif isinstance(action, exp.RenameColumn | exp.AlterRename):
        yield f"the column {table}.{expressions.name(action.this)} is renamed", BESIDE, False
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
    name = f"{table}.{expressions.name(column)}"
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
    name = expressions.name(action)
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
        if scene.used(expressions.name(table)):
            yield f"all rows of {expressions.name(table)} are taken away", LATER, False


def _delete(one: Any, scene: Scene, _: Mapping[str, object]) -> Iterator[Found]:  # noqa: ANN401
    table = expressions.name(one.this)
    if scene.used(table) and not one.args.get("where"):
        yield f"all rows of {table} are taken away", LATER, False


def _update(one: Any, scene: Scene, _: Mapping[str, object]) -> Iterator[Found]:  # noqa: ANN401
    table = expressions.name(one.this)
    if scene.large(table) and not one.args.get("where"):
        yield waits(scene, f"every row of {table} is written", table, "fill it in parts, outside of the migration")


def _insert(one: Any, scene: Scene, _: Mapping[str, object]) -> Iterator[Found]:  # noqa: ANN401
    from sqlglot import exp  # noqa: PLC0415

    for source in one.find_all(exp.From):
        table = expressions.name(source.this)
        if scene.engine == "sqlite" and scene.large(table):
            yield waits(scene, f"every row of {table} is copied", table, "copy it in parts, outside of the migration")


def _merge(one: Any, scene: Scene, _: Mapping[str, object]) -> Iterator[Found]:  # noqa: ANN401
    table = expressions.name(one.this)
    if scene.used(table) and any(when.args["then"].name.upper() == "DELETE" for when in one.args["whens"].expressions):
        yield f"rows of {table} are taken away", LATER, False


def _revoke(one: Any, _: Scene, __: Mapping[str, object]) -> Iterator[Found]:  # noqa: ANN401
    yield f"a right is taken away on {expressions.name(one.args.get('securable'))}", LATER, False


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
KNOWN = frozenset({*_LOOKS, *_HARMLESS})
"""What the parser understands; of all else it has the words only."""
