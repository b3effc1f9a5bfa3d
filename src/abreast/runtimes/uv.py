"""Python environments by uv (https://docs.astral.sh/uv)."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import field
from pathlib import Path

from abreast.core.errors import UsageError
from abreast.core.frozen_dataclass import dataclass
from abreast.runtimes.interface import Interpreter, PythonProvider

INSTALL_HINT = "pip install 'abreast[python]'"
_VERSION = "import platform, sys; print(platform.python_implementation(), sys.version.split()[0])"
_BUNDLED_PIP = """
import ensurepip, glob, os, sys
folders = [os.path.join(os.path.dirname(ensurepip.__file__), "_bundled"), "/usr/share/python-wheels"]
for name in ["pip", "setuptools"][: 1 if sys.version_info >= (3, 7) else 2]:
    print(*[wheel for folder in folders for wheel in sorted(glob.glob(os.path.join(folder, name + "-*.whl")))][:1])
"""
"""Prints the wheel of pip that an interpreter or Debian brings; and of setuptools, if that pip needs it."""
_TIMEOUT = 120.0


@dataclass(frozen=True, slots=True)
class UvPythonProvider(PythonProvider):
    """Runs ``uv``, the path of the program or None if there is none, with the variables of the project's commands."""

    uv: str | None
    inherited: Mapping[str, str] = field(repr=False)

    def find(self, request: str) -> Interpreter:
        """Return an interpreter on this machine. Downloads none, and takes none from a virtual environment."""
        found = self._run("python", "find", "--system", "--no-project", "--no-python-downloads", request)
        if found.returncode:
            raise UsageError(
                f"there is no Python {request} on this machine{self._known_versions()}",
                need=f"Python {request}",
                next=f"uv python install '{request}'",
            )
        path = found.stdout.strip()
        told = subprocess.run(
            [path, "-I", "-c", _VERSION], env=dict(self.inherited), check=False, capture_output=True, text=True
        )
        if told.returncode:
            raise UsageError(f"{path} does not start: {told.stderr.strip()[-300:]}", need=f"Python {request}")
        return Interpreter(path, told.stdout.strip())

    def create(self, interpreter: Interpreter, folder: Path) -> None:
        """Make an environment with pip: the one that comes with the interpreter, or else the newest of the index."""
        self._require(interpreter, "venv", "--no-project", "--clear", "--python", interpreter.path, str(folder))
        wheels = self._execute(interpreter.path, "-I", "-c", _BUNDLED_PIP).stdout.split()
        source = ("--offline", "--no-index", *wheels) if wheels else ("pip",)
        self._require(interpreter, "pip", "install", "--python", str(folder / "bin" / "python"), *source)

    def _require(self, interpreter: Interpreter, *arguments: str) -> None:
        done = self._run(*arguments)
        if done.returncode:
            what = f"no environment could be made with {interpreter.path}: {done.stderr.strip()[-300:]}"
            raise UsageError(what, need=interpreter.version)

    def variables(self, folder: Path, path: str) -> Mapping[str, str]:
        """Return the variables by which commands use an environment; ``path`` is their PATH without it."""
        return {
            "PATH": os.pathsep.join((str(folder / "bin"), path)),
            "VIRTUAL_ENV": str(folder),
            "UV_PROJECT_ENVIRONMENT": str(folder),
            "UV_PYTHON": str(folder / "bin" / "python"),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_NO_SYNC": "1",
            "UV_NO_EDITABLE": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def file_that_mentions(self, folder: Path, checkout: Path) -> str:
        """Return a file of an environment that leads into a checkout, as ``pip install -e`` leaves one; or ""."""
        names = (
            "bin/*",
            "lib/*/site-packages/*.pth",
            "lib/*/site-packages/__editable__*",
            "lib/*/site-packages/*.egg-link",
        )
        files = (
            file for name in names for file in sorted(folder.glob(name)) if file.is_file() and not file.is_symlink()
        )
        return next((file.name for file in files if os.fsencode(checkout) in _beginning(file)), "")

    def _known_versions(self) -> str:
        """Return what the machine has instead, as the end of a sentence."""
        listed = self._run("python", "list", "--only-installed")
        names = {line.split()[0].removeprefix("cpython-").split("-")[0] for line in listed.stdout.splitlines() if line}
        return f" (there are {', '.join(sorted(names))})" if names else ""

    def _run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        if self.uv is None:
            raise UsageError("uv is not installed", need="uv, which makes environments of Python", next=INSTALL_HINT)
        return self._execute(self.uv, *arguments)

    def _execute(self, *argv: str) -> "subprocess.CompletedProcess[str]":
        path = os.pathsep.join(_search_path(self.inherited.get("PATH", os.defpath)))
        env = {**self.inherited, "PATH": path}
        env.pop("VIRTUAL_ENV", None)
        return subprocess.run(argv, cwd="/", env=env, check=False, capture_output=True, text=True, timeout=_TIMEOUT)


def _search_path(path: str) -> Iterator[str]:
    """Yield the folders of a PATH, with the versions that pyenv has in place of its shims, the newest first.

    A shim stands for the versions that are chosen at the moment only.
    """
    for folder in path.split(os.pathsep):
        versions = Path(folder).parent / "versions"
        if Path(folder).name == "shims" and versions.is_dir():
            yield from map(str, sorted(versions.glob("*/bin"), key=_version_number, reverse=True))
        else:
            yield folder


def _version_number(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", folder.parent.name)]


def _beginning(file: Path) -> bytes:
    """Return the first bytes of a file: a script says there who runs it."""
    with file.open("rb") as opened:
        return opened.read(65536)
