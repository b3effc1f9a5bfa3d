"""Programs of others from npm: kept beside the virtual environment, installed at their first use."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def installed(name: str, *packages: str) -> Path:
    """Return the folder of the programs that packages (with their versions) bring, kept under ``name``.

    Skips where there is no Node, and where they cannot be installed, which in CI is a failure.
    """
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("not on this machine: node, npm")
    place = Path(sys.prefix) / name
    place.mkdir(exist_ok=True)
    done = place / "+".join(packages).replace("/", "-")
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            _install(place, packages)
            done.touch()
    return place / "node_modules" / ".bin"


def _install(place: Path, packages: tuple[str, ...]) -> None:
    command = ["npm", "install", "--prefix", str(place), "--ignore-scripts", "--no-audit", "--no-fund", "--no-save"]
    done = subprocess.run([*command, *packages], check=False, capture_output=True, text=True)
    if done.returncode and os.environ.get("CI"):
        pytest.fail(f"npm: {done.stderr[-2000:]}")
    if done.returncode:
        pytest.skip(f"cannot be installed here: {', '.join(packages)}")
