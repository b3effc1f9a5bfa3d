"""The audit trail: each event's hash covers the previous one, so a changed or missing event is detected."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

GENESIS_HASH = "0" * 64
"""The previous hash of the first event."""


@dataclass(frozen=True, slots=True)
class ChainBreak:
    """The first event whose hash does not match, or whose predecessor is missing."""

    seq: int


class Link(NamedTuple):
    """An entry in the chain: its number, from 1 on, its text, and the hash over it and all before."""

    seq: int
    entry: str
    hash: str


def link_hash(previous: str, event: str) -> str:
    """Return SHA-256 over the previous hash and the event's text, in hexadecimal."""
    return hashlib.sha256(f"{previous}\n{event}".encode()).hexdigest()


def chain(last: Link | None, entries: Iterable[str]) -> list[Link]:
    """Return the links that append entries to a chain that ends with ``last``."""
    links: list[Link] = []
    for text in entries:
        previous = links[-1] if links else last
        seq, before = (previous.seq + 1, previous.hash) if previous else (1, GENESIS_HASH)
        links.append(Link(seq, text, link_hash(before, text)))
    return links


def find_break(rows: Iterable[tuple[Any, ...]]) -> ChainBreak | None:
    """Check rows of (seq, event, hash); return where the chain breaks, None if it is intact."""
    previous, previous_seq = GENESIS_HASH, 0
    for seq, event, recorded_hash in rows:
        if seq != previous_seq + 1 or link_hash(previous, event) != recorded_hash:
            return ChainBreak(seq)
        previous, previous_seq = recorded_hash, seq
    return None
