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
    keys = {part.name for key in node.this.find_all(exp.PrimaryKey) for part in key.expressions}
    return {
        column.name: _created_column(column, is_key=column.name in keys)
        for column in node.this.expressions
        if isinstance(column, exp.ColumnDef)
    }


def _created_column(column: Any, *, is_key: bool) -> Column:  # noqa: ANN401
    is_key = is_key or has_constraint(column, exp.PrimaryKeyColumnConstraint)
    kind = column.args.get("kind")
    text = kind.sql() if kind is not None else ""
    needed, given = is_not_null(column), has_constraint(column, exp.DefaultColumnConstraint)
    has_default = given or "SERIAL" in text or has_constraint(column, exp.GeneratedAsIdentityColumnConstraint)
    return Column(text, needed and not has_default and not is_key, not needed, has_default)


def has_constraint(column: Any, *kinds: type[exp.Expression]) -> bool:  # noqa: ANN401
    """Whether a column is defined with a constraint of one of these kinds."""
    return any(isinstance(each.args.get("kind"), kinds) for each in column.args.get("constraints") or ())


def is_not_null(column: Any) -> bool:  # noqa: ANN401
    """Whether a column is defined as NOT NULL."""
    kinds = [each.args.get("kind") for each in column.args.get("constraints") or ()]
    return any(isinstance(kind, exp.NotNullColumnConstraint) and not kind.args.get("allow_null") for kind in kinds)


def column_default(column: Any) -> Any:  # noqa: ANN401
    """Return the default with which a column is defined, None without one."""
    kinds = [each.args.get("kind") for each in column.args.get("constraints") or ()]
    return next((kind.this for kind in kinds if isinstance(kind, exp.DefaultColumnConstraint)), None)


def created_keys(node: Any) -> dict[str, str]:  # noqa: ANN401
    """Return the unique keys that a CREATE TABLE or an ADD CONSTRAINT defines, as rules of the table."""
    lists = [[part.name for part in key.expressions] for key in node.find_all(exp.PrimaryKey)]
    lists += [
        [part.name for part in key.this.expressions]
        for key in node.find_all(exp.UniqueColumnConstraint)
        if isinstance(key.this, exp.Schema)
    ]
    lists += [
        [column.name]
        for column in node.find_all(exp.ColumnDef)
        if has_constraint(column, exp.UniqueColumnConstraint, exp.PrimaryKeyColumnConstraint)
    ]
    texts = [", ".join(names) for names in lists]
    return {f"constraint UNIQUE ({text})": f"UNIQUE ({text})" for text in texts}


def unique_index_key(node: Any) -> str:  # noqa: ANN401
    """Return the key that a CREATE UNIQUE INDEX creates, spelled as a constraint."""
    parts = node.this.args["params"]
    columns = [column.this.sql(dialect="postgres") for column in parts.args.get("columns") or ()]
    where = parts.args.get("where")
    return f"UNIQUE ({', '.join(columns)}{where.sql(dialect='postgres') if where else ''})"


def function_name(node: Any) -> str:  # noqa: ANN401
    """Return the name of the function, type or sequence that a CREATE creates, without its schema."""
    found = node.this
    while not isinstance(found, exp.Table | exp.Identifier) and isinstance(found.this, exp.Expression):
        found = found.this
    return str(found.name).casefold()


def is_restricted(select: Any) -> bool:  # noqa: ANN401
    """Whether a SELECT may leave out rows of the table that it reads."""
    return any(
        select.args.get(clause) for clause in ("where", "joins", "limit", "group", "distinct", "having", "offset")
    )
