"""The audit trail: each event's hash covers the previous one, so a changed or missing event is detected."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

GENESIS_HASH = "0" * 64
"""The previous hash of the first event."""


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


def find_break(links: Iterable[tuple[int, str, str]]) -> Link | None:
    """Return the first link that does not follow from the one before, None if all do.

    It was changed, or what was recorded before it was: a change, a gap and another order all end the chain here.
    """
    previous = GENESIS_HASH
    for number, (seq, entry, recorded_hash) in enumerate(links, 1):
        if seq != number or link_hash(previous, entry) != recorded_hash:
            return Link(seq, entry, recorded_hash)
        previous = recorded_hash
    return None
