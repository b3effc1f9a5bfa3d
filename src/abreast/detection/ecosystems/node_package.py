"""A package.json with the package manager, the workspace and the versions that belong to it."""

import re
from dataclasses import dataclass
from typing import Any

from abreast.core.changes.watch_patterns import match_files
from abreast.detection.ecosystems.node_locks import missing_package, missing_peer
from abreast.detection.ecosystems.node_peers import refused_peer
from abreast.detection.repository import Repository, is_inside, parents, path_in, relative_to

LOCK_FILES = {
    "package-lock.json": "npm",
    "npm-shrinkwrap.json": "npm",
    "pnpm-lock.yaml": "pnpm",
    "yarn.lock": "yarn",
    "bun.lock": "bun",
    "bun.lockb": "bun",
}
_FROZEN = {
    "npm": "npm ci",
    "pnpm": "pnpm install --frozen-lockfile",
    "yarn": "yarn install --frozen-lockfile",
    "bun": "bun install --frozen-lockfile",
}
_NOT_FROZEN = {
    "npm": "npm install",
    "pnpm": "pnpm install --no-frozen-lockfile",
    "yarn": "yarn install",
    "bun": "bun install",
}
_SCRIPT_CALL = re.compile(r"\b(?:npm run|(?:yarn|pnpm|bun)(?: run)?) ([\w:.-]+)(?=\s*($|&&|;))")
_MAX_CALLS = 3
"""How deep scripts call each other."""

_LONG_TERM = {"gallium": "16", "hydrogen": "18", "iron": "20", "jod": "22", "krypton": "24"}
"""Releases of Node by the names that ``lts/…`` uses."""

_RUNNERS = {"npm": "npx", "pnpm": "pnpm exec", "yarn": "yarn run", "bun": "bunx"}


@dataclass(frozen=True, slots=True)
class Installation:
    """A command that installs dependencies, and what says so."""

    command: str
    source: str


class NodePackage:
    """A package.json and its surroundings in the repository."""

    def __init__(self, repository: Repository, folder: str) -> None:
        self.repository = repository
        self.folder = folder
        self.file = path_in(folder, "package.json")
        self.manifest = repository.json(self.file)
        self.scripts = _texts(self.manifest.get("scripts"))
        kinds = ("dependencies", "devDependencies", "optionalDependencies")
        self.dependencies = {
            name: version for kind in kinds for name, version in _texts(self.manifest.get(kind)).items()
        }
        self.members = workspace_members(repository, folder)
        self.name = str(self.manifest.get("name") or folder.rpartition("/")[2])
        self.workspace = next((above for above in parents(folder) if self._is_workspace_of(above)), folder)

    def _is_workspace_of(self, above: str) -> bool:
        if above == self.folder:
            return bool(self.members) and above == ""
        members = workspace_members(self.repository, above)
        return bool(members and match_files(members, [relative_to(self.folder, above)]))

    @property
    def tools(self) -> set[str]:
        """Return the packages that it depends on, and those of its workspace that its scripts name."""
        script = " ".join(self.scripts.values())
        shared = NodePackage(self.repository, self.workspace).dependencies if self.is_member else {}
        return set(self.dependencies) | {
            name for name in shared if re.search(rf"(^|\s){re.escape(name)}(\s|$)", script)
        }

    @property
    def is_member(self) -> bool:
        """Whether it is a package of a workspace above it."""
        return self.workspace != self.folder

    @property
    def manager(self) -> str:
        """Return its package manager: of ``packageManager``, or else of its lock file, or else of the repository's."""
        return self._pinned_manager() or next(iter(self._locks()), "") or self._neighbours_manager() or "npm"

    def _pinned_manager(self) -> str:
        for folder in dict.fromkeys((self.folder, self.workspace)):
            named = self.repository.json(path_in(folder, "package.json")).get("packageManager")
            if isinstance(named, str) and named.partition("@")[0] in _FROZEN:
                return named.partition("@")[0]
        return ""

    def _neighbours_manager(self) -> str:
        for folder in parents(self.folder):
            for lock, manager in LOCK_FILES.items():
                if self.repository.has(path_in(folder, lock)):
                    return manager
        return ""

    def _locks(self) -> dict[str, str]:
        """Return the lock files of this package, by manager."""
        found: dict[str, str] = {}
        for folder in dict.fromkeys((self.folder, self.workspace)):
            for lock, manager in LOCK_FILES.items():
                if path := self.repository.has(path_in(folder, lock)):
                    found.setdefault(manager, path)
        return found

    def installations(self) -> list[Installation]:
        """Return the ways to install its dependencies, the best one first; several if lock files disagree."""
        locks, pinned = self._locks(), self._pinned_manager()
        if pinned and pinned in locks:
            locks = {pinned: locks[pinned]}
        if not locks:
            source = f"{self.file}: there is no lock file"
            refused = refused_peer(self.dependencies) if self.manager == "npm" else ""
            option, why = (" --legacy-peer-deps", f"; {refused}") if refused else ("", "")
            return [Installation(f"{self.manager} install{self._with_root(self.manager)}{option}", source + why)]
        missing = {manager: self._missing(manager, lock) for manager, lock in locks.items()}
        complete_first = sorted(locks, key=lambda manager: missing[manager] != "")
        return [self._installation(manager, locks[manager], missing[manager] or "") for manager in complete_first]

    def _missing(self, manager: str, lock: str) -> str | None:
        """Return a package that a lock file lacks, "" if it has all, None if that cannot be told."""
        home = lock.rpartition("/")[0]
        packages = workspace_packages(self.repository, home)
        manifests = {relative_to(package.folder, home): package.manifest for package in packages}
        manifest = self.repository.json(path_in(home, "package.json"))
        return missing_package(manager, self.repository.generated_text(lock), {"": manifest, **manifests})

    def _installation(self, manager: str, lock: str, missing: str) -> Installation:
        command, source = f"{self._frozen(manager)}{self._with_root(manager)}", lock
        if missing:
            command, source = f"{_NOT_FROZEN[manager]}{self._with_root(manager)}", f"{lock}: lacks {missing}"
        if manager == "npm" and (peer := missing_peer(self.repository.generated_text(lock))):
            return Installation(f"{command} --legacy-peer-deps", f"{lock}: has no {peer}, a peer dependency")
        return Installation(command, source)

    def _with_root(self, manager: str) -> str:
        """Return the option that installs the whole workspace, as other managers do: npm takes a member by itself.

        What the member shares with others is missing then, and the root's ``prepare`` runs all the same.
        https://docs.npmjs.com/cli/using-npm/workspaces
        """
        is_part = manager == "npm" and self.is_member
        return f" --prefix {relative_to(self.workspace, self.folder)}" if is_part else ""

    def _frozen(self, manager: str) -> str:
        named = str(self.repository.json(path_in(self.workspace, "package.json")).get("packageManager", ""))
        berry = manager == "yarn" and (
            re.match(r"yarn@[2-9]", named) or self.repository.has(path_in(self.workspace, ".yarnrc.yml"))
        )
        return "yarn install --immutable" if berry else _FROZEN[manager]

    def expanded_script(self, name: str) -> str:
        """Return the text of a script, with the text of the scripts that it calls in their place. "" without one."""
        script = self.scripts.get(name, "")
        for _ in range(_MAX_CALLS):
            script = _SCRIPT_CALL.sub(lambda found: self.scripts.get(found[1], found[0]), script)
        return script

    def run_script(self, name: str) -> str:
        """Return the command that runs one of its scripts."""
        return f"{self.manager} run {name}"

    def execute(self, command: str) -> str:
        """Return the command that runs a program of its dependencies."""
        return f"{_RUNNERS[self.manager]} {command}"

    def run_in_workspace(self, command: str) -> str:
        """Return the command that runs a program of its dependencies in the root of its workspace."""
        return f"(cd {relative_to(self.workspace, self.folder)} && {self.execute(command)})"

    def builds_before(self) -> list[str]:
        """Return the folders of the workspace's packages that are built before it, each after those that it needs."""
        packages = {package.name: package for package in workspace_packages(self.repository, self.workspace)}
        ordered: dict[str, NodePackage] = {}

        def visit(package: NodePackage, above: frozenset[str]) -> None:
            for name in sorted(package.dependencies.keys() & packages.keys() - above - ordered.keys()):
                visit(packages[name], above | {name})
                ordered[name] = packages[name]

        visit(self, frozenset({self.name}))
        return [package.folder for package in ordered.values() if "build" in package.scripts]

    def oldest_node(self) -> tuple[str, str]:
        """Return the oldest Node that it runs with, and what says so; ("", "") if nothing does.

        A range in ``engines`` counts more than the version that its developers use.
        """
        for folder in parents(self.folder):
            engines = self.repository.json(path_in(folder, "package.json")).get("engines")
            if isinstance(engines, dict) and isinstance(engines.get("node"), str):
                return _lowest(engines["node"]), f"{path_in(folder, 'package.json')}: engines"
        version, source = self.node_version()
        return _major(version), source

    def node_version(self) -> tuple[str, str]:
        """Return the version of Node that it asks for, and where; ("", "") if it does not."""
        for folder in parents(self.folder):
            for name in (".nvmrc", ".node-version"):
                lines = self.repository.text(path_in(folder, name)).splitlines()
                if text := next((line.strip() for line in lines if line.strip() and not line.startswith("#")), ""):
                    return text.removeprefix("v"), path_in(folder, name)
            if found := re.search(
                r"^(?:nodejs|node)\s+(\S+)", self.repository.text(path_in(folder, ".tool-versions")), re.MULTILINE
            ):
                return found[1], path_in(folder, ".tool-versions")
            engines = self.repository.json(path_in(folder, "package.json")).get("engines")
            if isinstance(engines, dict) and isinstance(engines.get("node"), str):
                return engines["node"], f"{path_in(folder, 'package.json')}: engines"
        return "", ""


def _lowest(versions: str) -> str:
    """Return the lowest version in a range of npm, "" if it has no lower end."""
    lowest = []
    for alternative in versions.split("||"):
        found = re.match(r"\s*(?:>=?|\^|~|=|v)*\s*(\d+(?:\.\d+){0,2})", alternative)
        if found is None:
            return ""
        lowest.append(re.sub(r"(\.0)+$", "", found[1]))
    lowest.sort(key=lambda version: [int(number) for number in version.split(".")])
    return lowest[0] if lowest[0] != "0" else ""


def _major(version: str) -> str:
    """Return the major version of a line of ``.nvmrc``, "" if it names none, as ``node`` does not."""
    found = re.match(r"v?(\d+)", version)
    return found[1] if found else _LONG_TERM.get(version.removeprefix("lts/").lower(), "")


def workspace_members(repository: Repository, folder: str) -> tuple[str, ...]:
    """Return the patterns of a workspace's member folders, () if the folder is no workspace. It may name itself."""
    members: Any = repository.yaml(path_in(folder, "pnpm-workspace.yaml")).get("packages")
    if not members:
        members = repository.json(path_in(folder, "package.json")).get("workspaces")
        members = members.get("packages") if isinstance(members, dict) else members
    named = (str(member).removeprefix("./").rstrip("/") for member in members) if isinstance(members, list) else ()
    return tuple(member for member in named if member not in ("", "."))


def workspace_packages(repository: Repository, folder: str) -> list[NodePackage]:
    """Return the packages of the workspace in a folder."""
    members = workspace_members(repository, folder)
    folders = [
        place for place in repository.folders
        if place and is_inside(place, folder) and "package.json" in repository.names(place)
    ]  # fmt: skip
    matched = match_files(members, [relative_to(place, folder) for place in folders]) if members else ()
    return [NodePackage(repository, path_in(folder, place)) for place, _ in matched]


def _texts(value: object) -> dict[str, str]:
    return {str(key): text for key, text in value.items() if isinstance(text, str)} if isinstance(value, dict) else {}
