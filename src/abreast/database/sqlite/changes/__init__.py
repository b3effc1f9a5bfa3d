"""The changes of an SQLite file: recorded and recovered by Litestream."""
