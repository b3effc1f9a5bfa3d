"""The audit trail: each event's hash covers the one before, so that no event can be changed or left out unseen."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

FIRST = "0" * 64
"""What stands before the first event."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The first event whose hash does not follow from the one before."""

    seq: int


def linked(previous: str, event: str) -> str:
    """Return the hash of an event's text after ``previous``: SHA-256, in hexadecimal."""
    return hashlib.sha256(f"{previous}\n{event}".encode()).hexdigest()


def walk(rows: Iterable[tuple[Any, ...]]) -> Broken | None:
    """Walk rows of (seq, event, hash) and return where the chain breaks, None if it is whole."""
    previous, before = FIRST, 0
    for seq, event, found in rows:
        if seq != before + 1 or linked(previous, event) != found:
            return Broken(seq)
        previous, before = found, seq
    return None
