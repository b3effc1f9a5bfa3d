"""What the running version could not live with: told from a migration's statements, before any of them runs.

The old version is still up while the new one's migration runs, so that what it reads and writes has to stay: expand
first (add what is new), move, and contract (take away what is old) in a later release. What would lock a large table
makes it stand still, which is as bad.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from abreast.core import expressions, parsed, unparsed
from abreast.core.migrations import Migration
from abreast.core.scene import Found, Scene
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
    statements = [(line, text, _parsed(text, scene.engine)) for line, text in said]
    back = _put_back([one for _, _, one in statements], scene)
    for line, text, one in statements:
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
            gone |= {expressions.name(table) for table in expressions.dropped(one)}
        elif isinstance(one, exp.Create) and one.kind in {"TABLE", "VIEW"}:
            made[expressions.name(expressions.target(one))] = expressions.columns(one) if one.kind == "TABLE" else None
        elif isinstance(one, exp.Alter) and (to := expressions.renamed(one)):
            old = expressions.name(one.this)
            gone.add(old)
            made[to] = made.get(old, scene.new.get(old))
    for name in gone & made.keys():
        found[name] = made[name]
    return found


def _looked_at(one: Any, text: str, scene: Scene, back: Mapping[str, object]) -> Iterator[Found]:  # noqa: ANN401
    from sqlglot import exp  # noqa: PLC0415

    if one is not None:
        for below in one.find_all(exp.CTE):
            yield from parsed.judged(below.this, scene, back)
    if type(one).__name__ in parsed.KNOWN:
        yield from parsed.judged(one, scene, back)
    else:
        yield from unparsed.judged(text, scene)
