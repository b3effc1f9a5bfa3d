"""Netlify's own command line, from npm: kept beside the virtual environment, installed at its first use."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

VERSION = "26.2.0"


def netlify_cli() -> Path:
    """Return the program; skips where there is no Node, and where it cannot be installed, which in CI is a failure."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("not on this machine: node, npm")
    place = Path(sys.prefix) / "netlify-cli"
    place.mkdir(exist_ok=True)
    program = place / "node_modules" / ".bin" / "netlify"
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / VERSION).exists():
            _install(place)
            (place / VERSION).touch()
    return program


def _install(place: Path) -> None:
    command = ["npm", "install", "--prefix", str(place), "--ignore-scripts", "--no-audit", "--no-fund", "--no-save"]
    done = subprocess.run([*command, f"netlify-cli@{VERSION}"], check=False, capture_output=True, text=True)
    if done.returncode and os.environ.get("CI"):
        pytest.fail(f"npm: {done.stderr[-2000:]}")
    if done.returncode:
        pytest.skip("netlify-cli cannot be installed here")


def run_cli(url: str, token: str, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Deploy a folder to the site ``shop`` of an emulator, without a build."""
    command = [
        str(netlify_cli()),
        "deploy",
        "--dir",
        str(folder),
        "--site",
        "shop",
        "--auth",
        token,
        "--no-build",
        "--json",
    ]
    variables = {**os.environ, "NETLIFY_API_URL": url, "CI": "1", "HOME": str(folder.parent)}
    return subprocess.run(
        [*command, *arguments], env=variables, cwd=folder, check=False, capture_output=True, text=True
    )
