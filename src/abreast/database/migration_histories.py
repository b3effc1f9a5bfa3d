"""Histories of other migration tools, which ``abreast db baseline`` adopts. A new tool is one entry."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HistoryFormat:
    """Where a tool records what it applied.

    ``columns`` tell the table from another tool's of the same name. ``applied`` selects, as text, the file name, its
    stem, or its number; ``broken`` those that the tool left half done. With ``is_highest`` there is only the last one.
    """

    tool: str
    table: str
    columns: frozenset[str]
    applied: str
    broken: str = ""
    is_highest: bool = False


_GOOSE_NEWEST = (
    "id = (SELECT max(id) FROM goose_db_version AS newer WHERE newer.version_id = goose_db_version.version_id)"
)

HISTORIES = (
    HistoryFormat(
        "golang-migrate", "schema_migrations", frozenset({"version", "dirty"}),
        "SELECT CAST(version AS text) FROM schema_migrations",
        "SELECT CAST(version AS text) FROM schema_migrations WHERE dirty", is_highest=True,
    ),
    HistoryFormat(
        "dbmate or Rails", "schema_migrations", frozenset({"version"}),
        "SELECT CAST(version AS text) FROM schema_migrations",
    ),
    HistoryFormat(
        "goose", "goose_db_version", frozenset({"id", "version_id", "is_applied"}),
        "SELECT CAST(version_id AS text) FROM goose_db_version WHERE version_id > 0 AND is_applied"
        f" AND {_GOOSE_NEWEST}",
    ),
    HistoryFormat(
        "sql-migrate", "gorp_migrations", frozenset({"id", "applied_at"}), "SELECT id FROM gorp_migrations"
    ),
    HistoryFormat(
        "node-pg-migrate", "pgmigrations", frozenset({"name", "run_on"}), "SELECT name FROM pgmigrations"
    ),
    HistoryFormat(
        "Flyway", "flyway_schema_history", frozenset({"version", "script", "success"}),
        "SELECT script FROM flyway_schema_history WHERE version IS NOT NULL AND type = 'SQL' AND success",
        "SELECT script FROM flyway_schema_history WHERE NOT success",
    ),
    HistoryFormat(
        "sqlx", "_sqlx_migrations", frozenset({"version", "success"}),
        "SELECT CAST(version AS text) FROM _sqlx_migrations WHERE success",
        "SELECT CAST(version AS text) FROM _sqlx_migrations WHERE NOT success",
    ),
    HistoryFormat(
        "Supabase", "supabase_migrations.schema_migrations", frozenset({"version"}),
        "SELECT version FROM supabase_migrations.schema_migrations",
    ),
)  # fmt: skip
