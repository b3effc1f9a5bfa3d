"""A Python project: what installs it, its packages, and its version of Python."""

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from abreast.core.changes.watch_patterns import match_files
from abreast.detection.dockerfiles import parse_dockerfile
from abreast.detection.ecosystems.node_package import Installation
from abreast.detection.ecosystems.python_age import (
    index_date,
    is_lock,
    python_of_django,
    python_of_its_time,
    python_under_test,
)
from abreast.detection.ecosystems.python_imports import ImportedPackages, imported_packages, list_of_packages
from abreast.detection.repository import Repository, parents, path_in, relative_to

MANIFESTS = ("pyproject.toml", "requirements.txt", "Pipfile", "setup.py", "requirements")
REQUIREMENT_FILES = (
    "requirements.txt", "requirements/production.txt", "requirements/prod.txt", "requirements/base.txt",
    "requirements/common.txt", "requirements.in",
)  # fmt: skip
DEVELOPMENT_FILES = (
    "requirements-test.txt", "requirements-tests.txt", "test-requirements.txt", "requirements/test.txt",
    "requirements/tests.txt", "requirements-dev.txt", "requirements_dev.txt", "dev-requirements.txt",
    "requirements/dev.txt", "requirements/local.txt", "requirements/development.txt",
)  # fmt: skip
"""Lists of what tests need, those for tests alone first."""
_NAME = re.compile(r"\s*([A-Za-z0-9][\w.-]*)\s*(\[[^\]]*\])?")
_VERSION = re.compile(r"(\d+\.\d+)")
_NOTHING_SAYS = "no file says which: that of this machine"


class PythonProject:
    """The manifest that a folder of Python belongs to: its own, or the nearest one above."""

    def __init__(self, repository: Repository, folder: str) -> None:
        self.repository = repository
        self.folder = folder
        self.home = next((above for above in parents(folder) if has_manifest(repository, above)), folder)
        self.pyproject = repository.toml(path_in(self.home, "pyproject.toml"))
        self.workspace = next((above for above in parents(self.home) if self._is_member_of(above)), self.home)
        self.packages, self.development = self._read_packages()
        self.imported = self._read_imports()
        self.packages |= set(self.imported.packages)

    def _is_member_of(self, above: str) -> bool:
        if above == self.home:
            return False
        workspace = _table(self.repository.toml(path_in(above, "pyproject.toml")), "tool", "uv", "workspace")
        members = [str(member) for member in workspace.get("members", ())]
        return bool(members and match_files(members, [relative_to(self.home, above)]))

    def has(self, *names: str) -> bool:
        """Whether one of the packages is among those that run in production. Names are normalized."""
        return not self.packages.isdisjoint(names)

    def installations(self) -> list[Installation]:
        """Return the way to install its packages: of a lock file, before that of a list. [] if there is none."""
        return list(self._installations())[:1]

    def _installations(self) -> Iterator[Installation]:
        up, repository = self._up(), self.repository
        if lock := repository.has(path_in(self.home, "uv.lock"), path_in(self.workspace, "uv.lock")):
            yield Installation(f"uv sync --frozen{self._uv_project()}", lock)
        if self._uses_poetry():
            lock = repository.has(path_in(self.home, "poetry.lock"))
            directory = f" --directory {up}" if up else ""
            yield Installation(
                f"uvx poetry install --no-root{directory}",
                lock or f"{path_in(self.home, 'pyproject.toml')}: tool.poetry",
            )
        if lock := repository.has(path_in(self.home, "pdm.lock")):
            yield Installation(f"uvx 'pdm[locked]' sync --no-self{f' --project {up}' if up else ''}", lock)
        if lock := repository.has(path_in(self.home, "Pipfile.lock"), path_in(self.home, "Pipfile")):
            verb = "sync" if lock.endswith(".lock") else "install"
            yield Installation(f"uvx pipenv {verb}", lock)
        if lock := repository.has(path_in(self.home, "pylock.toml")):
            yield Installation(f"uv pip sync {relative_to(lock, self.folder)}", lock)
        if file := repository.has(*(path_in(self.home, name) for name in REQUIREMENT_FILES)):
            day = self._index_date(file)
            tool = f"uv pip install --exclude-newer {day}" if day else "pip install"
            why = f"; it is no lock file, so with packages of the last commit, {day}" if day else ""
            yield Installation(f"{tool} -r {relative_to(file, self.folder)}", file + why)
        if self.pyproject.get("project", {}).get("dependencies") or repository.has(path_in(self.home, "setup.py")):
            file = repository.has(path_in(self.home, "pyproject.toml"), path_in(self.home, "setup.py"))
            yield Installation(f"pip install {up or '.'}", file)
        if self.imported.packages and not self.missing_packages():
            day = index_date(repository.last_commit, self.version()[0], datetime.now(UTC).date())
            tool = f"uv pip install --exclude-newer {day}" if day else "pip install"
            why = f", of the last commit, {day}" if day else ""
            yield Installation(
                f"{tool} {' '.join(self.imported.packages)}", f"no file lists packages: its imports{why}"
            )

    def _read_imports(self) -> ImportedPackages:
        is_listed = has_manifest(self.repository, self.home)
        return ImportedPackages((), ()) if is_listed else imported_packages(self.repository, self.folder)

    def missing_packages(self) -> str:
        """Return why nothing says what code without a manifest needs, "" if its imports do, or if it has one."""
        imported = self.imported
        if not imported.packages and not imported.unknown:
            return ""
        if name := list_of_packages(self.repository, self.folder):
            return f"{path_in(self.folder, name)} lists packages in a way of its own"
        names = ", ".join(imported.unknown[:5])
        return f"no file lists packages, and nothing says which ones have {names}" if names else ""

    def _index_date(self, file: str) -> str:
        """Return the day of the packages to install from a list that is no lock file; "" for those of today."""
        if is_lock(list(self._requirement_lines(file, set()))) or "--hash" in self.repository.text(file):
            return ""
        return index_date(self.repository.last_commit, self.version()[0], datetime.now(UTC).date())

    def _up(self) -> str:
        return "" if self.home == self.folder else relative_to(self.home, self.folder)

    def _uv_project(self) -> str:
        return f" --project {self._up()}" if self._up() else ""

    def _uses_poetry(self) -> bool:
        tool = _table(self.pyproject, "tool", "poetry")
        return bool(self.repository.has(path_in(self.home, "poetry.lock")) or tool.get("dependencies"))

    def add_packages(self, command: str, *names: str) -> str:
        """Return an install command that also installs packages which the project does not name."""
        tool = "uv pip install" if command.startswith("uv ") else "pip install"
        return (
            f"{command} {' '.join(names)}"
            if re.match(r"(uv )?pip install (.*-r |(--exclude-newer \S+ )?\w)", f"{command} ")
            else f"{command} && {tool} {' '.join(names)}"
        )

    def version(self) -> tuple[str, str]:
        """Return the version of Python, and what says so."""
        repository = self.repository
        for folder in parents(self.folder):
            for name in (".python-version", "runtime.txt"):
                if found := _VERSION.search(repository.text(path_in(folder, name))):
                    return found[1], path_in(folder, name)
            if found := re.search(
                r"^python\s+(\d+\.\d+)", repository.text(path_in(folder, ".tool-versions")), re.MULTILINE
            ):
                return found[1], path_in(folder, ".tool-versions")
            if required := _table(repository.toml(path_in(folder, "Pipfile")), "requires").get("python_version"):
                return str(required), f"{path_in(folder, 'Pipfile')}: requires"
        return self._image_version() or self._django_version() or self._required_version()

    def _django_version(self) -> tuple[str, str] | None:
        if self.pyproject.get("project", {}).get("requires-python"):
            return None
        file = self.repository.has(*(path_in(self.home, name) for name in REQUIREMENT_FILES))
        version, pin = python_of_django(self.requirement_lines(), sys.version_info[:2])
        return (version, f"{file}: {pin}, which runs on no newer one") if version else None

    def _image_version(self) -> tuple[str, str] | None:
        homes = dict.fromkeys((self.folder, self.home))
        aside = [path_in(home, name) for home in homes for name in ("docker", "deploy")]
        for folder in (*homes, *aside):
            for name in sorted(self.repository.names(folder)):
                file = path_in(folder, name)
                version = (
                    parse_dockerfile(self.repository.text(file)).version("python")
                    if name.lower().startswith("dockerfile")
                    else ""
                )
                if "." in version:
                    return version, file
        return None

    def _required_version(self) -> tuple[str, str]:
        file = path_in(self.home, "pyproject.toml")
        required = self.pyproject.get("project", {}).get("requires-python") or ""
        poetry = _table(self.pyproject, "tool", "poetry", "dependencies").get("python")
        text = str(required or (poetry if isinstance(poetry, str) else ""))
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        found = _VERSION.search(text)
        if not found:
            return self._tested_version(here) or self._version_of_its_time(here) or (here, _NOTHING_SAYS)
        lowest, ours = _numbers(found[1]), _numbers(here)
        highest = re.search(r"<\s*(\d+\.\d+)", text)
        fits = ours >= lowest and not (highest and ours >= _numbers(highest[1])) and not text.startswith(("==", "~"))
        return (here if fits and not self._is_old() else found[1]), f"{file}: requires {text}"

    def _tested_version(self, here: str) -> tuple[str, str] | None:
        texts = {
            file: self.repository.text(file)
            for file in (path_in(self.home, "tox.ini"), *self.repository.below(".github/workflows", ".yml", ".yaml"))
        }
        version = python_under_test(texts.values(), here)
        source = next((file for file, text in texts.items() if python_under_test([text], here) == version), "")
        return (version, f"{source} tests with it") if version else None

    def _version_of_its_time(self, here: str) -> tuple[str, str] | None:
        """Return the newest Python at the last commit, if that is old and the versions of the packages are, too."""
        version = python_of_its_time(self.repository.last_commit, datetime.now(UTC).date())
        if not version or _numbers(version) >= _numbers(here) or not self._has_pins():
            return None
        return version, f"no file says which: the newest at the last commit, {self.repository.last_commit}"

    def _has_pins(self) -> bool:
        lines = [line for line in self.requirement_lines() if line.split("#")[0].strip()]
        locks = (path_in(self.home, lock) for lock in ("Pipfile.lock", "poetry.lock", "pdm.lock"))
        return bool(self.repository.has(*locks)) or (bool(lines) and all("==" in line for line in lines))

    def _is_old(self) -> bool:
        """Whether a lock file was written for an older Python than this machine's, as pydantic 1 shows."""
        text = str(_table(self.pyproject, "tool", "poetry", "dependencies").get("pydantic", ""))
        return "^1." in text

    def _read_packages(self) -> tuple[frozenset[str], frozenset[str]]:
        project = self.pyproject.get("project") or {}
        texts = [text for text in project.get("dependencies", ()) if isinstance(text, str)]
        poetry = _table(self.pyproject, "tool", "poetry")
        names = set(_names(texts)) | {normalized(name) for name in poetry.get("dependencies", {})}
        pipfile = self.repository.toml(path_in(self.home, "Pipfile"))
        names |= {normalized(name) for name in pipfile.get("packages", {})}
        lock = self.repository.json(path_in(self.home, "Pipfile.lock"))
        names |= {normalized(name) for name in _table(lock, "default")}
        if not names:
            names |= self._setup_packages()
        is_locked = names and self.repository.has(
            *(path_in(self.home, lock) for lock in ("uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock"))
        )
        for file in () if is_locked else REQUIREMENT_FILES:
            names |= set(_names(self._requirement_lines(path_in(self.home, file), set())))
        groups = [
            *(project.get("optional-dependencies") or {}).values(),
            *(self.pyproject.get("dependency-groups") or {}).values(),
        ]
        more = set(_names(text for group in groups for text in group if isinstance(text, str)))
        more |= {normalized(name) for name in poetry.get("dev-dependencies", {})}
        for group in poetry.get("group", {}).values():
            more |= {normalized(name) for name in group.get("dependencies", {})}
        more |= {normalized(name) for name in pipfile.get("dev-packages", {})}
        return frozenset(names), frozenset(more)

    def requirement_lines(self) -> list[str]:
        """Return the lines of its list of requirements, and of those that it includes."""
        file = self.repository.has(*(path_in(self.home, name) for name in REQUIREMENT_FILES))
        return list(self._requirement_lines(file, set()))

    def pins(self) -> list[str]:
        """Return its packages with their versions, as a list has them: of a lock of pipenv, or of its list."""
        locked = _table(self.repository.json(path_in(self.home, "Pipfile.lock")), "default")
        if not self.uses_pipenv or not locked:
            return self.requirement_lines()
        return [f"{name}{entry.get('version', '')}" for name, entry in locked.items() if isinstance(entry, dict)]

    def _setup_packages(self) -> set[str]:
        found = re.search(r"install_requires\s*=\s*\[([^\]]*)", self.repository.text(path_in(self.home, "setup.py")))
        return set(_names(re.findall(r"['\"]([^'\"]+)", found[1]))) if found else set()

    def _requirement_lines(self, file: str, seen: set[str]) -> Iterator[str]:
        if file in seen:
            return
        seen.add(file)
        for line in self.repository.text(file).splitlines():
            included = re.match(r"\s*(?:-r|--requirement)[ =]*(\S+)", line)
            if included:
                yield from self._requirement_lines(path_in(file.rpartition("/")[0], included[1]), seen)
            elif not line.lstrip().startswith(("#", "-")):
                yield line

    @property
    def uses_pipenv(self) -> bool:
        """Whether pipenv installs its packages. Those for development it leaves out."""
        return any("pipenv" in installation.command for installation in self.installations())

    def development_installation(self) -> str:
        """Return the command that installs the packages of its tests, "" if nothing lists them."""
        if self.uses_pipenv and self.development:
            return f"{self.installations()[0].command} --dev"
        file = self.repository.has(*(path_in(self.home, name) for name in DEVELOPMENT_FILES))
        return f"pip install -r {relative_to(file, self.folder)}" if file else ""

    def development_packages(self) -> frozenset[str]:
        """Return the packages that this command installs."""
        if self.uses_pipenv and self.development:
            return self.development
        file = self.repository.has(*(path_in(self.home, name) for name in DEVELOPMENT_FILES))
        return frozenset(_names(self._requirement_lines(file, set()))) if file else frozenset()


def has_manifest(repository: Repository, folder: str) -> bool:
    """Whether a folder has a file that names packages of Python."""
    names = repository.names(folder)
    return (
        any(name in names for name in ("requirements.txt", "Pipfile", "setup.py", "requirements.in"))
        or bool(repository.has(*(path_in(folder, name) for name in REQUIREMENT_FILES)))
        or ("pyproject.toml" in names and _names_packages(repository.toml(path_in(folder, "pyproject.toml"))))
    )


def _names_packages(pyproject: dict[str, Any]) -> bool:
    return bool(
        pyproject.get("project", {}).get("dependencies") or _table(pyproject, "tool", "poetry").get("dependencies")
    )


def normalized(name: str) -> str:
    """Return a package's normalized name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _names(texts: Iterator[str] | list[str]) -> Iterator[str]:
    for text in texts:
        if found := _NAME.match(text):
            name = normalized(found[1])
            yield name
            if found[2] and name == "fastapi":
                yield from ("uvicorn", "fastapi-cli")
            if found[2] and name == "litestar" and "standard" in found[2]:
                yield "uvicorn"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _table(value: dict[str, Any], *keys: str) -> dict[str, Any]:
    for key in keys:
        inner = value.get(key)
        value = inner if isinstance(inner, dict) else {}
    return value
