"""The versions of the example that the demo deploys: each an edit of the one before, small enough to read."""

from dataclasses import dataclass
from pathlib import Path

APP = "backend/app.py"
PAGE = "frontend/src/index.html"
SECOND = "backend/migrations/002_order_note.sql"
THIRD = "backend/migrations/003_once.sql"
HEALTHY = 'return 200, {"status": "ok", "release": RELEASE, "commit": COMMIT}'
SICK_AFTER_START = (
    "import time\n"
    "        if time.perf_counter() - START > 1:\n"
    '            return 503, {"status": "no connection to the payment service"}\n'
    f"        {HEALTHY}"
)
SICK_WITH_USERS = (
    f'if self.database.total_changes > 200:\n            return 503, {{"status": "out of memory"}}\n        {HEALTHY}'
)
ORDER = '"INSERT INTO orders (product, at) VALUES (?, datetime(\'now\'))", (int(wanted["product"]),)'
ORDER_WITH_NOTE = (
    "\"INSERT INTO orders (product, at, note) VALUES (?, datetime('now'), ?)\",\n"
    '                (int(wanted["product"]), str(wanted.get("note", ""))),'
)


@dataclass(frozen=True, slots=True)
class Edit:
    """In ``path``, ``old`` (which stands there once) becomes ``new``; an empty ``old`` is a new file."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Step:
    """A commit: its subject and its edits; ``without``: files that it takes away."""

    subject: str
    edits: tuple[Edit, ...] = ()
    without: tuple[str, ...] = ()


START = Edit(APP, "DATABASE = ", "START = __import__('time').perf_counter()\nDATABASE = ")

STEPS = {
    1: Step("Open the shop", without=(SECOND,)),
    2: Step(
        "Take a note with each order",
        (
            Edit(SECOND, "", "ALTER TABLE orders ADD COLUMN note TEXT NOT NULL DEFAULT '';\n"),
            Edit(APP, ORDER, ORDER_WITH_NOTE),
            Edit(PAGE, "<h1>Storefront</h1>", "<h1>Storefront</h1><em>now with notes</em>"),
        ),
    ),
    3: Step(
        "Sell each thing once (it was sold more often)",
        (
            Edit(THIRD, "", "CREATE UNIQUE INDEX once ON orders (product);\n"),
            Edit(PAGE, "now with notes", "one of each"),
        ),
    ),
    4: Step(
        "Pay by a new service (its address is wrong)",
        (START, Edit(APP, HEALTHY, SICK_AFTER_START), Edit(PAGE, "one of each", "pay as you like")),
        without=(THIRD,),
    ),
    5: Step(
        "Pay by a new service (it leaks)",
        (Edit(APP, SICK_AFTER_START, SICK_WITH_USERS), Edit(PAGE, "pay as you like", "pay as you wish")),
    ),
    6: Step("Mend the leak", (Edit(APP, SICK_WITH_USERS, HEALTHY),)),
}


def write_version(folder: Path, number: int) -> str:
    """Bring the example in ``folder`` from the version before to this one; returns the commit's subject.

    Raises ValueError when a text to be replaced does not stand there exactly once.
    """
    step = STEPS[number]
    for edit in step.edits:
        _apply(folder / edit.path, edit)
    for name in step.without:
        (folder / name).unlink()
    return step.subject


def _apply(file: Path, edit: Edit) -> None:
    if not edit.old:
        file.write_text(edit.new)
        return
    text = file.read_text()
    if text.count(edit.old) != 1:
        raise ValueError(f"{edit.path}: {edit.old[:40]!r} stands there {text.count(edit.old)} times")
    file.write_text(text.replace(edit.old, edit.new))
