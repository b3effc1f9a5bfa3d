"""A ledger as deployments fill it, and everything that somebody with sqlite3 and time can do to its file."""

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from abreast.core.errors import StateError
from abreast.core.identity import Evidence, Identity
from abreast.ledger.checkpoints import Checkpoint, CheckpointSigner, VerifierKey, check_exported, check_recorded
from abreast.ledger.entries import Entry, EntryKind
from abreast.ledger.entry_file import ANCHOR_FILE, LEDGER_FILE
from abreast.ledger.hash_chain import GENESIS_HASH, link_hash
from abreast.ledger.projection import rebuild
from abreast.ledger.sqlite import SqliteLedger

CHAPTERS = ("gates", "build", "stage", "check", "turn", "watch", "settle")
SERVICES = ("frontend", "backend", "worker")
TABLES = {"deployments": "author", "live": "live", "secrets": "fingerprint"}


def new_signer(project: str = "shop") -> CheckpointSigner:
    return CheckpointSigner(project, Ed25519PrivateKey.generate())


def fill(ledger: SqliteLedger, deployments: int, signer: CheckpointSigner) -> None:
    """Record deployments of three services, each with a plan, events, steps, what is live, and a checkpoint."""
    ledger.file.identity = lambda: Identity("local", "ann", "1000", "laptop", evidence=Evidence.KERNEL)
    append = ledger.file.append
    for number in range(1, deployments + 1):
        id_, release, commit = f"{number:026}", f"v{number}", f"{number:040x}"
        definition = {"watch": ["src/**", "!**/*.md"], "env": {"LEVEL": "info"}, "run": "python -m app --port $PORT"}
        parts = [
            {"service": {"name": name, **definition}, "action": "deploy", "database_plan": None} for name in SERVICES
        ]
        with ledger.file.transaction():
            append(EntryKind.RELEASE, "shop", release, {"commit": commit})
            append(EntryKind.PLAN, id_, "", {
                "project": "shop", "environment": "staging", "kind": "deploy", "release": release, "commit": commit,
                "author": "ann", "reason": f"ticket {number}", "gates": [], "superseded": "", "services": parts,
            })  # fmt: skip
            _event(ledger, id_, "started", state="running")
            for name in SERVICES:
                append(EntryKind.PART, release, name, {"artifact": f"sha256:{number:064x}", "definition": definition})
                for chapter in CHAPTERS:
                    for kind in ("started", "finished"):
                        _event(ledger, id_, f"{name}/{chapter}/{kind}", chapter=chapter, service=name, kind=kind)
                    append(EntryKind.STEP, f"{id_}/{name}", chapter, {"result": {"version": release, "port": 8000}})
            live = {name: {"release": release, "platform": "local"} for name in SERVICES}
            append(EntryKind.LIVE, "staging", str(number), live)
            append(EntryKind.SECRETS, "staging", str(number), {"backend/TOKEN": f"{number:08x}"})
            _event(ledger, id_, "ended", state="succeeded")
        ledger.record_checkpoint(signer)


def _event(ledger: SqliteLedger, id_: str, key: str, *, kind: str = "state", **fields: object) -> None:
    event = {"kind": kind, "message": "", "service": None, "chapter": None, "state": None, "data": {}, **fields}
    ledger.file.append(EntryKind.EVENT, id_, key, event)


class Tamperer:
    """Changes copies of a ledger's folder at random. ``last`` is the number of the last entry."""

    def __init__(self, original: Path, copy: Path, chance: random.Random, last: int) -> None:
        self._original, self._copy, self._chance, self._last = original, copy, chance, last
        self._copy.mkdir(exist_ok=True)

    def tamper(self, kind: str) -> None:
        """Make a new copy and tamper with it, in a way of ``KINDS``. Triggers are dropped first, and made again."""
        for file in self._copy.iterdir():
            file.unlink()
        for name in (LEDGER_FILE, ANCHOR_FILE):
            shutil.copy(self._original / name, self._copy / name)
        with closing(sqlite3.connect(self._copy / LEDGER_FILE, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = OFF")
            db.execute("BEGIN")
            triggers = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for name, _ in triggers:
                db.execute(f"DROP TRIGGER {name}")
            KINDS[kind](self, db)
            for _, statement in triggers:
                db.execute(statement)
            db.execute("COMMIT")

    def pick(self) -> int:
        return self._chance.randint(1, self._last)

    def edit(self, db: sqlite3.Connection) -> int:
        """Change one text or number somewhere in an entry."""
        seq = self.pick()
        entry = json.loads(_text(db, seq))
        holder, key = self._chance.choice(list(_leaves(entry)))
        value = holder[key]  # type: ignore[index]
        if holder is entry and key == "kind":
            value = self._chance.choice([kind for kind in EntryKind if kind != value])
        elif isinstance(value, str):
            value += "x"
        else:
            value = "x"
        holder[key] = value  # type: ignore[index]
        _write(db, seq, json.dumps(entry, sort_keys=True, ensure_ascii=False))
        return seq

    def edit_with_hash(self, db: sqlite3.Connection) -> None:
        seq = self.edit(db)
        db.execute("UPDATE entries SET hash = ? WHERE seq = ?", (link_hash(_hash(db, seq - 1), _text(db, seq)), seq))

    def edit_hash(self, db: sqlite3.Connection) -> None:
        other = f"{self._chance.getrandbits(256):064x}"
        db.execute("UPDATE entries SET hash = ? WHERE seq = ?", (other, self.pick()))

    def delete(self, db: sqlite3.Connection) -> int:
        seq = self.pick()
        db.execute("DELETE FROM entries WHERE seq = ?", (seq,))
        return seq

    def delete_and_renumber(self, db: sqlite3.Connection) -> None:
        _renumber(db, after=self.delete(db))

    def swap(self, db: sqlite3.Connection) -> None:
        """Exchange what two entries say, or their numbers with their hashes."""
        first, second = self._chance.sample(range(1, self._last + 1), 2)
        if self._chance.random() < 0.5:
            second = first + 1 if first < self._last else first - 1
        with_hash = self._chance.random() < 0.5
        rows = [
            (db.execute("SELECT id, hash FROM entries WHERE seq = ?", (seq,)).fetchone()) for seq in (first, second)
        ]
        (one, one_hash), (other, other_hash) = rows
        db.execute("UPDATE entries SET seq = -1 WHERE id = ?", (one,))
        db.execute(
            "UPDATE entries SET seq = ?, hash = ? WHERE id = ?", (first, other_hash if with_hash else one_hash, other)
        )
        db.execute(
            "UPDATE entries SET seq = ?, hash = ? WHERE id = ?", (second, one_hash if with_hash else other_hash, one)
        )

    def insert(self, db: sqlite3.Connection) -> None:
        """Put an entry between two others."""
        before, text = self._chance.randint(0, self._last - 1), self._new_entry()
        db.execute("UPDATE entries SET seq = -seq - 1 WHERE seq > ?", (before,))
        db.execute("UPDATE entries SET seq = -seq WHERE seq < 0")
        row = (before + 1, text, link_hash(_hash(db, before), text))
        db.execute("INSERT INTO entries (seq, entry, hash) VALUES (?, ?, ?)", row)

    def insert_outside(self, db: sqlite3.Connection) -> None:
        """Add an entry that is not in the chain, with what follows from it."""
        db.execute("INSERT INTO entries (entry) VALUES (?)", (self._new_entry(),))

    def _new_entry(self) -> str:
        return Entry(EntryKind.ACT, "staging", str(self._chance.getrandbits(64)), {"act": "approve"}).text

    def edit_table(self, db: sqlite3.Connection) -> None:
        table = self._chance.choice(list(TABLES))
        (rows,) = db.execute(f"SELECT count(*) FROM {table}").fetchone()
        which = f"rowid = (SELECT rowid FROM {table} LIMIT 1 OFFSET {self._chance.randrange(rows)})"
        change = f"UPDATE {table} SET {TABLES[table]} = 'x' WHERE {which}"
        db.execute(self._chance.choice([change, f"DELETE FROM {table} WHERE {which}"]))

    def cut(self, db: sqlite3.Connection) -> None:
        """Cut the end off, and leave no trace of it: neither in the tables nor in the anchor."""
        seq = self._chance.randint(1, self._last - 1)
        db.execute("DELETE FROM entries WHERE seq > ?", (seq,))
        self.forge(db)

    def forge(self, db: sqlite3.Connection) -> None:
        """Compute all hashes again, make the tables follow, and write the anchor."""
        texts = [text for (text,) in db.execute("SELECT entry FROM entries WHERE seq IS NOT NULL ORDER BY seq")]
        db.execute("DELETE FROM entries")
        previous = GENESIS_HASH
        for seq, text in enumerate(texts, 1):
            previous = link_hash(previous, text)
            db.execute("INSERT INTO entries (seq, entry, hash) VALUES (?, ?, ?)", (seq, text, previous))
        with suppress(StateError, ValueError, KeyError, TypeError, AttributeError, sqlite3.Error):  # they make no sense
            rebuild(db, map(Entry.parse, texts))
        (self._copy / ANCHOR_FILE).write_text(json.dumps({"seq": len(texts), "hash": previous}))


def _leaves(value: object) -> list[tuple[dict[str, object] | list[object], str | int]]:
    """Return where each text and number in a JSON value is."""
    assert isinstance(value, dict | list)
    places = list(value.items() if isinstance(value, dict) else enumerate(value))
    inner = [leaf for _, part in places if isinstance(part, dict | list) for leaf in _leaves(part)]
    return [*((value, key) for key, part in places if not isinstance(part, dict | list)), *inner]


def _text(db: sqlite3.Connection, seq: int) -> str:
    return str(db.execute("SELECT entry FROM entries WHERE seq = ?", (seq,)).fetchone()[0])


def _hash(db: sqlite3.Connection, seq: int) -> str:
    return str(db.execute("SELECT hash FROM entries WHERE seq = ?", (seq,)).fetchone()[0]) if seq else GENESIS_HASH


def _write(db: sqlite3.Connection, seq: int, text: str) -> None:
    entry = json.loads(text)
    db.execute(  # another entry with this key is in the way: only a forger of more than one thing comes here
        "DELETE FROM entries WHERE kind = ? AND subject = ? AND key = ? AND seq <> ?",
        (entry["kind"], entry["subject"], entry["key"], seq),
    )
    db.execute("UPDATE entries SET entry = ? WHERE seq = ?", (text, seq))


def _renumber(db: sqlite3.Connection, after: int) -> None:
    db.execute("UPDATE entries SET seq = -seq + 1 WHERE seq > ?", (after,))
    db.execute("UPDATE entries SET seq = -seq WHERE seq < 0")


def _then_forge(
    change: Callable[[Tamperer, sqlite3.Connection], object],
) -> Callable[[Tamperer, sqlite3.Connection], None]:
    def both(tamperer: Tamperer, db: sqlite3.Connection) -> None:
        change(tamperer, db)
        tamperer.forge(db)

    return both


KINDS: dict[str, Callable[[Tamperer, sqlite3.Connection], object]] = {
    "edit": Tamperer.edit,
    "edit, with its hash": Tamperer.edit_with_hash,
    "edit a hash": Tamperer.edit_hash,
    "edit, all hashes computed again": _then_forge(Tamperer.edit),
    "delete": Tamperer.delete,
    "delete, numbers closed": Tamperer.delete_and_renumber,
    "delete, all hashes computed again": _then_forge(Tamperer.delete),
    "swap": Tamperer.swap,
    "swap, all hashes computed again": _then_forge(Tamperer.swap),
    "insert": Tamperer.insert,
    "insert outside of the chain": Tamperer.insert_outside,
    "insert, all hashes computed again": _then_forge(Tamperer.insert),
    "edit a table": Tamperer.edit_table,
    "cut after a checkpoint": Tamperer.cut,
}


def find(folder: Path, exported: Checkpoint, keys: list[VerifierKey]) -> str:
    """Return what is wrong with a ledger, as ``abreast audit verify --checkpoint`` does, "" if nothing is."""
    try:
        with SqliteLedger.open(folder) as ledger:
            if damage := ledger.find_damage():
                return damage
            file, last = ledger.file, ledger.file.last_link()
            fault = check_recorded(file.checkpoints(), file.hash_at, keys).fault
            return fault or check_exported(exported, file.hash_at, last.seq if last else 0, keys)
    except StateError as error:
        return error.what
