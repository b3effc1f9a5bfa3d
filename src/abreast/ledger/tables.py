"""The tables of a ledger: its entries, and what they come to. ``abreast status`` reads them with its own SQL."""

ENTRIES = (
    """CREATE TABLE entries (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, entry TEXT NOT NULL, hash TEXT NOT NULL,
        kind TEXT NOT NULL AS (json_extract(entry, '$.kind')) STORED,
        subject TEXT NOT NULL AS (json_extract(entry, '$.subject')) STORED,
        key TEXT NOT NULL AS (json_extract(entry, '$.key')) STORED,
        UNIQUE (kind, subject, key)
    ) STRICT""",
    """CREATE TRIGGER entries_stay BEFORE UPDATE ON entries
        BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END""",
    """CREATE TRIGGER entries_remain BEFORE DELETE ON entries
        BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END""",
)

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
)
