"""Singular and plural, in every message that counts."""

import ast
from pathlib import Path

import pytest

from abreast.core.wording import counted

PACKAGE = Path(__file__).parents[2] / "src" / "abreast"
COUNTED_NOUNS = {
    "services", "environments", "deployments", "files", "rows", "tables", "migrations", "tests", "seconds", "days",
    "backups", "functions", "events",
}  # fmt: skip
TOTALS = "draft_deploys.py"
"""The file that says how many of a total: 1 of 3 files."""


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 services"), (1, "1 service"), (2, "2 services")]
)  # fmt: skip
def test_a_number_and_its_noun(number: int, text: str) -> None:
    assert counted(number, "service") == text


def test_an_irregular_plural() -> None:
    assert (counted(1, "copy", "copies"), counted(2, "copy", "copies")) == ("1 copy", "2 copies")


def _plurals_after_counts(file: Path) -> list[str]:
    """Return the texts in which ``{len(…)}`` or ``{sum(…)}`` is followed by a noun that is always a plural."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, following in zip(node.values, node.values[1:], strict=False):
            if not (isinstance(value, ast.FormattedValue) and isinstance(following, ast.Constant)):
                continue
            if isinstance(value.value, ast.Call) and getattr(value.value.func, "id", "") in {"len", "sum"}:
                word = str(following.value).strip().split(" ")[0].strip(",.)")
                if str(following.value).startswith(" ") and word in COUNTED_NOUNS:
                    found.append(f"{file.name}:{node.lineno} {word}")
    return found


@pytest.mark.exhaustive
def test_no_message_counts_without_a_singular() -> None:
    found = [
        text for file in PACKAGE.rglob("*.py") if "testing" not in file.parts for text in _plurals_after_counts(file)
    ]
    assert [text for text in found if not text.startswith(TOTALS)] == [], "use counted()"
