"""PostgreSQL, dumped and restored with pg_dump and pg_restore."""
