"""What an install command reads: manifests and lock files, and whether its result depends on them alone."""

import json
import posixpath
import re
import shlex
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import field
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import PurePosixPath

from abreast.core.frozen_dataclass import dataclass

LOCK_FILES: Mapping[str, tuple[str, ...]] = {
    "npm": ("package-lock.json", "npm-shrinkwrap.json"),
    "pnpm": ("pnpm-lock.yaml",),
    "yarn": ("yarn.lock",),
    "bun": ("bun.lock", "bun.lockb"),
    "uv": ("uv.lock",),
    "poetry": ("poetry.lock",),
    "pdm": ("pdm.lock",),
    "pipenv": ("Pipfile.lock",),
}
"""Lock files by package manager. pip has none: it installs what the command names."""

NODE_MANAGERS = frozenset({"npm", "pnpm", "yarn", "bun"})
NODE_VERSION_FILES = (".nvmrc", ".node-version", ".tool-versions")

_INPUT_NAMES = frozenset(
    {name for names in LOCK_FILES.values() for name in names}
    | {"package.json", "pnpm-workspace.yaml", ".npmrc", ".yarnrc", ".yarnrc.yml", ".pnpmfile.cjs", "bunfig.toml"}
    | {"pyproject.toml", "setup.py", "setup.cfg", "Pipfile", "uv.toml", "poetry.toml", "pdm.toml", ".python-version"}
    | {*NODE_VERSION_FILES}
)
_INPUT_GLOBS = ("*requirements*.txt", "*constraints*.txt", "requirements/*.txt", "pylock*.toml")
_INPUT_FOLDERS = ("patches/", ".yarn/")
_PROGRAM = re.compile(r"(?<![\w./-])(npm|pnpm|yarn|bun|uv|pip3?|poetry|pdm|pipenv)(?![\w./-])")
_UV_PIP = re.compile(r"\buv\s+pip\b")
_LOCAL_PATH = re.compile(r"(?:-e|--editable)(?:$|[ =])|\.{1,2}(?:$|[/\[])|file:|[^@]+@ ?file:")
_PACKAGE_FOLDER_OPTIONS = ("--find-links", "-f")
_UV_LOCAL_SOURCE = re.compile(rb"^source = \{ (?:editable|directory) = ", re.MULTILINE)
_YARN_FOLDER_LINKER = re.compile(rb"""^nodeLinker: *["']?(?:node-modules|pnpm)\b""", re.MULTILINE)
_YARN_OWN_CACHE = {"YARN_ENABLE_GLOBAL_CACHE": "false"}
"""Plug'n'Play loads packages from Yarn's cache, by paths relative to the checkout: the cache has to move with it."""
_NO_GIT_HOOKS = {"HUSKY": "0", "SKIP_INSTALL_SIMPLE_GIT_HOOKS": "1"}
"""A checkout is no repository of git: what sets up its hooks would fail, and the install with it."""
_LIFECYCLE_SCRIPTS = ("preinstall", "install", "postinstall", "preprepare", "prepare", "postprepare")
_GIT_HOOK_SCRIPT = re.compile(r"(?:husky|lefthook|simple-git-hooks)\b[^&|;]*")
"""Sets up hooks of git, which are no part of what is installed."""

ReadFiles = Callable[[Sequence[str]], Mapping[str, bytes]]
"""Returns the content of files, without those that do not exist."""


@dataclass(frozen=True, slots=True)
class InstallInputs:
    """``files``: what the command reads. ``programs``: the package managers in it.

    ``unlocked`` says why the same files may give another result another day. ``own_code`` says why its result depends
    on other files of the service too. Both are "" if the result depends on ``files`` alone. ``variables`` are those
    with which the command works in a checkout, and leaves what works in another folder, too.
    """

    files: tuple[str, ...]
    programs: tuple[str, ...]
    unlocked: str = ""
    own_code: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)


def find_install_inputs(command: str, folder: str, files: Collection[str], read: ReadFiles) -> InstallInputs:
    """Return what a command that installs reads, run in ``folder`` of a commit with these files."""
    programs = package_managers(command)
    locks = [name for program in programs for name in LOCK_FILES.get(program, ())]
    root = _nearest_folder(folder, files, locks)
    named = _named_files(command, folder, files)
    included = _included_requirements(named, files, read)
    found = {file for file in files if _is_input(file, root)} | set(named) | set(included)
    return InstallInputs(
        tuple(sorted(found)),
        programs,
        _unlocked(command, programs, root, files, named),
        _own_code(command, programs, root, found, read),
        _variables(programs, root, read),
    )


def _variables(programs: Collection[str], root: str, read: ReadFiles) -> Mapping[str, str]:
    hooks = {} if NODE_MANAGERS.isdisjoint(programs) else _NO_GIT_HOOKS
    cache = _YARN_OWN_CACHE if "yarn" in programs and _is_plug_and_play(root, read) else {}
    return {**hooks, **cache}


def package_managers(command: str) -> tuple[str, ...]:
    """Return the package managers that a command runs. ``uv pip`` counts as pip."""
    names = _PROGRAM.findall(_UV_PIP.sub("pip", command))
    return tuple(dict.fromkeys(name.removesuffix("3") for name in names))


def folders_above(folder: str) -> Iterator[str]:
    """Yield a folder and those above it, up to the project's own (``""``)."""
    yield from ("" if str(parent) == "." else str(parent) for parent in (PurePosixPath(folder + "/x").parents))


def _nearest_folder(folder: str, files: Collection[str], names: Collection[str]) -> str:
    """Return the nearest folder, here or above, that has one of these files; else ``folder`` itself."""
    having = (above for above in folders_above(folder) if any(posixpath.join(above, name) in files for name in names))
    return next(having, folder)


def _is_input(file: str, root: str) -> bool:
    """Whether a package manager that installs in ``root`` may read a file: configuration counts from above, too."""
    path, inside = PurePosixPath(file), posixpath.relpath(file, root or ".")
    if inside.startswith("../"):
        return path.name in _INPUT_NAMES and PurePosixPath(root).is_relative_to(path.parent)
    named = path.name in _INPUT_NAMES or any(fnmatch(inside, glob) for glob in _INPUT_GLOBS)
    return named or inside.startswith(_INPUT_FOLDERS)


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return command.split()


def _named_files(command: str, folder: str, files: Collection[str]) -> list[str]:
    """Return the files of the commit that a command names, also those in a folder of packages (``--find-links``)."""
    words = _words(command)
    paths = [posixpath.normpath(posixpath.join(folder, _option_value(word))) for word in words]
    found = [path for path in paths if path in files]
    for folder_of_packages in _values(_PACKAGE_FOLDER_OPTIONS, words):
        inside = posixpath.normpath(posixpath.join(folder, folder_of_packages)) + "/"
        found += [file for file in files if file.startswith(inside)]
    return list(dict.fromkeys(found))


def _option_value(word: str) -> str:
    """Return what an option says, if its value is part of the word."""
    return word.rpartition("=")[2].removeprefix("-r").removeprefix("-c")


def _values(options: Collection[str], words: Sequence[str]) -> Iterator[str]:
    """Yield the values of options, each in a word of its own or after ``=``."""
    for word, following in pairwise((*words, "")):
        if word in options:
            yield following
        elif word.partition("=")[0] in options:
            yield word.partition("=")[2]


def _included_requirements(named: Sequence[str], files: Collection[str], read: ReadFiles) -> Sequence[str]:
    """Return the files that requirements files include, and those again."""
    found, remaining = list(named), [name for name in named if name.endswith((".txt", ".in"))]
    while remaining:
        here = remaining.pop()
        for line in read([here]).get(here, b"").decode(errors="replace").splitlines():
            match = re.match(r"\s*(?:-r|-c|--requirement|--constraint)[ =]*(\S+)", line)
            path = posixpath.normpath(posixpath.join(posixpath.dirname(here), match[1])) if match else ""
            if path in files and path not in found:
                found.append(path)
                remaining.append(path)
    return found


def _unlocked(command: str, programs: Sequence[str], root: str, files: Collection[str], named: Sequence[str]) -> str:
    """Return why the same files may give another result another day."""
    for program in programs:
        locks = LOCK_FILES.get(program)
        if locks and not any(posixpath.join(root, name) in files for name in locks):
            return f"the commit has no {locks[0]} for `{command}`"
        if not locks and not any(name.endswith((".txt", ".toml")) for name in named):
            return f"`{command}` names no requirements file of the commit"
    if not programs and not any(posixpath.basename(file) in _ALL_LOCKS for file in files):
        return f"the commit has no lock file for `{command}`"
    return ""


def _is_plug_and_play(root: str, read: ReadFiles) -> bool:
    """Whether Yarn leaves a map of packages rather than folders of them. Yarn 1 has no such choice."""
    file = posixpath.join(root, ".yarnrc.yml")
    return not _YARN_FOLDER_LINKER.search(read([file]).get(file, b""))


_ALL_LOCKS = frozenset(name for names in LOCK_FILES.values() for name in names)


def _own_code(command: str, programs: Sequence[str], root: str, found: Collection[str], read: ReadFiles) -> str:
    """Return why the result depends on other files of the service than manifests and lock files."""
    contents = read(sorted(found))
    if "pip" in programs:
        words = _words(command)
        packages = {*_values(_PACKAGE_FOLDER_OPTIONS, words)}
        code = (word for word in words if not word.endswith((".txt", ".toml")) and word not in packages)
        local = next((word for word in code if _LOCAL_PATH.match(word)), "")
        local = local or next((line for line in _requirements(contents) if _LOCAL_PATH.match(line)), "")
        if local:
            return f"it installs code of this repository ({local})"
    lock = contents.get(posixpath.join(root, "uv.lock"), b"")
    if "uv" in programs and _UV_LOCAL_SOURCE.search(lock) and "--no-install-" not in command:
        return "it installs packages of this repository (uv.lock)"
    if NODE_MANAGERS.isdisjoint(programs) or "--ignore-scripts" in command:
        return ""
    scripts = ((file, name) for file, content in contents.items() for name in _lifecycle_scripts(file, content))
    return next((f"{file} has a script {name}, which may read any file" for file, name in scripts), "")


def _requirements(contents: Mapping[str, bytes]) -> Iterator[str]:
    for file, content in contents.items():
        if file.endswith(".txt"):
            yield from (line.strip() for line in content.decode(errors="replace").splitlines())


def _lifecycle_scripts(file: str, content: bytes) -> Iterator[str]:
    """Yield the scripts of a manifest that an install runs, without those that set up hooks of git."""
    if posixpath.basename(file) != "package.json":
        return
    try:
        scripts = dict(json.loads(content).get("scripts") or {})
    except (ValueError, AttributeError, TypeError):
        return
    for name in _LIFECYCLE_SCRIPTS:
        if name in scripts and not _GIT_HOOK_SCRIPT.fullmatch(str(scripts[name]).strip()):
            yield name


FOREIGN_INSTALLS: Mapping[str, str] = {
    "poetry.lock": "uvx poetry install --no-root",
    "pdm.lock": "uvx 'pdm[locked]' sync --no-self",
    "Pipfile.lock": "uvx pipenv sync",
}
"""Commands for the lock files that uv cannot read."""


def default_python_install(folder: str, files: Collection[str]) -> str | None:
    """Return the command that installs a Python service's dependencies, by the lock file that uv can read, if any."""
    if any(posixpath.join(above, "uv.lock") in files for above in folders_above(folder)):
        return "uv sync --frozen"
    commands = {"pylock.toml": "uv pip sync pylock.toml", "requirements.txt": "uv pip install -r requirements.txt"}
    return next((command for name, command in commands.items() if posixpath.join(folder, name) in files), None)


def foreign_lock_file(folder: str, files: Collection[str]) -> str:
    """Return the name of a lock file that uv cannot read, "" if the folder has none."""
    return next((name for name in FOREIGN_INSTALLS if posixpath.join(folder, name) in files), "")


def requested_python(folder: str, files: Collection[str], read: ReadFiles) -> str:
    """Return the Python version that a project asks for: the nearest ``.python-version``, else ``requires-python``.

    "" if it asks for none.
    """
    for above in folders_above(folder):
        name = posixpath.join(above, ".python-version")
        lines = read([name]).get(name, b"").decode(errors="replace").split("\n") if name in files else []
        if version := next((line.strip() for line in lines if line.strip() and line[0] != "#"), ""):
            return version
    for above in folders_above(folder):
        if version := _manifest_python(above, files, read):
            return version
    return ""


def _manifest_python(folder: str, files: Collection[str], read: ReadFiles) -> str:
    """Return the version in the manifests of one folder."""
    keys = {
        "pyproject.toml": ("project", "requires-python"),
        "Pipfile": ("requires", "python_version"),
    }
    for manifest, (table, key) in keys.items():
        name = posixpath.join(folder, manifest)
        if name not in files:
            continue
        try:
            found = tomllib.loads(read([name]).get(name, b"").decode()).get(table, {}).get(key)
        except (ValueError, AttributeError):
            continue
        if isinstance(found, str) and found:
            return found
    return ""
