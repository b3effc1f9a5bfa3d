"""Netlify's own command line, from npm: kept beside the virtual environment, installed at its first use."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from npm import install_packages

VERSION = "26.2.0"
DRIVER = Path(__file__).with_suffix(".mjs")


class Cli(Protocol):
    """Runs a command of Netlify's to its end."""

    def __call__(self, *arguments: str) -> "subprocess.CompletedProcess[str]": ...


def cli_program() -> Path:
    """Return the program; skips where it cannot be had."""
    return install_packages("netlify-cli", f"netlify-cli@{VERSION}") / "netlify"


def run_cli(url: str, token: str, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command in a folder, against an emulator."""
    command = [str(cli_program()), *arguments]
    return subprocess.run(
        command, env=_variables(url, token, folder), cwd=folder, check=False, capture_output=True, text=True
    )


def deploy_with_cli(url: str, token: str, folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Deploy a folder to the site ``shop`` of an emulator, without a build."""
    return run_cli(url, token, folder, *deploy_arguments(folder, token), *arguments)


def deploy_arguments(folder: Path, token: str) -> list[str]:
    """Return the command that deploys a folder to the site ``shop``, without a build."""
    return ["deploy", "--dir", str(folder), "--site", "shop", "--auth", token, "--no-build", "--json"]


@contextmanager
def loaded_cli(url: str, token: str, folder: Path) -> Iterator[Cli]:
    """Load the command line once for many commands in a folder, against an emulator."""
    package = cli_program().parents[1] / "netlify-cli"
    with subprocess.Popen(
        ["node", str(DRIVER), str(package)], env=_variables(url, token, folder), cwd=folder,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as loaded:  # fmt: skip
        assert loaded.stdin
        assert loaded.stdout
        orders, answers = loaded.stdin, loaded.stdout

        def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
            orders.write(json.dumps(arguments) + "\n")
            orders.flush()
            answer = json.loads(answers.readline())
            return subprocess.CompletedProcess(arguments, answer["code"], answer["stdout"], answer["stderr"])

        yield run


def _variables(url: str, token: str, folder: Path) -> dict[str, str]:
    return {**os.environ, "NETLIFY_API_URL": url, "NETLIFY_AUTH_TOKEN": token, "CI": "1", "HOME": str(folder.parent)}
