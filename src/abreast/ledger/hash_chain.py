"""The audit trail: each event's hash covers the previous one, so a changed or missing event is detected."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

GENESIS_HASH = "0" * 64
"""The previous hash of the first event."""


@dataclass(frozen=True, slots=True)
class ChainBreak:
    """The first event whose hash does not match, or whose predecessor is missing."""

    seq: int


def link_hash(previous: str, event: str) -> str:
    """Return SHA-256 over the previous hash and the event's text, in hexadecimal."""
    return hashlib.sha256(f"{previous}\n{event}".encode()).hexdigest()


def find_break(rows: Iterable[tuple[Any, ...]]) -> ChainBreak | None:
    """Check rows of (seq, event, hash); return where the chain breaks, None if it is intact."""
    previous, previous_seq = GENESIS_HASH, 0
    for seq, event, recorded_hash in rows:
        if seq != previous_seq + 1 or link_hash(previous, event) != recorded_hash:
            return ChainBreak(seq)
        previous, previous_seq = recorded_hash, seq
    return None
