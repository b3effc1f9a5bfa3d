"""The Hub's own clients, with their defaults, against the emulator; the table in docs/huggingface.md."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from abreast.testing.platforms.huggingface import HuggingFaceEmulator
from abreast.testing.platforms.threaded_server import ThreadedServer
from npm import install_packages

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "huggingface.md"
PROGRAM = ROOT / "tests" / "hub_client_calls.py"


def called_rows(folder: Path) -> list[str]:
    """Make every call, each in the state that those before it left; return the rows of the table."""
    emulator = HuggingFaceEmulator(folder)
    emulator.add_space("acme/theirs").read_only = True
    with ThreadedServer(emulator.app) as server:
        done = subprocess.run(
            [sys.executable, PROGRAM, folder], capture_output=True, text=True, check=False,
            env={**os.environ, "HF_ENDPOINT": server.url, "HF_HOME": str(folder / "home")},
        )  # fmt: skip
    emulator.close()
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.exhaustive
@pytest.mark.timeout(180)
def test_the_hubs_client_for_javascript_works_too(tmp_path: Path) -> None:
    """It has an implementation of Xet and git LFS of its own."""
    packages = install_packages("huggingface-js", "@huggingface/hub@2.17.5").parent
    program = shutil.copy(ROOT / "tests" / "hub_client_calls.mjs", packages.parent)
    emulator = HuggingFaceEmulator(tmp_path)
    with ThreadedServer(emulator.app) as server:
        done = subprocess.run(
            ["node", program],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "HF_ENDPOINT": server.url},
        )
    emulator.close()
    assert done.returncode == 0, done.stderr


@pytest.mark.exhaustive
@pytest.mark.timeout(180)
def test_every_call_does_what_the_table_says(tmp_path: Path) -> None:
    rows = called_rows(tmp_path)
    table = [line for line in PAGE.read_text().partition("## Calls of the Hub's client")[2].splitlines() if "|" in line]
    assert rows == table[2:], f"the table of docs/huggingface.md should be\n{chr(10).join(rows)}"
    counts = {kind: sum(f"| {kind}" in row for row in rows) for kind in ("works", "refused", "not emulated")}
    assert counts["works"] > 50
    assert sum(counts.values()) == len(rows)
