"""The ledger's tables; ``abreast status`` reads them with its own SQL."""

CREATE_STATEMENTS = (
    """CREATE TABLE IF NOT EXISTS secrets (
        environment TEXT NOT NULL, name TEXT NOT NULL, fingerprint TEXT NOT NULL, since TEXT NOT NULL,
        PRIMARY KEY (environment, name)
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS deployments (
        id TEXT PRIMARY KEY, project TEXT NOT NULL, environment TEXT NOT NULL, kind TEXT NOT NULL,
        release TEXT NOT NULL, commit_id TEXT NOT NULL, state TEXT NOT NULL, chapter TEXT NOT NULL,
        started TEXT NOT NULL, finished TEXT, author TEXT NOT NULL, reason TEXT NOT NULL, plan TEXT NOT NULL
    ) STRICT""",
    "CREATE INDEX IF NOT EXISTS deployments_by_environment ON deployments (environment, id)",
    """CREATE TABLE IF NOT EXISTS events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, deployment TEXT NOT NULL REFERENCES deployments (id),
        key TEXT NOT NULL, event TEXT NOT NULL, hash TEXT NOT NULL, UNIQUE (deployment, key)
    ) STRICT""",
    """CREATE TRIGGER IF NOT EXISTS events_stay BEFORE UPDATE ON events
        BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END""",
    """CREATE TRIGGER IF NOT EXISTS events_remain BEFORE DELETE ON events
        BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END""",
    """CREATE TABLE IF NOT EXISTS releases (
        number INTEGER PRIMARY KEY, project TEXT NOT NULL, commit_id TEXT NOT NULL, created TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS parts (
        release INTEGER NOT NULL REFERENCES releases (number), service TEXT NOT NULL, commit_id TEXT NOT NULL,
        artifact TEXT NOT NULL, definition TEXT NOT NULL, PRIMARY KEY (release, service)
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS live (
        environment TEXT NOT NULL, service TEXT NOT NULL, release TEXT NOT NULL, commit_id TEXT NOT NULL,
        since TEXT NOT NULL, live TEXT NOT NULL, PRIMARY KEY (environment, service)
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS requests (
        deployment TEXT PRIMARY KEY REFERENCES deployments (id), request TEXT NOT NULL, reason TEXT NOT NULL,
        at TEXT NOT NULL
    ) STRICT""",
)
