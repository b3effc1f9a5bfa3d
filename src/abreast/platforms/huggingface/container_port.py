"""Where a Dockerfile's application listens, as far as the file says it."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_INSTRUCTION = re.compile(r"\s*([A-Za-z]+)\s+(.*)")
_CONTINUATION = re.compile(r"\\[ \t]*\n")
_PORT_VARIABLE = re.compile(r"\$(?:PORT\b|\{PORT(?::-(?P<default>\d+))?\})")
_PORT_OPTION = re.compile(
    r"(?<!\S)(?:-{1,2}(?:[\w.-]*[.-])?port|--bind|--listen|--address|-[pb])[=\s]+(?:[\w.*\[\]:]*:)?(?P<port>\d{2,5})(?![\w.:])"
)
_LOOPBACK_OPTION = re.compile(
    r"(?:--(?:[\w.-]*host|bind|listen|address)|(?<=\s)-b)[=\s]+(?P<host>127\.0\.0\.1|localhost)\b"
)
_ENV_PAIR = re.compile(r"(\w+)=(?:\"([^\"]*)\"|'([^']*)'|(\S*))")


@dataclass
class _Stage:
    """What the last stage of a Dockerfile says of ports."""

    env: dict[str, str] = field(default_factory=dict)
    exposed: list[int] = field(default_factory=list)
    entrypoint: str = ""
    command: str = ""


def port_conflict(dockerfile: str, app_port: int) -> str:
    """Return why the application would not be reached on ``app_port``, "" if the Dockerfile does not say so.

    A command that listens on 127.0.0.1 is not reached at all. One that names its port counts before ``EXPOSE``, and
    that before ``ENV PORT``.
    """
    stage = _last_stage(dockerfile)
    command = f"{stage.entrypoint} {stage.command}"
    if host := _LOOPBACK_OPTION.search(command):
        return f"its Dockerfile starts the application on {host['host']}"
    if variable := _PORT_VARIABLE.search(command):
        port = stage.env.get("PORT") or variable["default"]
        if port is None:
            return "its Dockerfile starts the application on $PORT, which a Space does not set"
        return "" if port == str(app_port) else f"its Dockerfile starts the application on port {port}"
    ports = [int(option["port"]) for option in _PORT_OPTION.finditer(command)]
    if ports:
        return "" if app_port in ports else f"its Dockerfile starts the application on port {ports[0]}"
    if stage.exposed:
        return "" if app_port in stage.exposed else f"its Dockerfile exposes port {stage.exposed[0]}"
    port = stage.env.get("PORT", str(app_port))
    return "" if port == str(app_port) else f"its Dockerfile sets PORT to {port}"


def _last_stage(dockerfile: str) -> _Stage:
    stage = _Stage()
    for name, argument in _instructions(dockerfile):
        if name == "FROM":
            stage = _Stage()
        elif name == "ENV":
            stage.env.update(_env(argument))
        elif name == "EXPOSE":
            words = (_expand(word.partition("/")[0], stage.env) for word in argument.split())
            stage.exposed += [int(word) for word in words if word.isdecimal()]
        elif name == "ENTRYPOINT":
            stage.entrypoint, stage.command = _command(argument), ""
        elif name == "CMD":
            stage.command = _command(argument)
    return stage


def _instructions(dockerfile: str) -> Iterator[tuple[str, str]]:
    lines = (line for line in dockerfile.splitlines() if not line.lstrip().startswith("#"))
    for line in _CONTINUATION.sub(" ", "\n".join(lines)).splitlines():
        if match := _INSTRUCTION.fullmatch(line):
            yield match[1].upper(), match[2].strip()


def _env(argument: str) -> dict[str, str]:
    name, _, value = argument.partition(" ")
    if "=" not in name:
        return {name: value.strip()}
    return {match[1]: match[2] or match[3] or match[4] or "" for match in _ENV_PAIR.finditer(argument)}


def _expand(word: str, env: Mapping[str, str]) -> str:
    name = word.strip("${}")
    return env.get(name, word) if word.startswith("$") else word


def _command(argument: str) -> str:
    """Return a command as one line, from its list form or its shell form."""
    try:
        return " ".join(json.loads(argument)) if argument.startswith("[") else argument
    except (ValueError, TypeError):
        return argument
