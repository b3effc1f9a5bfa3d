"""The tools: what an agent may give, read from the table of commands. Each is one command line."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from abreast.cli.main import abreast
from abreast.cli.refusals import CHANGING_OPTIONS, OPEN_TO_AGENTS
from abreast.core.errors import UsageError
from abreast.core.frozen_dataclass import dataclass

OF_TERMINALS = frozenset({"abreast", "completion", "mcp"})
"""The commands that an agent may give and that are no tools: they serve a terminal, or are this server."""

OPTIONS_OF_TERMINALS = frozenset({"as_csv", "checkpoints", "comment", "follow", "verbose", "watch"})
"""The options that are left out: they never end, serve a terminal, write for others, or read any file of this machine.

``--json`` is always given.
"""

RUN_COMMANDS = frozenset({"gates"})
"""The tools that run the project's own commands."""

ASK_OUTSIDE = frozenset(
    {
        "audit verify", "db list", "db status", "doctor", "gates", "logs", "plan", "propose deploy", "propose promote",
        "propose rollback", "state verify", "status",
    }
)  # fmt: skip
"""The tools that ask platforms, databases, services or a CI system. Others read the project and its record."""

NEWEST_LAST = frozenset({"logs"})
"""The tools of whose answer the end matters most."""

PROPOSE = "propose "
"""Begins the name of a command that records a proposal."""

MAX_TEXT = 10_000
"""Maximum length of a text that is given to a tool."""

MAX_ITEMS = 100
"""Maximum number of values of an option that may be repeated."""

PAGE = {"type": "integer", "minimum": 1, "description": "Which page of an answer that is too long for one."}


@dataclass(frozen=True, slots=True)
class CommandTool:
    """A command as a tool. ``has_json``: it answers with one JSON document."""

    path: tuple[str, ...]
    help: str
    parameters: Mapping[str, click.Parameter]
    has_json: bool

    @property
    def command(self) -> str:
        """What is typed after ``abreast``."""
        return " ".join(self.path)

    @property
    def name(self) -> str:
        """The tool's name."""
        return "_".join(self.path)

    @property
    def runs_commands(self) -> bool:
        """Whether it runs the project's own commands, of which nobody knows what they do."""
        return self.command in RUN_COMMANDS

    @property
    def is_read_only(self) -> bool:
        """Whether it changes nothing: neither the record nor, by commands of the project, anything else."""
        return not self.runs_commands and not self.command.startswith(PROPOSE)

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of its arguments."""
        properties = {name: _schema(parameter) for name, parameter in self.parameters.items()}
        required = [name for name, parameter in self.parameters.items() if parameter.required]
        return {
            "type": "object",
            "properties": {**properties, "page": PAGE},
            "required": required,
            "additionalProperties": False,
        }

    def command_line(self, arguments: Mapping[str, Any]) -> list[str]:
        """Return the command line of a call. Raises UsageError for arguments that the schema does not allow."""
        self._check(arguments)
        words, operands = [*self.path], list[str]()
        for name, parameter in self.parameters.items():
            value = arguments.get(name)
            values = value if isinstance(value, list) else [value]
            if value is None or value is False:
                continue
            if isinstance(parameter, click.Argument):
                operands += map(str, values)
            elif value is True:
                words.append(parameter.opts[-1])
            else:
                words += [f"{_flag(parameter)}={each}" for each in values]
        json = ["--json"] if self.has_json else []
        return [*words, *json, *(["--", *operands] if operands else [])]

    def _check(self, arguments: Mapping[str, Any]) -> None:
        schema, next_ = self.schema, f"abreast help {self.command}"
        for name in arguments:
            if name not in schema["properties"]:
                known = ", ".join(schema["properties"])
                raise UsageError(f"{self.name} has no argument {name[:MAX_ITEMS]!r}", need=f"of: {known}", next=next_)
        for name in schema["required"]:
            if name not in arguments:
                raise UsageError(f"{self.name} needs the argument {name}", need=_expected(schema, name), next=next_)
        for name, value in arguments.items():
            if value is not None and not _fits(value, schema["properties"][name]):
                what = f"{self.name}: {name} is not what was expected"
                raise UsageError(what, need=_expected(schema, name), next=next_)


def command_tools() -> dict[str, CommandTool]:
    """Return the tools by name, in the order of the table."""
    return {tool.name: tool for tool in _tools(abreast, ())}


def _tools(group: click.Group, above: tuple[str, ...]) -> Iterator[CommandTool]:
    for name, command in group.commands.items():
        path = (*above, name)
        if " ".join(path) in OPEN_TO_AGENTS - OF_TERMINALS:
            yield _tool(path, command)
        if isinstance(command, click.Group):
            yield from _tools(command, path)


def _tool(path: tuple[str, ...], command: click.Command) -> CommandTool:
    withheld = {"as_json", *CHANGING_OPTIONS, *OPTIONS_OF_TERMINALS}
    shown = {_name(parameter): parameter for parameter in command.params if parameter.name not in withheld}
    has_json = any(parameter.name == "as_json" for parameter in command.params)
    return CommandTool(path, command.help or "", shown, has_json)


def _flag(parameter: click.Parameter) -> str:
    """Return how an option is typed."""
    return max(parameter.opts, key=len)


def _name(parameter: click.Parameter) -> str:
    """Return what an argument of the tool is called: as the option is typed."""
    name = parameter.name or ""
    return name if isinstance(parameter, click.Argument) else _flag(parameter).lstrip("-").replace("-", "_")


def _schema(parameter: click.Parameter) -> dict[str, Any]:
    """Return the JSON Schema of one option or argument."""
    kind, found = parameter.type, dict[str, Any](type="string", maxLength=MAX_TEXT)
    if isinstance(parameter, click.Option) and parameter.is_flag:
        found = {"type": "boolean"}
    elif isinstance(kind, click.Choice):
        found = {"type": "string", "enum": [*kind.choices]}
    elif kind.name.startswith("integer"):
        found = {"type": "integer", "minimum": 1}
    if parameter.nargs == -1 or parameter.multiple:
        found = {"type": "array", "items": found, "maxItems": MAX_ITEMS}
    described = parameter.help if isinstance(parameter, click.Option) else None
    return {**found, **({"description": described} if described else {})}


def _fits(value: object, schema: Mapping[str, Any]) -> bool:
    """Whether a value is what its schema allows."""
    if schema["type"] == "array":
        items: Sequence[object] = value if isinstance(value, list) else []
        return (
            isinstance(value, list) and len(items) <= MAX_ITEMS and all(_fits(each, schema["items"]) for each in items)
        )
    if schema["type"] == "boolean":
        return isinstance(value, bool)
    if schema["type"] == "integer":
        return isinstance(value, int) and not isinstance(value, bool) and value >= schema["minimum"]
    if not isinstance(value, str) or "\0" in value or len(value) > MAX_TEXT:
        return False
    return value in schema.get("enum", [value]) and _encodes(value)


def _encodes(text: str) -> bool:
    """Whether a text can be given to a process."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _expected(schema: Mapping[str, Any], name: str) -> str:
    """Return in words what an argument has to be."""
    found = schema["properties"][name]
    one = found.get("items", found)
    words = {"string": f"a text of at most {MAX_TEXT} characters", "boolean": "true or false"}
    word = words.get(one["type"], f"a whole number from {one.get('minimum')} on")
    if "enum" in one:
        word = f"one of: {', '.join(one['enum'])}"
    return f"{name}: {f'a list of at most {MAX_ITEMS}: ' if one is not found else ''}{word}"
