"""Programs of others from npm: kept beside the virtual environment, installed at their first use."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def install_packages(name: str, *packages: str) -> Path:
    """Return the folder of the programs that packages (with their versions) bring, kept under ``name``.

    Skips where there is no Node, and where they cannot be installed, which in CI is a failure.
    """
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("not on this machine: node, npm")
    prefix = Path(sys.prefix) / name
    prefix.mkdir(exist_ok=True)
    marker = prefix / "+".join(packages).replace("/", "-")
    with (prefix / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not marker.exists():
            _install(prefix, packages)
            marker.touch()
    return prefix / "node_modules" / ".bin"


def _install(prefix: Path, packages: tuple[str, ...]) -> None:
    command = ["npm", "install", "--prefix", str(prefix), "--ignore-scripts", "--no-audit", "--no-fund", "--no-save"]
    done = subprocess.run([*command, *packages], check=False, capture_output=True, text=True)
    if done.returncode and os.environ.get("CI"):
        pytest.fail(f"npm: {done.stderr[-2000:]}")
    if done.returncode:
        pytest.skip(f"cannot be installed here: {', '.join(packages)}")
