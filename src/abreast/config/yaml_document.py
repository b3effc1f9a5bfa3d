"""Parse YAML 1.2 (core schema) to plain values, with the position of each key and value.

Built on PyYAML's nodes, which carry positions. PyYAML's own constructor accepts duplicate keys and reads ``on`` as
true, so it is not used.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache

import yaml

from abreast.core.errors import ConfigError, Fault
from abreast.core.frozen_dataclass import dataclass

KeyPath = tuple[str | int, ...]
YamlValue = None | bool | int | float | str | list["YamlValue"] | dict[str, "YamlValue"]

MAX_FILE_SIZE = 1 << 20
MAX_DEPTH = 50
MAX_NODES = 20_000
"""Limit on nodes after aliases are expanded, against alias bombs."""

_PLAIN_KEY = re.compile(r"[\w-]+")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_CONSTANTS: Mapping[str, YamlValue] = {"": None, "~": None, "null": None, "Null": None, "NULL": None} | {
    word: truth for truth in (True, False) for word in (str(truth).lower(), str(truth), str(truth).upper())
}


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file. Positions are (line, column), counted from 1, by key path."""

    file: str
    value: YamlValue
    value_positions: dict[KeyPath, tuple[int, int]]
    key_positions: dict[KeyPath, tuple[int, int]]

    def fault(self, path: KeyPath, message: str, *, at_key: bool = False) -> Fault:
        """Return a fault at the value (or key) of ``path``, or of its nearest parent in the file.

        The message begins with the key path: ``services.api.run: expected …``.
        """
        text = with_key_path(path, message)
        indexes = (self.key_positions, self.value_positions) if at_key else (self.value_positions, self.key_positions)
        while True:
            for positions in indexes:
                if path in positions:
                    return Fault(self.file, *positions[path], text)
            if not path:
                return Fault(self.file, 1, 1, text)
            path = path[:-1]


def with_key_path(path: KeyPath, message: str) -> str:
    """Return the message with its key path in front, such as ``services.api.needs[0]: …``."""
    text = ""
    for part in path:
        name = str(part) if isinstance(part, int) or _PLAIN_KEY.fullmatch(part) else json.dumps(part)
        text += f"[{name}]" if isinstance(part, int) else f".{name}"
    return f"{text.removeprefix('.')}: {message}" if text else message


@lru_cache(maxsize=8)
def parse_document(file: str, content: bytes) -> Document:
    """Return the document in ``content``, the same object each time.

    Raises ConfigError with the position of each syntax error.
    """
    if len(content) > MAX_FILE_SIZE:
        raise ConfigError([Fault(file, 1, 1, f"expected at most {MAX_FILE_SIZE} bytes, found {len(content)}")])
    text = _decode(file, content)
    try:
        node = _compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise ConfigError([Fault(file, line, column, f"not valid YAML: {error.problem or error.context}")]) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        position = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise ConfigError([Fault(file, *position, f"not valid YAML: {error.reason}")]) from None
    except (RecursionError, ValueError) as error:
        raise ConfigError([Fault(file, 1, 1, f"cannot be parsed as YAML: {type(error).__name__}")]) from None
    builder = _Builder(file)
    value = builder.build(node, (), 0) if node else None
    if builder.faults:
        raise ConfigError(builder.faults)
    return Document(file, value, builder.value_positions, builder.key_positions)


def _compose(text: str) -> yaml.Node | None:
    """Parse with libyaml, in a tenth of the time of PyYAML's own parser, which says better what is wrong."""
    if yaml.__with_libyaml__:
        with suppress(yaml.YAMLError):
            return yaml.compose(text, Loader=yaml.CBaseLoader)
    return yaml.compose(text, Loader=yaml.BaseLoader)


def _decode(file: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        raise ConfigError([Fault(file, line, column, "expected UTF-8, found another encoding")]) from None


class _Builder:
    def __init__(self, file: str) -> None:
        self.value_positions: dict[KeyPath, tuple[int, int]] = {}
        self.key_positions: dict[KeyPath, tuple[int, int]] = {}
        self.faults: list[Fault] = []
        self._file = file
        self._nodes_left = MAX_NODES

    def build(self, node: yaml.Node, path: KeyPath, depth: int) -> YamlValue:
        self._nodes_left -= 1
        if depth > MAX_DEPTH or self._nodes_left < 0:
            if not self.faults:
                self._fault(node, path, f"expected at most {MAX_DEPTH} levels and {MAX_NODES} nodes, found more")
            return None
        self.value_positions[path] = _position(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, number), depth + 1) for number, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, depth: int) -> YamlValue:
        mapping: dict[str, YamlValue] = {}
        for key, item in node.value:
            name = self._key(key, path)
            if name is None:
                continue
            if name in mapping:
                line, column = self.key_positions[(*path, name)]
                self._fault(key, (*path, name), f"duplicate key, first set at {line}:{column}")
                continue
            self.key_positions[(*path, name)] = _position(key)
            mapping[name] = self.build(item, (*path, name), depth + 1)
        return mapping

    def _key(self, node: yaml.Node, path: KeyPath) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._fault(node, path, "expected a text as key, found another kind of value")
            return None
        if node.value == "<<" and not node.style:
            self._fault(node, path, "merge keys (<<) are not part of YAML 1.2; write the keys out")
            return None
        return str(node.value)

    def _scalar(self, node: yaml.ScalarNode, path: KeyPath) -> YamlValue:
        text = str(node.value)
        if node.tag not in _KNOWN_TAGS:
            self._fault(node, path, f"unknown tag {node.tag}")
            return None
        if node.style:
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INTEGER.fullmatch(text) and len(text) < 100:
            return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
        return float(text) if _FLOAT.fullmatch(text) else text

    def _fault(self, node: yaml.Node, path: KeyPath, message: str) -> None:
        self.faults.append(Fault(self._file, *_position(node), with_key_path(path, message)))


_KNOWN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge")
)


def _position(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def walk_values(value: YamlValue, path: KeyPath = ()) -> Iterator[tuple[KeyPath, YamlValue]]:
    """Yield every part of a value with its key path, parents first."""
    yield path, value
    if isinstance(value, dict):
        for name, item in value.items():
            yield from walk_values(item, (*path, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from walk_values(item, (*path, number))
