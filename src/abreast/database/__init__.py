"""Databases: looked at, dumped, restored, migrated; and the vault that keeps what was dumped."""
