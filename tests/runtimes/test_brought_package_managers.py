"""pnpm, Yarn and Bun for machines that have none: by corepack, or else by npx."""

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


NPX = """
[ "$(pwd)" = "$REFUSES" ] && exit 1
store=$(dirname "$0")/../store && mkdir -p "$store" && program=$store/${5##* }
printf '#!/bin/sh\\necho "%s: %s $*"\\n' "$3" "${5##* }" > "$program" && chmod +x "$program" && echo "$program"
"""
"""Stands for npx, which finds the program of a package by ``--yes --package PACKAGE -c 'command -v PROGRAM'``."""


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
        ("bun install", "", "bun@1"),
        ("bunx vite", "bun@1.2.4", "bun@1.2.4"),
    ],
)
def test_npx_runs_them_if_corepack_cannot(tmp_path: Path, command: str, pinned: str, package: str) -> None:
    fake(tmp_path / "bin", "npx", NPX)
    manifest = f'{{"packageManager": "{pinned}"}}' if pinned else "{}"
    assert brought(tmp_path, command, manifest) == f"{package}: {command}"


def test_npx_finds_them_elsewhere_if_it_refuses_to_run_in_the_project(tmp_path: Path) -> None:
    fake(tmp_path / "bin", "npx", NPX.replace("$REFUSES", str(tmp_path.resolve())))
    assert brought(tmp_path, "pnpm install", '{"packageManager": "pnpm@8.6.0"}') == "pnpm@8.6.0: pnpm install"


@pytest.mark.parametrize(
    ("lock", "pinned", "package"),
    [
        ("lockfileVersion: '9.0'", "", "corepack"),
        ("lockfileVersion: '6.0'", "", "pnpm@8"),
        ("lockfileVersion: 5.4", "", "pnpm@7"),
        ("lockfileVersion: '6.0'", "pnpm@8.6.0", "corepack"),
    ],
)
@pytest.mark.parametrize("folder", [".", "apps/web"])
def test_an_old_lock_file_of_pnpm_is_read_by_the_pnpm_of_its_time(
    tmp_path: Path, lock: str, pinned: str, package: str, folder: str
) -> None:
    fake(tmp_path / "bin", "corepack", 'echo "corepack $*"')
    fake(tmp_path / "bin", "npx", NPX)
    (tmp_path / "pnpm-lock.yaml").write_text(f"{lock}\n\nsettings:\n")
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    manifest = f'{{"packageManager": "{pinned}"}}' if pinned else "{}"
    (tmp_path / folder / "package.json").write_text("{}")
    expected = "corepack pnpm install" if package == "corepack" else f"{package}: pnpm install"
    assert brought(tmp_path, f"cd {folder} && pnpm install", manifest) == expected


@pytest.mark.exhaustive
def test_npx_brings_a_real_one(tmp_path: Path) -> None:
    fake(tmp_path / "bin", "corepack", "exit 1")
    (tmp_path / "bin" / "npx").symlink_to(shutil.which("npx") or "")
    assert brought(tmp_path, "yarn --version").startswith("1.")
    assert brought(tmp_path, "bun --version").startswith("1.")
    overrides = '{"dependencies": {"left-pad": "1.3.0"}, "overrides": {"left-pad": "1.2.0"}}'
    assert brought(tmp_path, "yarn --version", overrides).startswith("1.")
