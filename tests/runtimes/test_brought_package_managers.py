"""pnpm and Yarn for machines that have neither: by corepack, or else by npx."""

import shutil
import subprocess
from pathlib import Path

import pytest

from abreast.wiring.brought_programs import with_brought_programs


def fake(folder: Path, name: str, text: str) -> None:
    """Write a program that stands for one of npm, which would ask its registry."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def brought(tmp_path: Path, command: str, manifest: str = "{}") -> str:
    """Return what a command prints that runs a package manager which the machine does not have."""
    (tmp_path / "package.json").write_text(manifest)
    inherited = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    for program in ("corepack", "npx"):
        if not (tmp_path / "bin" / program).exists():
            fake(tmp_path / "bin", program, "exit 1")
    env = dict(with_brought_programs(inherited, tmp_path / "abreast" / "programs"))
    done = subprocess.run(command, shell=True, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_corepack_runs_them_if_it_can(tmp_path: Path) -> None:
    fake(tmp_path / "bin", "corepack", 'echo "corepack $*"')
    assert brought(tmp_path, "yarn install --frozen-lockfile") == "corepack yarn install --frozen-lockfile"


@pytest.mark.parametrize(
    ("command", "pinned", "package"),
    [
        ("yarn install", "", "yarn@1"),
        ("yarn install", "yarn@1.22.19", "yarn@1.22.19"),
        ("yarn install", "yarn@4.5.0+sha224.abc", "@yarnpkg/cli-dist@4.5.0"),
        ("pnpm install", "", "pnpm@10"),
        ("pnpm install", "pnpm@9.1.1", "pnpm@9.1.1"),
    ],
)
def test_npx_runs_them_if_corepack_cannot(tmp_path: Path, command: str, pinned: str, package: str) -> None:
    fake(tmp_path / "bin", "npx", 'echo "$*"')
    manifest = f'{{"packageManager": "{pinned}"}}' if pinned else "{}"
    assert brought(tmp_path, command, manifest) == f"--yes --package {package} -- {command}"


@pytest.mark.exhaustive
def test_npx_brings_a_real_one(tmp_path: Path) -> None:
    fake(tmp_path / "bin", "corepack", "exit 1")
    (tmp_path / "bin" / "npx").symlink_to(shutil.which("npx") or "")
    assert brought(tmp_path, "yarn --version").startswith("1.")
