"""Notices what was changed or lost in a ledger: by its hash chain, an anchor beside it, and the rows it explains."""

import json
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from abreast.core.frozen_dataclass import dataclass
from abreast.ledger.entries import describe
from abreast.ledger.hash_chain import Link, find_break
from abreast.ledger.projection import find_changed_row
from abreast.ledger.tables import ENTRIES

TRIGGERS = sum("CREATE TRIGGER" in statement for statement in ENTRIES)


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


def lost_entries(db: sqlite3.Connection, anchor: Anchor | None) -> str:
    """Return what is missing of the entries up to the anchor, "" if nothing is."""
    if anchor is None:
        return ""
    found = db.execute("SELECT hash FROM entries WHERE seq = ?", (anchor.seq,)).fetchone()
    if found == (anchor.hash,):
        return ""
    (last,) = db.execute("SELECT coalesce(max(seq), 0) FROM entries").fetchone()
    if last < anchor.seq:
        return f"{anchor.seq} entries were recorded, and {last} are left"
    return f"entry {anchor.seq} is not the one that was recorded"


def find_damage(db: sqlite3.Connection, anchor: Anchor | None, *, is_shared: bool) -> str:
    """Return what was changed or lost, "" if the ledger is as abreast wrote it.

    ``is_shared``: entries that are not in the chain yet are on their way to where others read them.
    """
    (pages,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    if pages != "ok":
        return f"its pages are damaged: {pages}"
    if broken := find_break(db.execute("SELECT seq, entry, hash FROM entries WHERE seq IS NOT NULL ORDER BY seq")):
        return describe_break(broken)
    if lost := lost_entries(db, anchor):
        return lost
    if anchor is None and db.execute("SELECT 1 FROM entries WHERE seq IS NOT NULL").fetchone():
        return "the anchor of the audit trail is gone (ledger.anchor)"
    outside = db.execute("SELECT entry FROM entries WHERE seq IS NULL ORDER BY id").fetchone()
    if outside and not is_shared:
        return f"an entry is not in the chain ({describe(outside[0])})"
    if db.execute("SELECT count(*) FROM sqlite_master WHERE type = 'trigger'").fetchone() != (TRIGGERS,):
        return "a trigger that keeps entries as they are is gone, or there is one more"
    return find_changed_row(db)


def describe_break(broken: Link) -> str:
    """Return what a break of the chain says, and of which entry."""
    return (
        f"entry {broken.seq} ({describe(broken.entry)}) is not what was recorded,"
        " or does not follow from the entry before"
    )
