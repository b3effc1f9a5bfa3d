"""Reads tables, rows and sizes of a PostgreSQL database."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from abreast.core.schema.tables import NO_TABLE, Column, Table, Tables
from abreast.database.interface import DatabaseStats
from abreast.database.postgres.client import encode_sql, fetch_value, quote_identifier

if TYPE_CHECKING:
    from psycopg import Connection

_USER_SCHEMAS = "n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'"
_TABLE_NAME = "CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname"
_ROW_ESTIMATES_SQL = (
    f"SELECT {_TABLE_NAME}, n.nspname, c.relname, c.reltuples"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    f" WHERE c.relkind = 'r' AND {_USER_SCHEMAS}"
)
_COLUMNS_SQL = (
    f"SELECT {_TABLE_NAME}, a.attname, format_type(a.atttypid, a.atttypmod),"
    " a.attnotnull AND NOT a.atthasdef AND a.attidentity = '' AND c.relkind IN ('r', 'p'),"
    " NOT a.attnotnull, a.atthasdef OR a.attidentity <> ''"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    f" WHERE c.relkind IN ('r', 'p', 'v', 'm') AND {_USER_SCHEMAS} ORDER BY 1, a.attnum"
)
_GRANTEE = "CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END"
_RULES_SQL = (
    f"SELECT {_TABLE_NAME}, 'index ' || i.relname, pg_get_indexdef(i.oid) FROM pg_index x"
    " JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid"
    f" JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_USER_SCHEMAS}"
    f" UNION ALL SELECT {_TABLE_NAME}, 'constraint ' || k.conname, pg_get_constraintdef(k.oid) FROM pg_constraint k"
    f" JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_USER_SCHEMAS}"
    f" UNION ALL SELECT {_TABLE_NAME}, 'trigger ' || t.tgname,"
    " pg_get_triggerdef(t.oid) || CASE t.tgenabled WHEN 'D' THEN ' DISABLED' ELSE '' END FROM pg_trigger t"
    f" JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    f" WHERE NOT t.tgisinternal AND {_USER_SCHEMAS}"
    f" UNION ALL SELECT {_TABLE_NAME}, 'rule ' || r.rulename, pg_get_ruledef(r.oid) FROM pg_rewrite r"
    " JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace"
    f" WHERE r.rulename <> '_RETURN' AND {_USER_SCHEMAS}"
    f" UNION ALL SELECT {_TABLE_NAME}, 'row security', CASE WHEN c.relforcerowsecurity THEN 'forced' ELSE 'on' END"
    f" FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relrowsecurity AND {_USER_SCHEMAS}"
    f" UNION ALL SELECT {_TABLE_NAME}, 'policy ' || p.polname,"
    " concat_ws(' ', CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END, p.polcmd,"
    " ARRAY(SELECT CASE member WHEN 0 THEN 'public' ELSE pg_get_userbyid(member) END"
    " FROM unnest(p.polroles) AS member ORDER BY 1)::text,"
    " pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))"
    " FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    f" WHERE {_USER_SCHEMAS}"
    f" UNION ALL SELECT {_TABLE_NAME}, 'grant ' || {_GRANTEE}, string_agg(a.privilege_type, ', ' ORDER BY 1)"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,"
    " aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS a"
    f" WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND {_USER_SCHEMAS} GROUP BY 1, 2"
)

_IS_OWN = (
    " NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = '{0}'::regclass AND d.objid = o.oid"
    " AND d.deptype IN ('e', 'i'))"
)
"""Whether an object belongs to no extension, and is no identity column's."""
_OBJECT_NAME = "CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || "
_OWNING_TABLE = (
    f"{_TABLE_NAME} FROM pg_depend d JOIN pg_class c ON c.oid = d.refobjid"
    " JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE d.classid = 'pg_class'::regclass AND d.objid = o.oid AND d.deptype = 'a'"
)
_OBJECTS_SQL = (
    f"SELECT 'function ' || {_OBJECT_NAME} o.proname || '(' || oidvectortypes(o.proargtypes) || ')',"
    " CASE o.provolatile WHEN 'v' THEN 'volatile ' ELSE 'steady ' END || coalesce(pg_get_function_result(o.oid), ''),"
    " NULL FROM pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace"
    f" WHERE {_USER_SCHEMAS} AND {_IS_OWN.format('pg_proc')}"
    f" UNION ALL SELECT 'sequence ' || {_OBJECT_NAME} o.relname, '', (SELECT {_OWNING_TABLE}) FROM pg_class o"
    " JOIN pg_namespace n ON n.oid = o.relnamespace"
    f" WHERE o.relkind = 'S' AND {_USER_SCHEMAS} AND {_IS_OWN.format('pg_class')}"
    f" UNION ALL SELECT 'type ' || {_OBJECT_NAME} o.typname, CASE o.typtype"
    " WHEN 'e' THEN (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumlabel) FROM pg_enum"
    " WHERE enumtypid = o.oid)"
    " WHEN 'd' THEN format_type(o.typbasetype, o.typtypmod)"
    " ELSE (SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)"
    " FROM pg_attribute WHERE attrelid = o.typrelid AND attnum > 0 AND NOT attisdropped) END,"
    " NULL FROM pg_type o JOIN pg_namespace n ON n.oid = o.typnamespace"
    " WHERE (o.typtype IN ('e', 'd') OR o.typtype = 'c' AND EXISTS"
    " (SELECT 1 FROM pg_class c WHERE c.oid = o.typrelid AND c.relkind = 'c'))"
    f" AND {_USER_SCHEMAS} AND {_IS_OWN.format('pg_type')}"
)


def read_stats(db: "Connection[Any]") -> DatabaseStats:
    """Count the rows of each table and return them with the database's size."""
    tables = sorted(db.execute(encode_sql(_ROW_ESTIMATES_SQL)).fetchall())
    size = int(fetch_value(db, "SELECT pg_database_size(current_database())"))
    return DatabaseStats({name: _count_rows(db, schema, table) for name, schema, table, _ in tables}, size)


def estimate_row_counts(db: "Connection[Any]") -> Mapping[str, int]:
    """Return the planner's estimate of each table's rows; tables without an estimate are counted."""
    estimates = db.execute(encode_sql(_ROW_ESTIMATES_SQL)).fetchall()
    return {name: int(rows) if rows >= 0 else _count_rows(db, schema, table) for name, schema, table, rows in estimates}


def read_tables(db: "Connection[Any]", hidden: Collection[str]) -> Tables:
    """Return the tables and views, except those with a ``hidden`` name, and the objects of no table."""
    columns: dict[str, dict[str, Column]] = {}
    for table, column, kind, *facts in db.execute(encode_sql(_COLUMNS_SQL)).fetchall():
        columns.setdefault(table, {})
        if column:
            columns[table][column] = Column(kind, *facts)
    rules: dict[str, dict[str, str]] = {}
    for table, name, text in db.execute(encode_sql(_RULES_SQL)).fetchall():
        rules.setdefault(table, {})[name] = text
    found = {name: Table(own, rules.get(name, {})) for name, own in columns.items() if name not in hidden}
    rows = db.execute(encode_sql(_OBJECTS_SQL)).fetchall()
    objects = {name: text for name, text, table in rows if table not in hidden}
    return found | ({NO_TABLE: Table({}, objects)} if objects else {})


def _count_rows(db: "Connection[Any]", schema: str, table: str) -> int:
    return int(fetch_value(db, f"SELECT count(*) FROM {quote_identifier(schema)}.{quote_identifier(table)}"))
