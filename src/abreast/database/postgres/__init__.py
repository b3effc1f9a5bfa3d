"""PostgreSQL: one database of a server; copies by its own programs."""
