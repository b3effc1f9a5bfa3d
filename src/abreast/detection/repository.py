"""A read-only index of a repository's files: listed once, each read when it is asked for."""

import json
import os
import re
import subprocess
import tomllib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

MAX_FILE_SIZE = 400_000
"""Larger files are generated; what they say stands in a smaller one too."""

MAX_SOURCES = 150
"""How many source files of one service are read at most."""

GENERATED_FOLDERS = frozenset(
    {"node_modules", "bower_components", "dist", "out", "target", "vendor", "coverage", "htmlcov", "site-packages",
     "venv", "__pycache__", "third_party", "_build"}
)  # fmt: skip
"""Folders of generated or foreign files, which are not searched."""

_ENTRY_FILE = re.compile(
    r"(^|/)(main|app|server|index|program|routes?|urls|settings|config|wsgi|asgi|health[\w.-]*)\.\w+$", re.IGNORECASE
)
_TEST_FILE = re.compile(
    r"(^|/)(tests?|__tests__|spec|e2e|cypress|fixtures|mocks|node_modules)/|[._-](test|spec)\.\w+$|(^|/)test_"
)
_JSON_COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/|,(?=\s*[}\]])', re.DOTALL)


class Repository:
    """The files of a folder that git knows or would add; without git, all but generated ones."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = tuple(sorted(_list_files(root)))
        self._texts: dict[str, str] = {}
        self._sources: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        self._parsed: dict[str, dict[str, Any]] = {}

    @cached_property
    def last_commit(self) -> date | None:
        """The day of the last commit, None without one."""
        command = ["git", "-C", str(self.root), "log", "-1", "--format=%cs"]
        try:
            told = subprocess.run(command, capture_output=True, check=False, text=True)
        except OSError:
            return None
        return date.fromisoformat(told.stdout.strip()) if told.returncode == 0 and told.stdout.strip() else None

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.files)

    @cached_property
    def _names_by_folder(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {"": []}
        for file in self.files:
            folder, _, name = file.rpartition("/")
            found.setdefault(folder, []).append(name)
        return found

    @property
    def folders(self) -> Iterable[str]:
        """The folders with files directly in them, "" for the root, sorted."""
        return sorted(self._names_by_folder)

    def names(self, folder: str) -> list[str]:
        """Return the names of the files directly in a folder."""
        return self._names_by_folder.get(folder, [])

    def has(self, *paths: str) -> str:
        """Return the first of the paths that is a file, "" if none is."""
        return next((path for path in paths if path in self._known), "")

    def below(self, folder: str, *suffixes: str) -> Iterator[str]:
        """Yield the files in a folder and all folders below it, with one of the suffixes."""
        inside = self.files
        if folder:
            first, last = (bisect_left(self.files, f"{folder}{end}") for end in ("/", "0"))  # "0" comes after "/"
            inside = self.files[first:last]
        return (file for file in inside if not suffixes or file.endswith(suffixes))

    def sources(self, folder: str, *suffixes: str) -> list[str]:
        """Return the source files of a service, those that name what it serves first, and no tests."""
        if (folder, suffixes) not in self._sources:
            found = [file for file in self.below(folder, *suffixes) if not _TEST_FILE.search(file[len(folder) :])]
            found.sort(key=lambda file: (not _ENTRY_FILE.search(file), file.count("/"), file))
            self._sources[folder, suffixes] = found[:MAX_SOURCES]
        return self._sources[folder, suffixes]

    def text(self, path: str) -> str:
        """Return a file's text, "" if there is no such file, or none that could be read."""
        if path not in self._texts:
            self._texts[path] = self._read(path) if path in self._known else ""
        return self._texts[path]

    def _read(self, path: str) -> str:
        try:
            with open(f"{self.root}/{path}", "rb") as opened:  # noqa: PTH123 (a hundred at a time)
                content = opened.read(MAX_FILE_SIZE + 1)
        except OSError:
            return ""
        return (
            "" if len(content) > MAX_FILE_SIZE else content.decode("utf-8-sig", errors="replace").replace("\r\n", "\n")
        )

    def json(self, path: str) -> dict[str, Any]:
        """Return a JSON file, which may have comments. {} if it is not a valid mapping."""
        return self._parse(path, _parse_json)

    def generated_text(self, path: str) -> str:
        """Return the text of a file of any size that a program wrote, such as a lock file. "" if it is none."""
        try:
            return (self.root / path).read_text() if path in self._known else ""
        except (OSError, ValueError):
            return ""

    def toml(self, path: str) -> dict[str, Any]:
        """Return a TOML file, {} if it is not valid."""
        return self._parse(path, _parse_toml)

    def yaml(self, path: str) -> dict[str, Any]:
        """Return the first document of a YAML file, {} if it is not a valid mapping."""
        return self._parse(path, _parse_yaml)

    def _parse(self, path: str, parse: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
        """Return what ``parse`` makes of a file. Each file has one format, so it is parsed once."""
        if path not in self._known:
            return {}
        if path not in self._parsed:
            self._parsed[path] = parse(self.text(path))
        return self._parsed[path]


YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, where PyYAML was built with it: ten times as fast."""


def _parse_json(text: str) -> dict[str, Any]:
    for candidate in (text, _JSON_COMMENT.sub(lambda found: found[1] or "", text)):
        try:
            value = json.loads(candidate)
        except ValueError:
            continue
        return value if isinstance(value, dict) else {}
    return {}


def _parse_toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}


def _parse_yaml(text: str) -> dict[str, Any]:
    try:
        value = next(iter(yaml.load_all(text, Loader=YAML_LOADER)), None)
    except yaml.YAMLError:
        return {}
    return value if isinstance(value, dict) else {}


def path_in(folder: str, name: str) -> str:
    """Return the path of a file in a folder, whose name may lead up with ``..``."""
    path = os.path.normpath(f"{folder}/{name}" if folder else name).replace("\\", "/")
    return "" if path == "." else path


def parents(folder: str) -> Iterator[str]:
    """Yield a folder and all above it, up to the root ("")."""
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
    yield ""


def is_inside(path: str, folder: str) -> bool:
    """Whether a path is a folder or anything below it."""
    return not folder or path == folder or path.startswith(f"{folder}/")


def relative_to(path: str, folder: str) -> str:
    """Return a path as seen from a folder, with ``..`` where it leads out of it."""
    return os.path.relpath(path or ".", folder or ".").replace("\\", "/")


def _list_files(root: Path) -> Iterator[str]:
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=False)
    except OSError:
        listed = None
    files = (
        listed.stdout.decode(errors="surrogateescape").split("\0") if listed and not listed.returncode else _walk(root)
    )
    generated: dict[str, bool] = {}
    for file in filter(None, dict.fromkeys(files)):
        folder = file.rpartition("/")[0]
        if folder not in generated:
            generated[folder] = not GENERATED_FOLDERS.isdisjoint(folder.split("/"))
        if not generated[folder]:
            yield file


def _walk(root: Path) -> Iterator[str]:
    for folder, below, names in os.walk(root):
        below[:] = [name for name in below if not name.startswith(".") and name not in GENERATED_FOLDERS]
        place = Path(folder).relative_to(root)
        yield from ((place / name).as_posix() for name in names)
