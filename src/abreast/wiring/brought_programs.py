"""Programs that abreast brings for the project's commands, for where the machine does not have them."""

import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

_PACKAGE_MANAGERS = {"pnpm": "pnpm", "pnpx": "pnpm", "yarn": "yarn", "bun": "bun", "bunx": "bun"}
"""The package of npm for each program."""
_MANAGER_SCRIPT = """#!/bin/sh
export COREPACK_ENABLE_DOWNLOAD_PROMPT=0
above() {{ sed -n "$2" "$1" "../$1" "../../$1" 2> /dev/null | head -n 1; }}
version=$(above package.json 's/.*"packageManager": *"{package}@\\([0-9.]*\\).*/\\1/p')
lock=$(above pnpm-lock.yaml "s/^lockfileVersion: *'*\\([0-9]*\\).*/\\1/p")
case "{package} $version $lock" in
    "pnpm  5") version=7 ;;
    "pnpm  6") version=8 ;;
    *) corepack {program} --version > /dev/null 2>&1 && exec corepack {program} "$@" ;;
esac
case "{package} $version" in
    "yarn "[2-9]*) package=@yarnpkg/cli-dist ;;
    *) package={package} ;;
esac
find() {{ npx --yes --package "$package@${{version:-{default}}}" -c 'command -v {program}'; }}
found=$(find 2> /dev/null) || found=$(cd / && find) || exit
PATH=${{found%/*}}:$PATH exec "$found" "$@"
"""
"""corepack does not come with Node since version 25, and an older one refuses keys of the registry that are newer.

It would take the latest pnpm, too, which refuses lock files of pnpm 8 and before. npx refuses to run in a project whose
``overrides`` are for another manager, so it looks for the program elsewhere then.
"""
_DEFAULT_VERSIONS = {"pnpm": "10", "yarn": "1", "bun": "1"}
"""Versions for projects without ``packageManager``."""


def find_uv(inherited: Mapping[str, str]) -> str | None:
    """Return the path of uv, on the PATH or installed beside abreast; None if it is missing."""
    return shutil.which("uv", path=inherited.get("PATH")) or shutil.which("uv", path=str(Path(sys.executable).parent))


def with_brought_programs(inherited: Mapping[str, str], folder: Path) -> Mapping[str, str]:
    """Return the variables with ``folder`` at the end of the PATH, filled with programs that are not on it.

    These are uv, if it is installed beside abreast, and the package managers that corepack or npx bring.
    """
    path = inherited.get("PATH", os.defpath)
    try:
        _bring_programs(path, find_uv(inherited), folder)
    except OSError:  # the project cannot be written to, so nothing is deployed either
        return inherited
    return {**inherited, "PATH": os.pathsep.join((path, str(folder)))} if folder.is_dir() else inherited


def _bring_programs(path: str, uv: str | None, folder: Path) -> None:
    if uv and not shutil.which("uv", path=path):
        _link(Path(uv), folder / "uv")
        _link(Path(uv).with_name("uvx"), folder / "uvx")
    if shutil.which("corepack", path=path) or shutil.which("npx", path=path):
        for program, package in _PACKAGE_MANAGERS.items():
            if not shutil.which(program, path=path):
                text = _MANAGER_SCRIPT.format(program=program, package=package, default=_DEFAULT_VERSIONS[package])
                _write_script(folder / program, text)


def _link(program: Path, link: Path) -> None:
    if not (link.is_symlink() and link.readlink() == program):
        _make_folder(link.parent)
        unfinished = link.with_name(f"{link.name}.{os.getpid()}")
        unfinished.symlink_to(program)
        unfinished.replace(link)


def _write_script(file: Path, text: str) -> None:
    with suppress(FileNotFoundError):
        if file.read_text() == text:
            return
    _make_folder(file.parent)
    unfinished = file.with_name(f"{file.name}.{os.getpid()}")
    unfinished.write_text(text)
    unfinished.chmod(0o755)
    unfinished.replace(file)


def _make_folder(folder: Path) -> None:
    for path in (folder.parent, folder):
        path.mkdir(mode=0o700, exist_ok=True)
