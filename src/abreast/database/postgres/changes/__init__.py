"""The changes of a PostgreSQL server: recorded by its own programs, replayed by a private server."""
