"""What installing a service's dependencies takes at a commit, and the key under which its result is kept."""

import hashlib
import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import field, replace

from abreast.core.changes.install_inputs import (
    FOREIGN_INSTALLS,
    NODE_MANAGERS,
    InstallInputs,
    default_python_install,
    find_install_inputs,
    foreign_lock_file,
    requested_python,
)
from abreast.core.errors import UsageError
from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import Service
from abreast.deploy.runtime.ports import Ports
from abreast.runtimes.interface import Interpreter

NO_INPUTS = InstallInputs((), ())
_PIP_TARGET = re.compile(r"\s(?:-t|--target|--prefix|--root)\b")


@dataclass(frozen=True, slots=True)
class InstallRecipe:
    """How a service's dependencies are installed at a commit: by ``command``, for ``interpreter``.

    ``files``: content ids of what the command reads, by path. ``unlocked`` and ``own_code`` are as in InstallInputs.
    """

    folder: str
    command: str | None
    interpreter: Interpreter | None
    inputs: InstallInputs
    files: Mapping[str, str] = field(repr=False)

    @property
    def tools(self) -> Sequence[str]:
        """The programs whose versions count."""
        node = () if NODE_MANAGERS.isdisjoint(self.inputs.programs) else ("node",)
        python = ("python3",) if self.interpreter is None and "pip" in self.inputs.programs else ()
        return (*node, *python, *(name for name in self.inputs.programs if name != "pip"))

    @property
    def notes(self) -> Sequence[str]:
        """Why the command runs more often than lock files change."""
        if self.inputs.unlocked:
            return (f"`{self.command}` runs in each build: {self.inputs.unlocked}",)
        if self.inputs.own_code:
            return (f"`{self.command}` runs again for each change of the service: {self.inputs.own_code}",)
        return ()

    def key(self, tool_versions: str, env: Mapping[str, str], own_files: Mapping[str, str], release: str) -> str:
        """Return the key of the result. The same key means that the result is the same.

        ``env``: the service's variables without secrets. ``own_files``: content ids of all files of the service.
        ``release``: the release, if the result must not be used by another.
        """
        parts = {
            "command": self.command,
            "folder": self.folder,
            "python": [self.interpreter.path, self.interpreter.version] if self.interpreter else None,
            "files": sorted(self.files.items()),
            "own": sorted(own_files.items()) if self.inputs.own_code else None,
            "tools": tool_versions,
            "env": sorted(env.items()),
            "machine": platform.machine(),
            "release": release or None,
        }
        return hashlib.sha256(json.dumps(parts).encode(errors="surrogateescape")).hexdigest()[:32]


def install_recipe(ports: Ports, service: Service, commit: str) -> InstallRecipe | None:
    """Return how a service's dependencies are installed; None if it has neither ``build.install`` nor ``python``.

    Raises UsageError if there is no such Python here, or if the commit's lock file needs a command.
    """
    if service.python is None and service.build.install is None:
        return None
    contents = ports.source.content_ids(commit)

    def read(names: Sequence[str]) -> Mapping[str, bytes]:
        return ports.source.read_files(commit, names)

    interpreter, command = None, service.build.install
    if service.python:
        request = requested_python(service.folder, contents, read) if service.python == "auto" else service.python
        if not request:
            raise UsageError(
                f"services.{service.name}.python is auto, and the commit asks for no version",
                need=".python-version, or requires-python in pyproject.toml",
            )
        interpreter = ports.python.find(request)
        if command is None:
            command = default_python_install(service.folder, contents)
            if command is None and (lock := foreign_lock_file(service.folder, contents)):
                raise UsageError(
                    f"services.{service.name}.build.install is missing, and uv cannot read {lock}",
                    need=f"a command that installs it, such as `{FOREIGN_INSTALLS[lock]}`",
                )
    inputs = find_install_inputs(command, service.folder, contents, read) if command else NO_INPUTS
    if interpreter is None and "pip" in inputs.programs and not _PIP_TARGET.search(command or ""):
        inputs = replace(inputs, unlocked="pip installs into the machine's Python; `python` gives the service its own")
    return InstallRecipe(
        service.folder,
        command,
        interpreter,
        inputs,
        {name: contents[name] for name in inputs.files if name in contents},
    )
