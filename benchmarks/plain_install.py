"""Whether a repository's packages install on this machine without abreast, by what its own lock files say.

The plain command of a package manager runs where its lock file is, in a fresh clone. Of several lock files beside each other,
one that installs is enough.
"""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from abreast.wiring.brought_programs import with_brought_programs

TIMEOUT = 900
"""Seconds that one installation may take."""

_PIP = "uv venv --seed --python {python} .plain && .plain/bin/pip install"
COMMANDS: Mapping[str, Mapping[str, str]] = {
    "node": {
        "package-lock.json": "npm ci", "npm-shrinkwrap.json": "npm ci", "pnpm-lock.yaml": "pnpm install --frozen-lockfile",
        "yarn.lock": "yarn install", "bun.lock": "bun install --frozen-lockfile", "bun.lockb": "bun install --frozen-lockfile",
        "package.json": "npm install",
    },
    "python": {
        "uv.lock": "uv sync", "poetry.lock": "uvx poetry install", "pdm.lock": "uvx pdm sync", "Pipfile.lock": "uvx pipenv sync",
        "requirements.txt": f"{_PIP} -r requirements.txt", "pyproject.toml": f"{_PIP} .",
    },
}  # fmt: skip
"""The plain command for each lock file of an ecosystem. Without one, the manifest at the end stands for it."""

_ERROR = re.compile(r"\berror\b|\bERR|\w+Error\b|cannot|not found|could not|failed", re.IGNORECASE)
_OF_NPM = re.compile(r"^npm (error|ERR!) ?")
_SAYS_NOTHING = re.compile(r"^(code \w+|path .*|command .*|#.*|)$|\bwarn\b", re.IGNORECASE)


def first_error(output: str) -> str:
    """Return the first line of a command's output that says why it failed, the last line if none does."""
    lines = [_OF_NPM.sub("", line.strip()) for line in output.splitlines() if line.strip()]
    telling = (line for line in lines if _ERROR.search(line) and not _SAYS_NOTHING.search(line))
    return next(telling, lines[-1] if lines else "")[:200]


def plain_failure(source: Path, folder: str, python: str) -> str:
    """Return why the packages of a folder of a checkout do not install by themselves, "" if they do."""
    for ecosystem, commands in COMMANDS.items():
        failures = []
        for place, lock in _locks(source, folder, commands):
            command = commands[lock].format(python=python or "3")
            failures.append(_failure(source, place, command))
        if failures and all(failures):
            return f"{ecosystem}: {failures[0]}"
    return ""


def _locks(source: Path, folder: str, commands: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the lock files of the nearest folder that has any, or the manifest of the folder itself."""
    manifests = {"package.json", "requirements.txt", "pyproject.toml"}
    for place in (Path(folder), *Path(folder).parents):
        found = [lock for lock in commands if (source / place / lock).is_file()]
        if locks := [lock for lock in found if lock not in manifests]:
            yield from ((str(place), lock) for lock in locks)
            return
    own = [lock for lock in commands if (source / folder / lock).is_file()]
    yield from ((folder, lock) for lock in own[:1])


def _failure(source: Path, place: str, command: str) -> str:
    with tempfile.TemporaryDirectory(prefix="plain-install-") as home:
        clone = Path(home) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(source), str(clone)], check=False)
        env = with_brought_programs(os.environ, Path(home) / "abreast" / "programs")
        try:
            done = subprocess.run(
                command, shell=True, cwd=clone / place, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"`{command}`: no end after {TIMEOUT} s"
        return f"`{command}`: {first_error(done.stdout)}" if done.returncode else ""
