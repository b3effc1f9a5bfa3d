"""What the record knows around a deployment. Every command that reads the ledger imports it, so it imports little."""

from abreast.core.frozen_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class LaterSuccess:
    """A later deployment to the same environment that succeeded. ``seq`` is the number of the entry that says so."""

    seq: int
    at: str
    deployment: str
    release: str
    author: str


@dataclass(frozen=True, slots=True)
class PersonRequest:
    """What a person asked the process of a deployment for, such as ``cancel``. ``seq`` is the number of its entry."""

    seq: int
    at: str
    what: str
    reason: str
    by: str
