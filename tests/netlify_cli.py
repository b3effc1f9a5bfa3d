"""Netlify's own command line, from npm: kept beside the virtual environment, installed at its first use."""

import os
import subprocess
from pathlib import Path

from npm import install_packages

VERSION = "26.2.0"


def cli_program() -> Path:
    """Return the program; skips where it cannot be had."""
    return install_packages("netlify-cli", f"netlify-cli@{VERSION}") / "netlify"


def run_cli(url: str, token: str, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in a folder, against an emulator."""
    variables = {
        **os.environ, "NETLIFY_API_URL": url, "NETLIFY_AUTH_TOKEN": token, "CI": "1", "HOME": str(folder.parent),
    }  # fmt: skip
    command = [str(cli_program()), *arguments]
    return subprocess.run(command, env=variables, cwd=folder, check=False, capture_output=True, text=True)


def deploy_with_cli(url: str, token: str, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Deploy a folder to the site ``shop`` of an emulator, without a build."""
    where = ["--dir", str(folder), "--site", "shop", "--auth", token]
    return run_cli(url, token, folder, "deploy", *where, "--no-build", "--json", *arguments)
