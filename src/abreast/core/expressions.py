"""What the parser's expressions name: tables, what is made and taken away, and columns."""

from typing import Any

from abreast.core.tables import Column


def name(one: Any) -> str:  # noqa: ANN401
    """Return a name as tables are known by here: without case and quotes, and without the schema where it is public."""
    if one is None:
        return ""
    schema = one.args.get("db") if hasattr(one, "args") else None
    below = schema.name if schema is not None and schema.name not in {"public", "main"} else ""
    return (f"{below}.{one.name}" if below else str(one.name)).casefold()


def target(one: Any) -> Any:  # noqa: ANN401
    """Return the table or view that CREATE makes."""
    from sqlglot import exp  # noqa: PLC0415

    return one.this.this if isinstance(one.this, exp.Schema) else one.this


def dropped(one: Any) -> list[Any]:  # noqa: ANN401
    """Return what DROP takes away."""
    found = one.args.get("tables") or ([one.this] if one.this else [])
    return list(found)


def renamed(one: Any) -> str:  # noqa: ANN401
    """Return the new name that a table gets, "" where it keeps its name."""
    from sqlglot import exp  # noqa: PLC0415

    actions = one.args.get("actions") or ()
    renames = [action for action in actions if isinstance(action, exp.AlterRename)]
    return name(renames[0].this) if renames and not one.args.get("options") else ""


def columns(one: Any) -> dict[str, Column]:  # noqa: ANN401
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
