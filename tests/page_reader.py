"""Someone who follows a page of docs: a repository with what an example needs."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kept_results import kept
from sample_project import APP_SOURCE, SampleProject

VERSION = ".".join(map(str, sys.version_info[:2]))

IMPORTING_APP = "import iniconfig\n" + APP_SOURCE
OWN_FILES = (".git/", "abreast.yml", "change.txt")
PROJECT = """[project]
name = "{name}"
version = "1.0"
requires-python = ">=3.10"
dependencies = {dependencies}
"""


class Reader(SampleProject):
    """Someone who follows a page: a repository with what an example needs, and its abreast.yml."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "app.py").unlink()
        self.write(".gitignore", ".abreast\n")
        self.env: dict[str, str] = {}
        self.path = os.environ["PATH"]

    def write(self, name: str, text: str) -> None:
        self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def lock(self, command: str, folder: str = ".", programs: Path | None = None) -> None:
        """Run a command that locks dependencies, with uv and with these programs on its PATH.

        What it writes is kept beside the virtual environment: for the same files, it is written again from there.
        """
        before = self._files()
        written = kept((command, folder, sorted(before.items())), lambda: self._lock(command, folder, programs, before))
        for name, content in written.items():
            self.write_bytes(name, content)

    def _lock(
        self, command: str, folder: str, programs: Path | None, before: Mapping[str, bytes]
    ) -> Mapping[str, bytes]:
        """Run a command that locks dependencies, and return the files that it wrote."""
        path = [*([str(programs)] if programs else []), str(Path(sys.executable).parent), os.environ["PATH"]]
        subprocess.run(
            command, shell=True, cwd=self.folder / folder, check=True, capture_output=True,
            env={**os.environ, "PATH": os.pathsep.join(path)},
        )  # fmt: skip
        return dict(self._files().items() - before.items())

    def _files(self) -> dict[str, bytes]:
        """Return the files that an example needs by their paths: not git's, nor those that each project has otherwise."""
        found = (file for file in self.folder.rglob("*") if file.is_file())
        names = {str(file.relative_to(self.folder)): file for file in found}
        return {name: file.read_bytes() for name, file in names.items() if not name.startswith(OWN_FILES)}

    def write_config(self, text: str) -> None:
        """Write an example, with the version of Python that is here, and ports that are free."""
        self.use_config(yaml.safe_load(text.replace('"3.12"', f'"{VERSION}"')))

    def use_config(self, shown: dict[str, Any]) -> None:
        """Take a configuration, with ports that are free, and commit all."""
        ports = iter((self.frontend_port, self.backend_port))
        for service in shown["services"].values():
            service["health"] = {"hold": "0s", "start": "20s"}
            service["env"] = self.env
            service.update({"instances": 1} if "run" in service else {})
        local = {name: {"local": {"port": next(ports)}} for name in shown["services"]}
        self.config = {"project": "shop", **shown, "environments": {"local": {"settle": "300ms", **local}}}
        self.commit()
