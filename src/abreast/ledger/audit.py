"""Notices what was changed or lost in a ledger: by its hash chain, an anchor beside it, and the rows it explains."""

import json
import os
from contextlib import suppress
from pathlib import Path

from abreast.core.frozen_dataclass import dataclass
from abreast.ledger.entries import Entry
from abreast.ledger.hash_chain import find_break
from abreast.ledger.projection import Query, find_changed_row


@dataclass(frozen=True, slots=True)
class Anchor:
    """The last entry that was recorded, kept in a file of its own: a chain that lost its end looks whole."""

    seq: int
    hash: str

    @classmethod
    def read(cls, file: Path) -> "Anchor | None":
        """Return the anchor in a file, None if there is none."""
        with suppress(OSError, ValueError, TypeError):
            return cls(**json.loads(file.read_text()))
        return None

    def write(self, file: Path) -> None:
        """Write the anchor. A full disk must not lose the entry, which is recorded already."""
        with suppress(OSError):
            temporary = file.with_name(f".{file.name}.{os.getpid()}")
            temporary.write_text(json.dumps({"seq": self.seq, "hash": self.hash}))
            temporary.replace(file)


def lost_entries(query: Query, anchor: Anchor | None) -> str:
    """Return what is missing of the entries up to the anchor, "" if nothing is."""
    if anchor is None:
        return ""
    rows = query("SELECT hash FROM entries WHERE seq = ?", anchor.seq)
    if rows and rows[0][0] == anchor.hash:
        return ""
    ((last,),) = query("SELECT coalesce(max(seq), 0) FROM entries")
    if last < anchor.seq:
        return f"{anchor.seq} entries were recorded, and {last} are left"
    return f"entry {anchor.seq} is not the one that was recorded"


def find_damage(query: Query, anchor: Anchor | None) -> str:
    """Return what was changed or lost, "" if the ledger is as abreast wrote it."""
    ((pages,),) = query("PRAGMA integrity_check(1)")
    if pages != "ok":
        return f"its pages are damaged: {pages}"
    rows = query("SELECT seq, entry, hash FROM entries WHERE seq IS NOT NULL ORDER BY seq")
    if broken := find_break(rows):
        return f"the audit trail is broken at entry {broken.seq}"
    if lost := lost_entries(query, anchor):
        return lost
    if rows and anchor is None:
        return "the anchor of the audit trail is gone (ledger.anchor)"
    return find_changed_row(query, (Entry.parse(text) for (text,) in query("SELECT entry FROM entries ORDER BY id")))
