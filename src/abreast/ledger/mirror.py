"""A ledger that is kept in a home elsewhere: recorded here first, then there. Readers read here.

An entry that is not there yet has no number in the chain. It gets one when it is appended there: if others appended in
between, theirs come first.
"""

import json
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from abreast.core.errors import LeaseLostError, StateError
from abreast.ledger.audit import Anchor
from abreast.ledger.entries import Entry
from abreast.ledger.entry_file import LAST, EntryFile
from abreast.ledger.hash_chain import Link, chain
from abreast.ledger.homes.interface import Home, HomeAwayError
from abreast.ledger.projection import rebuild

PUSH_INTERVAL = 1.0
"""Seconds between two pushes of what nobody waits for."""

GATHER_INTERVAL = 0.05
"""Seconds from the first entry after a pause to its push, for what is recorded together with it."""

PULL_INTERVAL = 5.0
"""Seconds between two looks for entries of others."""


class Mirror(EntryFile):
    """The entries of a home in a file of this machine, and those that are on their way there."""

    home: Home
    is_shared = True

    def __init__(self, file: Path, clock: Callable[[], datetime]) -> None:
        super().__init__(file, clock)
        self._syncing = threading.Lock()
        self._stop = threading.Event()
        self._news = threading.Event()
        """Set when something was recorded that nobody has begun to send, and at the end."""
        self._thread: threading.Thread | None = None
        self.trouble = ""
        """Why the home could not be reached at the last try, "" if it could."""
        self._pulled = float("-inf")

    def _insert(self, entry: Entry) -> None:
        """Add an entry that the home does not have yet. Raises StateError if its lease has gone to somebody else."""
        if self._is_stale(entry, LAST):
            raise LeaseLostError(entry.fence)
        self._db.execute("INSERT INTO entries (entry) VALUES (?)", (entry.text,))
        self._news.set()

    def holds(self, fence: str) -> bool:
        """Return whether a lease, ``environment/number``, is the newest of its environment."""
        environment, _, number = fence.rpartition("/")
        query = "SELECT 1 FROM leases WHERE environment = ? AND number = ? AND holder IS NOT NULL"
        return bool(self.query(query, environment, int(number)))

    def lease(self, environment: str) -> tuple[int, dict[str, Any] | None]:
        """Return the number of an environment's newest lease, from 1 on, and its holder, None if it was given back."""
        rows = self.query("SELECT number, holder FROM leases WHERE environment = ?", environment)
        number, holder = rows[0] if rows else (0, None)
        return number, holder and json.loads(holder)

    def pending(self) -> list[tuple[int, str]]:
        """Return the id and text of each entry that is not in the home yet, in order."""
        return self.query("SELECT id, entry FROM entries WHERE seq IS NULL ORDER BY id")

    # ── with the home ──────────────────────────────────────────────────────────────────────────

    def pull(self, newer_than: float = 0.0) -> None:
        """Take over what others appended, unless that was done in the last ``newer_than`` seconds.

        Raises HomeAwayError, or StateError if the chain is broken.
        """
        with self._syncing:
            if time.monotonic() - self._pulled >= newer_than:
                self._pull()

    def push(self) -> None:
        """Append everything to the home. Raises HomeAwayError, or StateError if a lease is lost."""
        with self._syncing:
            while self._send():
                pass

    def _send(self) -> bool:
        """Append what the home does not have at this moment; return False if it has everything."""
        while True:
            last, links = self._unsent()
            if not links:
                return False
            began = time.monotonic()
            if self.home.append(last, links):
                self._pulled = began  # it ended with what is known here
                self.adopt(links)
                return True
            self._pull()
            if self.last_link() == last:
                self._pull()  # a slower process may have set the ref of this clone back to what it had seen before
            if self.last_link() == last:
                raise self._broken("it has lost what was recorded")

    def settle(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Append entries to the home, and return those that stand: others can have been faster.

        Takes them back, and raises what is in the way, if that is not possible now.
        """
        if len(standing := self._standing(entries)) == len(entries):
            return standing
        try:
            self.push()
        except StateError:
            with self.transaction():
                texts = {entry.text for entry in entries}
                self._delete([id_ for id_, text in self.pending() if text in texts])
            raise
        return self._standing(entries)

    def _standing(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Return the entries that are in the chain, as far as is known here."""
        there = "SELECT entry FROM entries WHERE seq IS NOT NULL AND entry IN (SELECT value FROM json_each(?))"
        found = {text for (text,) in self.query(there, json.dumps([entry.text for entry in entries]))}
        return [entry for entry in entries if entry.text in found]

    def flush(self, patience: float) -> str:
        """Wait up to ``patience`` seconds until the home has everything; return why it has not, "" if it has.

        Raises StateError if it never will: a lease is lost, or the chain is broken.
        """
        deadline = time.monotonic() + patience
        while self.pending():
            try:
                self.push()
            except HomeAwayError as error:
                if time.monotonic() > deadline:
                    return error.what
                time.sleep(min(PUSH_INTERVAL, patience))
        return ""

    def start(self) -> None:
        """Keep the file and its home the same, in a thread, until ``close``."""
        self._thread = threading.Thread(target=self._keep_in_step, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Append what is missing to the home, if it answers, and close the file."""
        self._stop.set()
        self._news.set()
        if self._thread:
            self._thread.join()
        with suppress(StateError):
            self.push()
        self.home.close()
        self.abandon()

    def abandon(self) -> None:
        """Close the file, and leave the home alone."""
        super().close()

    def _keep_in_step(self) -> None:
        while not self._stop.is_set():
            if self._news.wait(PUSH_INTERVAL):
                self._stop.wait(GATHER_INTERVAL)  # whoever waits for an answer pushes first
            sent = False
            try:
                with self._syncing:
                    sent = bool(self.pending()) and self._send()  # once, since somebody may wait to push
                self.pull(PULL_INTERVAL)
                self.trouble = ""
            except StateError as error:
                self.trouble = error.what
            if sent or self.trouble:
                self._stop.wait(PUSH_INTERVAL)

    def _unsent(self) -> tuple[Link | None, list[Link]]:
        """Return the end of the chain, and the links that append what the home does not have."""
        with self.transaction():  # other processes of this machine have the same file
            self._news.clear()
            last = self.last_link()
            return last, chain(last, [text for _, text in self.pending()])

    def _pull(self) -> None:
        last = self.last_link()
        links = self.home.read(last.seq if last else 0)
        for previous, link in zip([last, *links], links, strict=False):
            self._check(previous, link)
        self.adopt(links)
        self._pulled = time.monotonic()

    def _check(self, previous: Link | None, link: Link) -> None:
        (expected,) = chain(previous, [link.entry])
        if link == expected:
            with suppress(ValueError):
                Entry.parse(link.entry)
                return
        raise self._broken(f"entry {expected.seq} does not follow from the one before")

    def _broken(self, what: str) -> StateError:
        return StateError(
            f"{self.home.title}: {what}", need="a chain that only abreast wrote", next="abreast state verify"
        )

    def adopt(self, links: Sequence[Link]) -> None:
        """Give entries their number in the chain. Entries of this file that cannot stay beside them go."""
        with self.transaction():
            last = self.last_link()  # another process of this machine may have been faster
            links = [link for link in links if not last or link.seq > last.seq]
            for link in links[:1]:
                self._check(last, link)
            news = [link for link in links if not self._number(link)]
            entries = [Entry.parse(link.entry) for link in news]
            self._delete([id_ for entry in entries for id_ in self._rivals(entry)])
            for link in news:
                self._adopt_one(link)
            self._delete([id_ for id_, text in self.pending() if self._is_stale(Entry.parse(text), id_)])
        if last := self.last_link():
            Anchor(last.seq, last.hash).write(self._anchor_file)
        if self.fence and not self.holds(self.fence):
            raise LeaseLostError(self.fence)

    def _number(self, link: Link) -> bool:
        """Return whether the entry was here already. It has its number now."""
        own = "UPDATE entries SET seq = ?, hash = ? WHERE entry = ? AND seq IS NULL"
        return bool(self._db.execute(own, (link.seq, link.hash, link.entry)).rowcount)

    def _rivals(self, entry: Entry) -> list[int]:
        """Return the entries of this file that say something else of the same."""
        query = "SELECT id FROM entries WHERE kind = ? AND subject = ? AND key = ? AND seq IS NULL"
        return [id_ for (id_,) in self.query(query, entry.kind, entry.subject, entry.key)]

    def _is_stale(self, entry: Entry, id_: int) -> bool:
        """Return whether the lease of an entry had ended before it: in the chain, or in what is on its way there."""
        environment, _, number = entry.fence.rpartition("/")
        query = (
            "SELECT 1 FROM entries WHERE kind = 'lease' AND subject = ? AND CAST(key AS INTEGER) > ?"
            " AND (seq IS NOT NULL OR id < ?)"
        )
        return bool(entry.fence) and bool(self.query(query, environment, int(number), id_))

    def _delete(self, ids: Sequence[int]) -> None:
        """Take back entries that the home does not have, and what followed from them."""
        if not ids:
            return
        self._db.execute("DELETE FROM entries WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(ids),))
        rebuild(self._db, (Entry.parse(text) for (text,) in self.query("SELECT entry FROM entries ORDER BY id")))
