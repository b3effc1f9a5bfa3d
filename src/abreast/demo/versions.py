"""The versions of the example that the demo deploys. Each is a small edit of the one before."""

from dataclasses import dataclass
from pathlib import Path

APP = "backend/app.py"
PAGE = "frontend/src/index.html"
SECOND_MIGRATION = "backend/migrations/002_order_note.sql"
THIRD_MIGRATION = "backend/migrations/003_once.sql"
HEALTHY_RESPONSE = 'return 200, {"status": "ok", "release": RELEASE, "commit": COMMIT}'
UNHEALTHY_AFTER_START = (
    "import time\n"
    "        if time.perf_counter() - START > 1:\n"
    '            return 503, {"status": "no connection to the payment service"}\n'
    f"        {HEALTHY_RESPONSE}"
)
UNHEALTHY_WITH_USERS = (
    "if self.database.total_changes > 200:\n"
    '            return 503, {"status": "out of memory"}\n'
    f"        {HEALTHY_RESPONSE}"
)
INSERT_ORDER = '"INSERT INTO orders (product, at) VALUES (?, datetime(\'now\'))", (int(wanted["product"]),)'
INSERT_ORDER_WITH_NOTE = (
    "\"INSERT INTO orders (product, at, note) VALUES (?, datetime('now'), ?)\",\n"
    '                (int(wanted["product"]), str(wanted.get("note", ""))),'
)


@dataclass(frozen=True, slots=True)
class Edit:
    """Replaces ``old``, which must occur once in ``path``, by ``new``. An empty ``old`` creates the file."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class VersionCommit:
    """A commit: its subject, its edits, and the files it removes."""

    subject: str
    edits: tuple[Edit, ...] = ()
    removed_files: tuple[str, ...] = ()


ADD_START_TIME = Edit(APP, "DATABASE = ", "START = __import__('time').perf_counter()\nDATABASE = ")

VERSION_COMMITS = {
    1: VersionCommit("Open the shop", removed_files=(SECOND_MIGRATION,)),
    2: VersionCommit(
        "Take a note with each order",
        (
            Edit(
                SECOND_MIGRATION,
                "",
                "-- irreversible: what customers wrote would be lost\n"
                "ALTER TABLE orders ADD COLUMN note TEXT NOT NULL DEFAULT '';\n",
            ),
            Edit(APP, INSERT_ORDER, INSERT_ORDER_WITH_NOTE),
            Edit(PAGE, "<h1>Storefront</h1>", "<h1>Storefront</h1><em>now with notes</em>"),
        ),
    ),
    3: VersionCommit(
        "Sell each product only once (some were sold twice)",
        (
            Edit(THIRD_MIGRATION, "", "CREATE UNIQUE INDEX once ON orders (product);\n"),
            Edit(PAGE, "now with notes", "one of each"),
        ),
    ),
    4: VersionCommit(
        "Pay with a new service (its address is wrong)",
        (
            ADD_START_TIME,
            Edit(APP, HEALTHY_RESPONSE, UNHEALTHY_AFTER_START),
            Edit(PAGE, "one of each", "pay as you like"),
        ),
        removed_files=(THIRD_MIGRATION,),
    ),
    5: VersionCommit(
        "Pay with a new service (it leaks)",
        (Edit(APP, UNHEALTHY_AFTER_START, UNHEALTHY_WITH_USERS), Edit(PAGE, "pay as you like", "pay as you wish")),
    ),
    6: VersionCommit("Fix the leak", (Edit(APP, UNHEALTHY_WITH_USERS, HEALTHY_RESPONSE),)),
}


def write_version(folder: Path, number: int) -> str:
    """Edit the example in ``folder`` from the version before to this one, and return the commit's subject.

    Raises ValueError if a text to replace does not occur exactly once.
    """
    commit = VERSION_COMMITS[number]
    for edit in commit.edits:
        _apply_edit(folder / edit.path, edit)
    for name in commit.removed_files:
        (folder / name).unlink()
    return commit.subject


def _apply_edit(file: Path, edit: Edit) -> None:
    if not edit.old:
        file.write_text(edit.new)
        return
    text = file.read_text()
    if text.count(edit.old) != 1:
        raise ValueError(f"{edit.path}: {edit.old[:40]!r} occurs {text.count(edit.old)} times")
    file.write_text(text.replace(edit.old, edit.new))
