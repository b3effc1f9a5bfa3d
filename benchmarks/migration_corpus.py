"""The migrations of public projects, as their tools run them, and the labels of some of their statements."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

LABELS_FILE = Path(__file__).parent / "compatibility_labels.txt"


@dataclass(frozen=True, slots=True)
class Source:
    """Migrations of a repository in one dialect. ``files``: their paths in order, in its clone. ``setup``: SQL first."""

    name: str
    repository: str
    commit: str
    engine: str
    files: Callable[[Path], list[Path]]
    setup: str = ""
    repair: Callable[[str], str] = str


def _glob(pattern: str) -> Callable[[Path], list[Path]]:
    return lambda clone: sorted(clone.glob(pattern))


def _numbered(pattern: str) -> Callable[[Path], list[Path]]:
    return lambda clone: sorted(clone.glob(pattern), key=lambda file: int(file.name.split("-")[0]))


def _kratos(dialect: str) -> Callable[[Path], list[Path]]:
    """Return the files of a dialect, and those of no dialect where it has none (https://gobuffalo.io/documentation/database/migrations)."""
    name = re.compile(r"(\d+_.+?)(?:\.autocommit)?(?:\.(sqlite3?|postgres|cockroach|mysql))?(?:\.autocommit)?\.up\.sql")

    def files(clone: Path) -> list[Path]:
        found: dict[str, Path] = {}
        for file in sorted((clone / "persistence/sql/migrations/sql").glob("*.up.sql")):
            match = name.fullmatch(file.name)
            kind = (match[2] or "").replace("sqlite3", "sqlite") if match else "none"
            if match and (kind == dialect or (not kind and match[1] not in found)):
                found[match[1]] = file
        return [found[key] for key in sorted(found) if found[key].read_text().strip()]

    return files


def _synapse(suffix: str) -> Callable[[Path], list[Path]]:
    def files(clone: Path) -> list[Path]:
        schema = clone / "synapse/storage/schema"
        parts = ("common", "state", "main")
        full = [file for part in parts for file in schema.glob(f"{part}/full_schemas/72/full.sql{suffix}")]
        deltas = [file for part in parts for file in schema.glob(f"{part}/delta/*/*") if int(file.parent.name) > 72]
        own = [file for file in deltas if file.name.endswith((".sql", f".sql{suffix}"))]
        return full + sorted(own, key=lambda file: (int(file.parent.name), file.name))

    return files


def _with_identity(definition: str) -> Callable[[str], str]:
    return lambda text: text.replace("$%AUTO_INCREMENT_PRIMARY_KEY%$", definition)


_ROLES = """DO $$ DECLARE name text; BEGIN
FOREACH name IN ARRAY ARRAY['anon', 'authenticated', 'service_role', 'supabase_auth_admin', 'dashboard_user'] LOOP
IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = name) THEN EXECUTE format('CREATE ROLE %I', name); END IF;
END LOOP; END $$; CREATE SCHEMA auth;"""
_STORAGE_SETUP = _ROLES + "CREATE SCHEMA extensions; CREATE TABLE auth.users (id uuid PRIMARY KEY);"

_KRATOS, _VAULTWARDEN, _SYNAPSE = (
    ("ory/kratos", "b86338d"), ("dani-garcia/vaultwarden", "46d7110"), ("element-hq/synapse", "a58ad44eb0"),
)  # fmt: skip
SOURCES = (
    Source("lemmy", "LemmyNet/lemmy", "439734d", "postgresql", _glob("migrations/*/up.sql")),
    Source("crates.io", "rust-lang/crates.io", "57fa000", "postgresql", _glob("migrations/*/up.sql")),
    Source("vaultwarden-postgresql", *_VAULTWARDEN, "postgresql", _glob("migrations/postgresql/*/up.sql")),
    Source("vaultwarden-sqlite", *_VAULTWARDEN, "sqlite", _glob("migrations/sqlite/*/up.sql")),
    Source("kratos-sqlite", *_KRATOS, "sqlite", _kratos("sqlite")),
    Source("kratos-postgresql", *_KRATOS, "postgresql", _kratos("postgres")),
    Source("auth", "supabase/auth", "bc32168", "postgresql", _glob("migrations/*.up.sql"),
           _ROLES + "ALTER DATABASE {database} SET search_path = auth, public",
           lambda text: re.sub(r'\{\{\s*index .Options "Namespace"\s*\}\}', "auth", text)),
    Source("storage", "supabase/storage", "4fa61fb", "postgresql", _numbered("migrations/tenant/*.sql"),
           _STORAGE_SETUP + "ALTER DATABASE {database} SET search_path = storage, public"),
    Source("documenso", "documenso/documenso", "75330166c", "postgresql",
           _glob("packages/prisma/migrations/*/migration.sql")),
    Source("umami", "umami-software/umami", "c0ea3ae", "postgresql", _glob("prisma/migrations/*/migration.sql")),
    Source("synapse-postgresql", *_SYNAPSE, "postgresql", _synapse(".postgres"),
           repair=_with_identity("BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY")),
    Source("synapse-sqlite", *_SYNAPSE, "sqlite", _synapse(".sqlite"),
           repair=_with_identity("INTEGER PRIMARY KEY AUTOINCREMENT")),
)  # fmt: skip
SQUAWK = ("squawk", "sbdchd/squawk", "5125ddf")
"""A linter, whose tests are snippets for tables that are not shown."""
_SNIPPET = re.compile(r'let sql = (?:r#"(.*?)"#|r?"(.*?)");', re.DOTALL)


def squawk_snippets(clone: Path) -> Iterator[tuple[str, str]]:
    """Yield the file and the text of each snippet of SQL in squawk's tests."""
    for file in sorted(clone.glob("crates/squawk_linter/src/rules/*.rs")):
        for found in _SNIPPET.finditer(file.read_text()):
            yield file.name, found[1] or found[2] or ""


def digest(statement: str) -> str:
    """Return how the labels name a statement of a file."""
    return sha256(statement.encode()).hexdigest()[:12]


def read_labels() -> dict[str, dict[str, dict[str, bool]]]:
    """Return whether statements must be flagged, by source, file, and digest."""
    labels: dict[str, dict[str, dict[str, bool]]] = {}
    for line in LABELS_FILE.read_text().splitlines():
        if line and not line.startswith("#"):
            source, file, *marks = line.split()
            labels.setdefault(source, {})[file] = {mark[1:]: mark[0] == "+" for mark in marks}
    return labels
