"""Names in the SQL parser's syntax tree: tables, columns, created and dropped objects."""

from typing import Any

from sqlglot import exp

from abreast.core.schema.tables import Column


def normalized_name(node: Any) -> str:  # noqa: ANN401
    """Return a normalized table name: lower case, unquoted, without the default schema."""
    if node is None:
        return ""
    schema = node.args.get("db") if hasattr(node, "args") else None
    below = schema.name if schema is not None and schema.name not in {"public", "main"} else ""
    return (f"{below}.{node.name}" if below else str(node.name)).casefold()


def created_object(node: Any) -> Any:  # noqa: ANN401
    """Return the table or view that a CREATE creates."""
    return node.this.this if isinstance(node.this, exp.Schema) else node.this


def dropped_objects(node: Any) -> list[Any]:  # noqa: ANN401
    """Return the objects that a DROP drops."""
    found = node.args.get("tables") or ([node.this] if node.this else [])
    return list(found)


def renamed_to(node: Any) -> str:  # noqa: ANN401
    """Return a table's new name, "" if it is not renamed."""
    actions = node.args.get("actions") or ()
    renames = [action for action in actions if isinstance(action, exp.AlterRename)]
    return normalized_name(renames[0].this) if renames and not node.args.get("options") else ""


def created_columns(node: Any) -> dict[str, Column]:  # noqa: ANN401
    """Return the columns that a CREATE TABLE lists; none for CREATE TABLE AS."""
    if not isinstance(node.this, exp.Schema):
        return {}
    found = {}
    keys = {part.name for key in node.this.find_all(exp.PrimaryKey) for part in key.expressions}
    for column in node.this.expressions:
        if isinstance(column, exp.ColumnDef):
            kinds = [each.args.get("kind") for each in column.args.get("constraints") or ()]
            needed = any(isinstance(k, exp.NotNullColumnConstraint) and not k.args.get("allow_null") for k in kinds)
            given = any(isinstance(k, exp.DefaultColumnConstraint | exp.PrimaryKeyColumnConstraint) for k in kinds)
            kind = column.args.get("kind")
            text = kind.sql() if kind is not None else ""
            found[column.name] = Column(text, needed and not given and column.name not in keys)
    return found
