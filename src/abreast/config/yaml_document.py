"""YAML 1.2 (core schema) to plain values, with the place of each key and value.

PyYAML's nodes carry the places; its own construction is not used, since it keeps duplicate keys silently
and reads ``on`` as true.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import yaml

from abreast.core.errors import ConfigError, Fault

KeyPath = tuple[str | int, ...]
YamlValue = None | bool | int | float | str | list["YamlValue"] | dict[str, "YamlValue"]

MAX_FILE_SIZE = 1 << 20
MAX_DEPTH = 50
MAX_NODES = 20_000
"""Nodes after aliases are followed: more is a mistake, or an attack."""

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_CONSTANTS: Mapping[str, YamlValue] = {"": None, "~": None, "null": None, "Null": None, "NULL": None} | {
    word: truth for truth in (True, False) for word in (str(truth).lower(), str(truth), str(truth).upper())
}


@dataclass(frozen=True, slots=True)
class Document:
    """A file's value, and where (line, column, from 1) each part of it stands; ``keys``: each key."""

    file: str
    value: YamlValue
    value_positions: dict[KeyPath, tuple[int, int]]
    key_positions: dict[KeyPath, tuple[int, int]]

    def fault(self, path: KeyPath, message: str, *, at_key: bool = False) -> Fault:
        """Return a fault at the value (or key) of ``path``, or at the nearest part around it."""
        places = (self.key_positions, self.value_positions) if at_key else (self.value_positions, self.key_positions)
        while True:
            for known in places:
                if path in known:
                    return Fault(self.file, *known[path], message)
            if not path:
                return Fault(self.file, 1, 1, message)
            path = path[:-1]


def parse_document(file: str, content: bytes) -> Document:
    """Return the document in ``content``; raises ConfigError with the place of what is no YAML."""
    if len(content) > MAX_FILE_SIZE:
        raise ConfigError([Fault(file, 1, 1, f"larger than {MAX_FILE_SIZE} bytes")])
    text = _decode(file, content)
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise ConfigError([Fault(file, line, column, f"not YAML: {error.problem or error.context}")]) from None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = before.count("\n") + 1, len(before) - before.rfind("\n")
        raise ConfigError([Fault(file, *place, f"not YAML: {error.reason}")]) from None
    except (RecursionError, ValueError) as error:
        raise ConfigError([Fault(file, 1, 1, f"not YAML that can be read: {type(error).__name__}")]) from None
    builder = _Builder(file)
    value = builder.build(node, (), 0) if node else None
    if builder.faults:
        raise ConfigError(builder.faults)
    return Document(file, value, builder.value_positions, builder.key_positions)


def _decode(file: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        raise ConfigError([Fault(file, line, column, "not UTF-8")]) from None


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
                self._fault(node, f"more than {MAX_DEPTH} levels deep, or {MAX_NODES} parts")
            return None
        self.value_positions[path] = _position(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, number), depth + 1) for number, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, depth: int) -> YamlValue:
        found: dict[str, YamlValue] = {}
        for key, item in node.value:
            name = self._key(key)
            if name is None:
                continue
            if name in found:
                line, column = self.key_positions[(*path, name)]
                self._fault(key, f"{name!r} stands twice; first at {line}:{column}")
                continue
            self.key_positions[(*path, name)] = _position(key)
            found[name] = self.build(item, (*path, name), depth + 1)
        return found

    def _key(self, node: yaml.Node) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self._fault(node, "a key must be a plain text")
            return None
        if node.value == "<<" and node.style is None:
            self._fault(node, "merge keys (<<) are not part of YAML 1.2; write the keys out")
            return None
        return str(node.value)

    def _scalar(self, node: yaml.ScalarNode) -> YamlValue:
        text = str(node.value)
        if node.tag not in _KNOWN_TAGS:
            self._fault(node, f"the tag {node.tag} means nothing here")
            return None
        if node.style is not None:
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if _INTEGER.fullmatch(text) and len(text) < 100:
            return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
        return float(text) if _FLOAT.fullmatch(text) else text

    def _fault(self, node: yaml.Node, message: str) -> None:
        self.faults.append(Fault(self._file, *_position(node), message))


_KNOWN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge")
)


def _position(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def walk_values(value: YamlValue, path: KeyPath = ()) -> Iterator[tuple[KeyPath, YamlValue]]:
    """Yield every part of a value with its path."""
    yield path, value
    if isinstance(value, dict):
        for name, item in value.items():
            yield from walk_values(item, (*path, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from walk_values(item, (*path, number))
