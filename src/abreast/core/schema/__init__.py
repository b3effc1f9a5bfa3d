"""Database schema: migration files, SQL statements, tables, and what is compatible with what."""
