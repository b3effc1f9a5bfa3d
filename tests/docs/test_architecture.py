"""The architecture page names every folder of the package, and nothing that is not there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "abreast"
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def _table(heading: str) -> list[list[str]]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return rows[2:]


def test_every_folder_has_its_job() -> None:
    named = {name for row in _table("The folders") for name in re.findall(r"`([^`]+)`", row[0])}
    folders = {path.parent.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("__init__.py")}
    assert named == {name for name in folders if name != "." and not name.startswith("demo/storefront")}


def test_every_file_it_names_is_there() -> None:
    for row in _table("The folders"):
        homes = [PACKAGE / name for name in re.findall(r"`([^`]+)`", row[0])]
        for name in re.findall(r"`([a-z_]+\.py)`", row[1]):
            assert any((home / name).is_file() for home in homes), (row[0], name)
    for path in re.findall(r"`((?:core|config|wiring|deploy|ledger|cli|platforms|tests|src)/[a-z_/]+\.py)`", PAGE):
        assert any((base / path).is_file() for base in (PACKAGE, ROOT)), path
