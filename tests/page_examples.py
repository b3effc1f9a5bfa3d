"""The examples of a page of docs: its fenced blocks, in order."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_FILE_NAME = re.compile(r"(?:#|<!--) ([\w./-]+)(?: -->)?\n")


@dataclass(frozen=True)
class Example:
    """A fenced block."""

    language: str
    text: str

    @property
    def file(self) -> str:
        """The name of the file that it shows, by the comment on its first line; "" if it shows none."""
        match = _FILE_NAME.match(self.text)
        return match[1] if match and self.language != "console" else ""

    @property
    def steps(self) -> Sequence[tuple[str, Sequence[str]]]:
        """The commands that it shows, each with the lines that it prints."""
        found: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
        return found

    @property
    def commands(self) -> Sequence[str]:
        """The commands that it shows, without comments."""
        return [re.sub(r"\s+# .*", "", line[2:]) for line in self.text.splitlines() if line.startswith("$ ")]

    @property
    def output(self) -> Sequence[str]:
        """The lines that its commands print."""
        return [line for line in self.text.splitlines() if not line.startswith("$ ")]


def page_examples(page: Path) -> Iterator[Example]:
    """Return the examples of a page."""
    return (Example(match[1], match[2]) for match in _BLOCK.finditer(page.read_text()))


def configs(page: Path) -> list[dict[str, Any]]:
    """Return the parts of an abreast.yml that a page shows."""
    return [yaml.safe_load(example.text) for example in page_examples(page) if example.language == "yaml"]
