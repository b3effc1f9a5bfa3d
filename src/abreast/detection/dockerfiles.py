"""What a Dockerfile says: base images, the command of its last stage, its port and its health check."""

import json
import re
import shlex
from dataclasses import dataclass, field

_CONTINUED = re.compile(r"\\[ \t]*\n(?:[ \t]*#[^\n]*\n)*")
_INSTRUCTION = re.compile(r"^\s*([A-Za-z]+)\s+(.*)$")
_PREPARING_ENTRYPOINTS = re.compile(r"(tini|dumb-init|entrypoint[\w.-]*|\bsh\b|/usr/bin/env)\s*(--)?$")


@dataclass(slots=True)
class Dockerfile:
    """The last stage of a Dockerfile. ``images``: the base images of all stages, as they are written."""

    images: list[str] = field(default_factory=list)
    command: str = ""
    entrypoint: str = ""
    port: str = ""
    health: str = ""
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def start(self) -> str:
        """Return the command that a container runs."""
        if not self.entrypoint or _PREPARING_ENTRYPOINTS.search(self.entrypoint):
            return self.command
        return f"{self.entrypoint} {self.command}".strip()

    def version(self, image: str) -> str:
        """Return the version in the tag of a base image such as ``python``, "" if it has none."""
        for text in reversed(self.images):
            found = re.search(rf"(?:^|/){image}:(\d+(?:\.\d+)?)", text)
            if found:
                return found[1]
        return ""


def parse_dockerfile(text: str) -> Dockerfile:
    """Return what a Dockerfile says."""
    stages: dict[str, Dockerfile] = {}
    current = Dockerfile()
    for line in _CONTINUED.sub(" ", text).splitlines():
        found = _INSTRUCTION.match(line)
        if not found or line.lstrip().startswith("#"):
            continue
        keyword, rest = found[1].upper(), found[2].strip()
        if keyword == "FROM":
            current = _start_stage(rest, current, stages)
        elif keyword == "CMD":
            current.command = _command(rest)
        elif keyword == "ENTRYPOINT":
            current.entrypoint, current.command = _command(rest), ""
        elif keyword == "EXPOSE":
            current.port = current.port or re.split(r"[/\s]", rest)[0]
        elif keyword == "ENV":
            current.variables |= dict(re.findall(r"(\w+)[= ]\"?([^\s\"]*)", rest))
        elif keyword == "HEALTHCHECK" and "CMD" in rest:
            current.health = rest.partition("CMD")[2]
    return current


def _start_stage(rest: str, before: Dockerfile, stages: dict[str, Dockerfile]) -> Dockerfile:
    words = [word for word in rest.split() if not word.startswith("--")]
    base = stages.get(words[0]) if words else None
    stage = Dockerfile([*before.images, *words[:1]])
    if base:
        stage.command, stage.entrypoint, stage.port = base.command, base.entrypoint, base.port
        stage.health, stage.variables = base.health, dict(base.variables)
    if len(words) == 3 and words[1].lower() == "as":
        stages[words[2]] = stage
    return stage


def _command(text: str) -> str:
    if text.startswith("["):
        try:
            words = [str(word) for word in json.loads(text)]
        except ValueError:
            return ""
        if words[:2] in (["sh", "-c"], ["/bin/sh", "-c"], ["bash", "-c"]) and len(words) == 3:
            return words[2]
        return " ".join(word if re.fullmatch(r"[$\w./:=@,{}*+-]+", word) else shlex.quote(word) for word in words)
    return text
