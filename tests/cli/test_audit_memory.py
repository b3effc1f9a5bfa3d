"""The trail is read a page at a time: ten times the entries take no more memory."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from abreast.ledger.entries import Entry, EntryKind
from abreast.ledger.entry_file import LEDGER_FILE, EntryFile
from abreast.ledger.hash_chain import chain
from abreast.wiring.state_homes import create_home
from state_worlds import GitWorld

CONFIG = "project: shop\nservices: {site: {build: {output: .}}}\n"
FEW, MANY = 5_000, 50_000
PROGRAM = """
import re, sys
from pathlib import Path
from abreast.__main__ import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(re.search("VmHWM:\\\\s*(\\\\d+)", Path("/proc/self/status").read_text())[1], file=sys.stderr)
"""


def entries(number: int) -> Iterator[str]:
    """Yield the texts of entries of which every fourth is an act."""
    for index in range(number):
        at = f"2026-01-01T00:00:00.{index % 1000:03}Z"
        if index % 4:
            yield Entry(EntryKind.STEP, "workflow", str(index), {"result": f"{index} " * 60}, at).text
        else:
            act = {"act": "deploy", "outcome": "refused", "why": f"{index} " * 20, "detail": ""}
            yield Entry(EntryKind.ACT, "production", str(index), act, at).text


def peak_memory(folder: Path, *arguments: str, **variables: str) -> int:
    """Return the most memory in bytes that a command had, whose output has no end that matters."""
    with (folder / "output").open("w") as output:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *arguments], cwd=folder, stdout=output, stderr=subprocess.PIPE, text=True,
            check=True, env={"PATH": "/usr/bin:/bin", "HOME": str(folder), **variables},
        )  # fmt: skip
    return int(done.stderr.split()[-1]) * 1024


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a project with few entries and one with ten times as many."""
    folders = tmp_path_factory.mktemp("few"), tmp_path_factory.mktemp("many")
    for folder, number in zip(folders, (FEW, MANY), strict=True):
        (folder / "abreast.yml").write_text(CONFIG)
        with EntryFile.open(folder / ".abreast", lambda: datetime.now(UTC)) as file:
            file.adopt(chain(None, entries(number)))
    return folders


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel tells the peak of memory on Linux only")
@pytest.mark.parametrize(
    "command",
    [("audit", "verify"), ("audit", "export"), ("audit", "export", "--csv"), ("audit", "export", "--json")],
    ids=" ".join,
)
def test_ten_times_the_entries_take_no_more_memory(projects: tuple[Path, Path], command: tuple[str, ...]) -> None:
    few, many = (peak_memory(folder, *command) for folder in projects)
    sizes = [(folder / ".abreast" / LEDGER_FILE).stat().st_size for folder in projects]
    assert many - few < (sizes[1] - sizes[0]) / 5, f"{few:,} and {many:,} bytes for ledgers of {sizes} bytes"


@pytest.mark.exhaustive
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel tells the peak of memory on Linux only")
def test_a_home_elsewhere_is_read_a_commit_at_a_time(tmp_path: Path) -> None:
    peaks, few, many = [], 2_500, 25_000
    for number in (few, many):
        world = GitWorld(tmp_path / str(number))
        world.home("shop").close()
        clone = world.folder / "shop"
        (clone / "abreast.yml").write_text(CONFIG)
        links, home = chain(None, entries(number)), create_home("git", clone / "abreast.yml")
        for start in range(0, number, 1000):
            assert home.append(links[start - 1] if start else None, links[start : start + 1000])
        home.close()
        peak_memory(clone, "state", "show", ABREAST_STATE="git")
        peaks.append(peak_memory(clone, "audit", "verify", ABREAST_STATE="git"))
    size = sum(len(text) for text in entries(many - few))
    assert peaks[1] - peaks[0] < size / 3, f"{peaks} bytes, for {size} more"
