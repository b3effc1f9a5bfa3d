"""Restores a dump whose CHECK constraints cannot be evaluated while its rows are loaded.

A CHECK that calls a function may read other tables, or need a ``search_path``. pg_restore loads the rows with the
constraint in place, when neither is there (https://www.postgresql.org/docs/current/ddl-constraints.html).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from abreast.core.errors import DatabaseError
from abreast.database.postgres.client import encode_sql

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from psycopg import Connection

_CHECKS_SQL = """
    SELECT CASE conrelid WHEN 0 THEN 'DOMAIN ' || contypid::regtype ELSE 'TABLE ' || conrelid::regclass END,
        quote_ident(conname), pg_get_constraintdef(oid)
    FROM pg_constraint
    WHERE contype = 'c' AND conislocal AND coninhcount = 0 AND connamespace <> 'information_schema'::regnamespace
    ORDER BY 1, 2
"""


class _Check(NamedTuple):
    """A CHECK constraint: ``target`` is its table or domain, as ALTER takes it."""

    target: str
    name: str
    definition: str

    @property
    def is_valid(self) -> bool:
        return not self.definition.endswith(" NOT VALID")


def restore_in_sections(
    connect: "Callable[[], AbstractContextManager[Connection[Any]]]", restore_section: Callable[[str], None]
) -> Sequence[str]:
    """Restore with the CHECK constraints added after the rows. Returns those that the restored rows do not satisfy.

    These are left ``NOT VALID``: they hold for new rows only.
    """
    restore_section("pre-data")
    with connect() as db:
        checks = [_Check(*row) for row in db.execute(encode_sql(_CHECKS_SQL)).fetchall()]
        for check in checks:
            db.execute(encode_sql(f"ALTER {check.target} DROP CONSTRAINT {check.name}"))
    restore_section("data")
    with connect() as db:
        for check in checks:
            definition = check.definition.removesuffix(" NOT VALID")
            db.execute(encode_sql(f"ALTER {check.target} ADD CONSTRAINT {check.name} {definition} NOT VALID"))
        invalid = [check for check in checks if check.is_valid and not _validate(db, check)]
    restore_section("post-data")
    return [f"the constraint {check.name} of {check.target}, which is NOT VALID now" for check in invalid]


def _validate(db: "Connection[Any]", check: _Check) -> bool:
    import psycopg  # noqa: PLC0415 (slow, and only databases need it)

    try:
        db.execute(encode_sql(f"ALTER {check.target} VALIDATE CONSTRAINT {check.name}"))
    except psycopg.Error:
        return False
    return True


def is_caused_by_a_check(error: DatabaseError) -> bool:
    """Whether pg_restore failed on rows that a CHECK constraint, or a function that it calls, refused."""
    return "COPY failed for table" in error.what
