"""The audit trail: each event's hash covers the one before, so that no event can be changed or left out unseen."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

GENESIS_HASH = "0" * 64
"""What stands before the first event."""


@dataclass(frozen=True, slots=True)
class ChainBreak:
    """The first event whose hash does not follow from the one before."""

    seq: int


def link_hash(previous: str, event: str) -> str:
    """Return the hash of an event's text after ``previous``: SHA-256, in hexadecimal."""
    return hashlib.sha256(f"{previous}\n{event}".encode()).hexdigest()


def find_break(rows: Iterable[tuple[Any, ...]]) -> ChainBreak | None:
    """Walk rows of (seq, event, hash) and return where the chain breaks, None if it is whole."""
    previous, previous_seq = GENESIS_HASH, 0
    for seq, event, recorded_hash in rows:
        if seq != previous_seq + 1 or link_hash(previous, event) != recorded_hash:
            return ChainBreak(seq)
        previous, previous_seq = recorded_hash, seq
    return None
