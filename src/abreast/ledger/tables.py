"""The tables of a ledger: its entries, and what they come to. ``abreast status`` reads them with its own SQL."""

ENTRIES = (
    """CREATE TABLE entries (
        id INTEGER PRIMARY KEY AUTOINCREMENT, entry TEXT NOT NULL, seq INTEGER UNIQUE, hash TEXT,
        kind TEXT NOT NULL AS (json_extract(entry, '$.kind')) STORED,
        subject TEXT NOT NULL AS (json_extract(entry, '$.subject')) STORED,
        key TEXT NOT NULL AS (json_extract(entry, '$.key')) STORED,
        UNIQUE (kind, subject, key)
    ) STRICT""",
    """CREATE TRIGGER entries_stay BEFORE UPDATE ON entries WHEN old.seq IS NOT NULL OR new.entry <> old.entry
        BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END""",
    """CREATE TRIGGER entries_remain BEFORE DELETE ON entries WHEN old.seq IS NOT NULL
        BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END""",
)
"""``id`` is the order in which entries came to this file, ``seq`` their number in the chain.

They are the same, unless the ledger is kept elsewhere (``mirror.py``): an entry that is not there yet has no number.
"""

PROJECTION = (
    """CREATE TABLE deployments (
        id TEXT PRIMARY KEY, project TEXT NOT NULL, environment TEXT NOT NULL, kind TEXT NOT NULL,
        release TEXT NOT NULL, commit_id TEXT NOT NULL, state TEXT NOT NULL, chapter TEXT NOT NULL,
        started TEXT NOT NULL, finished TEXT, author TEXT NOT NULL, reason TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX deployments_by_environment ON deployments (environment, id)",
    """CREATE TABLE live (
        environment TEXT NOT NULL, service TEXT NOT NULL, live TEXT NOT NULL, PRIMARY KEY (environment, service)
    ) STRICT""",
    """CREATE TABLE secrets (
        environment TEXT NOT NULL, name TEXT NOT NULL, fingerprint TEXT NOT NULL, since TEXT NOT NULL,
        PRIMARY KEY (environment, name)
    ) STRICT""",
    "CREATE TABLE leases (environment TEXT PRIMARY KEY, number INTEGER NOT NULL, holder TEXT) STRICT",
    "CREATE TABLE operator_locks (environment TEXT PRIMARY KEY, lock TEXT NOT NULL) STRICT",
)
