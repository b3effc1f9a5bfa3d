"""A Dockerfile as far as the emulator builds it: on this machine, in a folder, without an image."""

import json
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_INSTRUCTION = re.compile(r"\s*([A-Za-z]+)\s+(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::-([^}]*))?\}|(\w+))")
IGNORED = frozenset({"FROM", "ARG", "EXPOSE", "LABEL", "USER", "VOLUME", "HEALTHCHECK", "STOPSIGNAL", "MAINTAINER"})
"""Instructions that change nothing on this machine."""


@dataclass
class Container:
    """A build: the folder that stands for the image, where its commands run, and what it starts."""

    root: Path
    workdir: str = "/"
    env: dict[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """The working directory on this machine."""
        return self.path(".")

    @property
    def argv(self) -> list[str]:
        """The command line that the image starts."""
        return [*self.entrypoint, *self.command]

    def path(self, inside: str) -> Path:
        """Return the path on this machine of a path in the image."""
        return self.root / str(Path(self.workdir) / inside).lstrip("/")


def parse_dockerfile(text: str) -> list[tuple[str, str]]:
    """Return the instructions with their arguments. Comments go, and continued lines are one."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\[ \t]*\n", " ", "\n".join(lines))
    found = [_INSTRUCTION.fullmatch(line) for line in joined.splitlines() if line.strip()]
    return [(match[1].upper(), match[2].strip()) for match in found if match]


def apply(container: Container, name: str, argument: str, context: Path) -> None:
    """Apply an instruction other than RUN. Raises ValueError for one that is not emulated."""
    if name == "WORKDIR":
        container.workdir = str(Path(container.workdir) / expand(argument, container.env))
        container.folder.mkdir(parents=True, exist_ok=True)
    elif name == "ENV":
        container.env.update(_parse_env(argument, container.env))
    elif name in {"COPY", "ADD"}:
        _copy(container, shlex.split(argument), context)
    elif name == "ENTRYPOINT":
        container.entrypoint, container.command = _parse_command(argument), ()
    elif name == "CMD":
        container.command = _parse_command(argument)
    elif name not in IGNORED:
        raise ValueError(f"unknown instruction: {name}")


def expand(text: str, env: Mapping[str, str]) -> str:
    """Return a text with its variables replaced."""
    return _VARIABLE.sub(lambda match: env.get(match[1] or match[3]) or match[2] or "", text)


def _parse_env(argument: str, env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of ``NAME=value …`` or of the old form ``NAME value``."""
    name, _, value = argument.partition(" ")
    if "=" not in name:
        return {name: expand(value.strip(), env)}
    return {name: expand(value, env) for name, _, value in (pair.partition("=") for pair in shlex.split(argument))}


def _parse_command(argument: str) -> tuple[str, ...]:
    """Return a command in list form, or in shell form, which a shell runs."""
    if argument.startswith("["):
        return tuple(json.loads(argument))
    return ("/bin/sh", "-c", argument)


def _copy(container: Container, words: Sequence[str], context: Path) -> None:
    options = [word for word in words if word.startswith("--")]
    if any(option.startswith("--from") for option in options):
        raise ValueError("not emulated: COPY --from")
    *sources, target = [expand(word, container.env) for word in words if not word.startswith("--")]
    into_folder = len(sources) > 1 or target.endswith(("/", ".")) or container.path(target).is_dir()
    for source in sources:
        found = [context] if source in {".", "./"} else sorted(context.glob(source.rstrip("/").lstrip("/")))
        if not found:
            raise ValueError(f"COPY failed: {source}: not found")
        for path in found:
            if path.is_dir():
                shutil.copytree(path, container.path(target), dirs_exist_ok=True)
            else:
                to = container.path(target) / path.name if into_folder else container.path(target)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, to)
