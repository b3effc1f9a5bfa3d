"""The file of a ledger: hash-chained entries, and the tables that follow from them, in SQLite."""

import contextlib
import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Never, Self

from abreast.core.errors import StateError
from abreast.ledger import file_errors
from abreast.ledger.audit import Anchor, find_damage, lost_entries
from abreast.ledger.entries import Entry, EntryKind
from abreast.ledger.hash_chain import Link, chain
from abreast.ledger.projection import project
from abreast.ledger.read_only import connect_read_only
from abreast.ledger.tables import ENTRIES, PROJECTION

if TYPE_CHECKING:
    from abreast.core.identity import Identity

LEDGER_FILE = "ledger.db"
ANCHOR_FILE = "ledger.anchor"
LAST = 2**63 - 1
"""The number after all numbers of entries."""

PAGE = 500
"""How many entries are read at once."""

GIT_IGNORE = "/*\n"
"""Ignores what is in the state folder, and says nothing of the files below.

Linters look into the ignore files of all folders above. With ``*`` they would skip every file of a checkout in the
state folder, and pass.
"""

_WITHOUT_LEASE = frozenset(
    {
        EntryKind.RELEASE, EntryKind.REQUEST, EntryKind.LEASE, EntryKind.LOCK, EntryKind.IDENTITY, EntryKind.ACT,
        EntryKind.CHECKPOINT, EntryKind.PROPOSAL,
    }
)  # fmt: skip
"""What anybody may record, whoever holds the environment."""


class EntryFile:
    """Entries that any number of processes and threads on this machine can share.

    Each transaction is durable when it ends. Raises StateError if the file cannot be read or written.
    """

    is_shared = False
    """Whether others than the processes of this machine read the entries."""

    unwritable = ""
    """Why nothing can be recorded in the folder, "" if something can, as far as is known."""

    def __init__(self, file: Path, clock: Callable[[], datetime]) -> None:
        self._file = file
        self._clock = clock
        self._anchor_file = file.with_name(ANCHOR_FILE)
        self.appended: list[Entry] = []
        """The entries of the open transaction."""
        self.fence = ""
        """The lease under which this process records, ``environment/number``, where one is needed."""
        self.identity: Callable[[], Identity] | None = None
        """Returns who records. It is asked once, before the first entry. None if nobody is to be named."""
        self._identified: Mapping[str, Any] | None = None
        self._lock = threading.RLock()
        with self._translate_errors():
            self._db = self._connect()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._file, timeout=30, isolation_level=None, check_same_thread=False)

    @classmethod
    def open(cls, folder: Path, clock: Callable[[], datetime]) -> Self:
        """Open the file in ``folder``, created if missing; raises StateError if unusable, and leaves it as it is."""
        file = folder / LEDGER_FILE
        if file_errors.is_ledger_lost(str(folder)):
            raise _state_error(file_errors.lost_ledger_error(str(file)))
        try:
            make_state_folder(folder)
            file.touch(mode=0o600)
        except OSError as error:
            raise _state_error(file_errors.unwritable_error(str(folder), error.strerror or str(error))) from error
        return cls._open(file, clock)

    @classmethod
    def _open(cls, file: Path, clock: Callable[[], datetime]) -> Self:
        opened = cls(file, clock)
        try:
            opened._prepare()
        except BaseException:
            opened.close()
            raise
        return opened

    @property
    def folder(self) -> Path:
        """The folder of the file."""
        return self._file.parent

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def append(self, kind: EntryKind, subject: str, key: str, data: Mapping[str, Any]) -> None:
        """Append an entry within the open transaction, unless there is one with this key."""
        with self._translate_errors():
            known = "SELECT 1 FROM entries WHERE kind = ? AND subject = ? AND key = ?"
            if self._db.execute(known, (kind, subject, key)).fetchone():
                return
            by = self._name_identity() if kind is not EntryKind.IDENTITY else ""
            fence = self.fence if kind not in _WITHOUT_LEASE else ""
            entry = Entry(kind, subject, key, data, self.now(), fence, by)
            self._insert(entry)
            project(self._db, entry)
            self.appended.append(entry)

    def _name_identity(self) -> str:
        """Return the key of who records, whose entry is appended where it is not yet. "" if nobody is to be named."""
        if self.identity is None:
            return ""
        if self._identified is None:
            self._identified = asdict(self.identity())
        text = json.dumps(self._identified, sort_keys=True, ensure_ascii=False)
        key = hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:16]
        self.append(EntryKind.IDENTITY, self._identified["kind"], key, self._identified)
        return key

    def _insert(self, entry: Entry) -> None:
        """Add an entry as the next one of the chain."""
        (link,) = chain(self.last_link(), [entry.text])
        self._db.execute("INSERT INTO entries (seq, entry, hash) VALUES (?, ?, ?)", link)

    def last_link(self) -> Link | None:
        """Return the end of the chain, None if it is empty."""
        query = "SELECT seq, entry, hash FROM entries WHERE seq IS NOT NULL ORDER BY seq DESC LIMIT 1"
        return next((Link(*row) for row in self.query(query)), None)

    def links(self, after: int = 0, until: int = LAST) -> Iterator[Link]:
        """Yield the links with a number above ``after`` and up to ``until``, in order, a page in memory at a time."""
        query = "SELECT seq, entry, hash FROM entries WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
        while page := self.query(query, after, until, PAGE):
            yield from (Link(*row) for row in page)
            after = page[-1][0]

    def hash_at(self, seq: int) -> str:
        """Return the hash of an entry of the chain, "" if there is none with this number."""
        return next((str(hash_) for (hash_,) in self.query("SELECT hash FROM entries WHERE seq = ?", seq)), "")

    def checkpoints(self) -> Iterator[tuple[int, str, str]]:
        """Yield the number of each checkpoint, the key that signed it and the signed note, newest first."""
        query = (
            "SELECT seq, subject, json_extract(entry, '$.data.note') FROM entries"
            " WHERE kind = 'checkpoint' AND seq < ? ORDER BY seq DESC LIMIT ?"
        )
        before = LAST
        while page := self.query(query, before, PAGE):
            yield from ((seq, key, note) for seq, key, note in page)
            before = page[-1][0]

    def adopt(self, links: Sequence[Link]) -> None:
        """Add links that follow the chain, as they are, and what follows from them."""
        with self.transaction():
            for link in links:
                self._adopt_one(link)
        if last := self.last_link():
            Anchor(last.seq, last.hash).write(self._anchor_file)

    def _adopt_one(self, link: Link) -> None:
        self._db.execute("INSERT INTO entries (seq, entry, hash) VALUES (?, ?, ?)", link)
        project(self._db, Entry.parse(link.entry))

    def entries(self, kind: EntryKind, subject: str, after: int = 0) -> list[tuple[int, Entry]]:
        """Return the entries of a kind and a subject with a number above ``after``, in order, with their numbers."""
        query = "SELECT id, entry FROM entries WHERE kind = ? AND subject = ? AND id > ? ORDER BY id"
        return [(id_, Entry.parse(text)) for id_, text in self.query(query, kind, subject, after)]

    def next_number(self, kind: EntryKind, subject: str) -> int:
        """Return how many entries of a kind a subject has, and one."""
        query = "SELECT count(*) + 1 FROM entries WHERE kind = ? AND subject = ?"
        return int(self.query(query, kind, subject)[0][0])

    def query(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Return the rows of an SQL query."""
        with self._lock, self._translate_errors():
            return self._db.execute(query, arguments).fetchall()

    def find_damage(self) -> str:
        """Return what was changed or lost of what abreast recorded, "" if nothing was."""
        anchor = Anchor.read(self._anchor_file)  # before the entries: others append to both
        with self._lock, self._translate_errors():
            self._db.execute("BEGIN")  # one state of all tables
            try:
                return find_damage(self._db, anchor, is_shared=self.is_shared)
            finally:
                self._db.execute("COMMIT")

    def settle(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Return the entries that stand, of a transaction that ended. Here they all do."""
        return entries

    def flush(self, patience: float) -> str:
        """Wait until everything is where others read it; return why it is not, "" if it is. Here it always is."""
        del patience
        return ""

    @contextmanager
    def transaction(self) -> Iterator[list[Entry]]:
        """Append the entries of the block together, or none of them. Yields the list of them."""
        with self._lock, self._translate_errors():
            self._db.execute("BEGIN IMMEDIATE")
            self.appended = []
            try:
                yield self.appended
                self._db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
            if self.appended and (last := self.last_link()):
                Anchor(last.seq, last.hash).write(self._anchor_file)

    def _prepare(self) -> None:
        tables = self._check_owner()
        with self._translate_errors():
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
        if tables:
            self._check_end()
        else:
            self._create_tables()

    def _check_owner(self) -> int:
        """Return how many tables the file has. Raises StateError if another program, or another version, made them."""
        with self._translate_errors():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            (application_id,) = self._db.execute("PRAGMA application_id").fetchone()
            (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if tables and application_id != file_errors.APPLICATION_ID:
                raise _state_error(file_errors.foreign_file_error(str(self._file)))
            if version > file_errors.SCHEMA_VERSION:
                raise _state_error(file_errors.newer_schema_error(str(self._file), version))
            if tables and version < file_errors.SCHEMA_VERSION:
                raise _state_error(file_errors.older_schema_error(str(self._file), version))
            return int(tables)

    def _check_end(self) -> None:
        """Raise StateError if the file has lost what was recorded last."""
        if lost := lost_entries(self._db, Anchor.read(self._anchor_file)):
            raise _state_error(file_errors.cut_off_error(str(self._file), lost))

    def _create_tables(self) -> None:
        with self.transaction():
            if self.query("SELECT 1 FROM sqlite_master"):  # another process was faster
                return
            for statement in (*ENTRIES, *PROJECTION):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA application_id = {file_errors.APPLICATION_ID}")
            self._db.execute(f"PRAGMA user_version = {file_errors.SCHEMA_VERSION}")

    def now(self) -> str:
        """Return the current time as ISO 8601 in UTC, to the millisecond."""
        return self._clock().astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise StateError for an SQLite error."""
        try:
            yield
        except sqlite3.Error as error:
            if why := file_errors.why_unwritable(str(self._file)):
                raise _state_error(file_errors.unwritable_error(str(self.folder), why)) from error
            raise _state_error(file_errors.damaged_file_error(str(self._file), str(error))) from error


class ReadOnlyEntryFile(EntryFile):
    """The entries as they are, of a folder in which nothing needs to be writable. Raises StateError for one more."""

    @classmethod
    def open(cls, folder: Path, clock: Callable[[], datetime]) -> Self:
        """Open the file in ``folder``; one that is missing has no entries. Raises StateError if it cannot be read."""
        file = folder / LEDGER_FILE
        if file_errors.is_ledger_lost(str(folder)):
            raise _state_error(file_errors.lost_ledger_error(str(file)))
        opened = cls._open(file, clock)
        opened.unwritable = file_errors.why_unwritable(str(file))
        return opened

    def _connect(self) -> sqlite3.Connection:
        if self._file.exists() and self._file.stat().st_size:
            return connect_read_only(str(self._file))
        return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)

    def _prepare(self) -> None:
        if self._check_owner():
            self._check_end()
            return
        for statement in (*ENTRIES, *PROJECTION):
            self._db.execute(statement)

    def transaction(self) -> Never:
        """Raise StateError."""
        raise _state_error(file_errors.unwritable_error(str(self.folder), self.unwritable or "it is open for reading"))


def make_state_folder(folder: Path) -> None:
    """Create a folder that its owner alone reads, and that git ignores. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ignore_file = folder / ".gitignore"
    if not ignore_file.exists() or ignore_file.read_text() != GIT_IGNORE:
        ignore_file.write_text(GIT_IGNORE)


def _state_error(texts: tuple[str, str, str]) -> StateError:
    what, need, next_command = texts
    return StateError(what, need=need, next=next_command)
