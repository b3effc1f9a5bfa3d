"""Database schema: migration files, SQL statements, tables, and compatibility with the running version."""
