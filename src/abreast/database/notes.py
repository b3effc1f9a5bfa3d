"""The tables of abreast in an application's own database: what ran there, what was begun, whose it is."""

from abreast.core.errors import DatabaseError

TABLE = "migrations"
"""What ran, in the form that many applications have already: id, filename, executed_at; abreast adds ``checksum``."""

BEGUN = "migrations_begun"
"""Migrations without a transaction that were begun: a row that stays means that nobody knows how they ended."""

OWNER = "abreast_owner"
"""One row: whose database this is, as ``project/environment/service``, and the deployment that restored it."""

OWN = frozenset({TABLE, BEGUN, OWNER})
"""Tables that no version of an application depends on."""


def not_ours(columns: str) -> tuple[str, str]:
    """Say that a table of the name is there and is of another form."""
    return (
        f"the database has a table {TABLE} of another form: {columns}",
        f"{TABLE} (id, filename, executed_at), or none",
    )


def half_run(name: str, done: int) -> DatabaseError:
    """Return the error for a migration without a transaction whose end nobody saw."""
    return DatabaseError(
        f"{name} runs without a transaction and was cut off: {done} of its statements are done, "
        "the next may be, or may be not",
        need="a person who looks, and brings the database to the state before it or after it",
        next=f"then: DELETE FROM {BEGUN}; and, where it is done: "
        f"INSERT INTO {TABLE} (filename, executed_at) VALUES ('{name}', CURRENT_TIMESTAMP);",
    )
