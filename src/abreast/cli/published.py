"""Waits until others can read what a person decided: on the machine of a CI job, nothing else would ever send it."""

from abreast.core.errors import RefusedError
from abreast.ledger.sqlite import SqliteLedger

PATIENCE = 150.0
"""Seconds to wait."""


def require_published(ledger: SqliteLedger) -> None:
    """Wait until others can read everything that is recorded here. Raises RefusedError if they cannot."""
    if away := ledger.flush(PATIENCE):
        raise RefusedError(f"recorded on this machine only: {away}", next="abreast state show")
