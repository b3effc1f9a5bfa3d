"""What resolves an incident: a noun of its own, since every command that reads the ledger imports it."""

from abreast.core.frozen_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class LaterSuccess:
    """A later deployment to the same environment that succeeded. ``seq`` is the number of the entry that says so."""

    seq: int
    at: str
    deployment: str
    release: str
    author: str
