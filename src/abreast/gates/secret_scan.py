"""The scan for secrets: every content that goes out, whatever its file is called.

kingfisher goes by names: it passes over lock files, images and fonts, and takes an assignment in HTML for none. So each
file is scanned twice: under its own name, which some rules ask for, and under a number.
"""

import asyncio
import os
import re
import shutil
import zipfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from filecmp import cmp
from pathlib import Path
from typing import Protocol

from abreast.core.changes.watch_patterns import match_files
from abreast.core.errors import UsageError
from abreast.core.gates import Finding, Gate
from abreast.core.reports import scan_results
from abreast.gates.interface import GateContext
from abreast.gates.scan_tool import ScanTool, run_tool
from abreast.gates.scanner_cache import RULE_CACHE, copy_rules, keep_rules

KINGFISHER = ScanTool(
    "kingfisher",
    "scan --no-validate --no-update-check --no-dedup --no-ignore --redact --quiet --extraction-depth 8 "
    '--format json --output "$REPORT" --',
    frozenset({0, 200}),
    scan_results.kingfisher,
)
MAX_FILE_SIZE = 256 << 20
"""Bytes; kingfisher passes over larger files."""

INSTALLED_PACKAGES = (
    "**/{node_modules,bower_components,site-packages}/**",
    "**/vendor/{bundle,ruby,github.com,golang.org,google.golang.org,gopkg.in,k8s.io,sigs.k8s.io,istio.io}/**",
)
"""Published packages of others, with their examples and test keys."""

_SUFFIXES = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\0": ".xz"}
"""Suffixes without which kingfisher does not decompress a file, by how the file begins."""
_CLOSED = (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"\x5d\x00\x00")
"""How files of compressed formats begin that kingfisher cannot open: 7-Zip, RAR, Zstandard, LZ4, LZMA."""
_ZIP = b"PK\x03\x04"
MAX_NAMED = 3


@dataclass(frozen=True, slots=True)
class UnscannedFile:
    """A file that kingfisher cannot look into."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class SecretScan:
    """The findings, what kingfisher could not look into, and why the scan is not complete."""

    findings: tuple[Finding, ...] = ()
    unscanned: tuple[UnscannedFile, ...] = ()
    unknown: tuple[str, ...] = ()

    def __add__(self, other: "SecretScan") -> "SecretScan":
        return SecretScan(
            self.findings + other.findings, self.unscanned + other.unscanned, self.unknown + other.unknown
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What to say of the files that kingfisher could not look into."""
        if not self.unscanned:
            return ()
        names = [file.name for file in self.unscanned[:MAX_NAMED]]
        count = f"{len(self.unscanned)} file{'s' * (len(self.unscanned) > 1)}"
        size = sum(file.size for file in self.unscanned) / 1e6
        more = ["…"] * (len(self.unscanned) > MAX_NAMED)
        return (f"not looked into: {count} ({size:.1f} MB): {', '.join([*names, *more])}",)


class _Tree(Protocol):
    """A folder of files to scan."""

    @property
    def root(self) -> Path:
        """The folder."""
        ...

    def name(self, path: str) -> str:
        """Return what a file is called, by its path below ``root``."""
        ...

    def origin(self, path: str) -> str:
        """Return where a file comes from."""
        ...


@dataclass(frozen=True, slots=True)
class _OutgoingTree:
    """Files that commits add, as COMMIT/FILE. ``workdir`` holds the files of the commit to deploy."""

    root: Path
    workdir: Path

    def name(self, path: str) -> str:
        return path.partition("/")[2]

    def origin(self, path: str) -> str:
        commit = path[:7]
        return f"commit {commit}" if self._is_there(path) else f"commit {commit}, no longer in the files: revoke it"

    def _is_there(self, path: str) -> bool:
        outer = next((part for part in (path, *_outer_paths(path)) if (self.root / part).is_file()), None)
        now = self.workdir / self.name(outer or path)
        return outer is not None and now.is_file() and cmp(self.root / outer, now, shallow=False)


@dataclass(frozen=True, slots=True)
class _ArtifactTree:
    """What was built for a service."""

    root: Path
    service: str

    def name(self, path: str) -> str:
        return path

    def origin(self, path: str) -> str:  # noqa: ARG002 (as of an outgoing tree)
        return f"built for {self.service}"


def _outer_paths(path: str) -> Iterator[str]:
    """Yield what may be the archive that holds ``path``: parts before ``!`` or ``/``, longest first."""
    return (path[: found.start()] for found in reversed(list(re.finditer(r"[!/]", path))))


async def scan_secrets(gate: Gate, context: GateContext) -> SecretScan:
    """Scan the commits, including content that a later one removes, and the artifacts."""
    rules = context.scratch_dir / "rules"
    await asyncio.to_thread(copy_rules, rules)
    scan = await _scan_commits(context.export_outgoing(context.scratch_dir / "outgoing"), rules, gate, context)
    if not scan.unknown:
        before = await _scan_commits(context.export_baseline(context.scratch_dir / "baseline"), rules, gate, context)
        scan += replace(before, findings=tuple(replace(finding, baseline=True) for finding in before.findings))
    if scan.unknown:
        return scan
    for service, folder in (await context.await_artifacts() if gate.include_artifacts else {}).items():
        scan += await _scan_tree(_ArtifactTree(folder, service), rules, gate, context)
    await asyncio.to_thread(keep_rules, rules)
    return scan


async def _scan_commits(portions: AsyncIterator[Path], rules: Path, gate: Gate, context: GateContext) -> SecretScan:
    scan = SecretScan()
    try:
        async for portion in portions:
            scan += await _scan_tree(_OutgoingTree(portion, context.workdir), rules, gate, context)
            if scan.unknown:
                break
    except UsageError as error:
        return scan + SecretScan(unknown=(f"{error.what}; next: {error.next}",))
    except OSError as error:
        return scan + SecretScan(unknown=(str(error),))
    return scan


async def _scan_tree(tree: _Tree, rules: Path, gate: Gate, context: GateContext) -> SecretScan:
    """Scan a folder's files under their names and under numbers."""
    numbered = context.scratch_dir / "numbered"
    paths = await asyncio.to_thread(_link_by_number, tree.root, numbered)
    unscanned = tuple(dict.fromkeys(await asyncio.to_thread(lambda: list(_unscanned_files(tree, paths)))))
    report = await run_tool(KINGFISHER, [str(tree.root), str(numbered)], gate, context, {RULE_CACHE: str(rules)})
    await asyncio.to_thread(shutil.rmtree, numbered)
    if isinstance(report, str):
        return SecretScan(unscanned=unscanned, unknown=(report,))
    found = ((_path_below(tree.root, numbered, finding.file, paths), finding) for finding in report)
    located = (
        replace(finding, file=tree.name(path), message=f"{finding.message} ({tree.origin(path)})")
        for path, finding in found
        if not match_files(INSTALLED_PACKAGES, [path])
    )
    return SecretScan(tuple(dict.fromkeys(located)), unscanned)


def _link_by_number(root: Path, into: Path) -> list[str]:
    """Link each file of ``root`` to its number in ``into``. Return the paths by number."""
    into.mkdir()
    paths = sorted(_own_files(root))
    for number, path in enumerate(paths):
        _link_or_copy(root / path, into / f"{number}{_suffix(root / path)}")
    return paths


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:  # on another file system, or of somebody else
        shutil.copyfile(source, target)


def _own_files(root: Path) -> Iterator[str]:
    files = [
        os.path.relpath(os.path.join(base, name), root)  # noqa: PTH118 (many)
        for base, _, names in os.walk(root)
        for name in names
        if not os.path.islink(os.path.join(base, name))  # noqa: PTH114, PTH118
    ]
    packages = {file for file, _ in match_files(INSTALLED_PACKAGES, files)}
    return (file for file in files if file not in packages)


def _suffix(file: Path) -> str:
    beginning = _beginning(file)
    return next((suffix for magic, suffix in _SUFFIXES.items() if beginning.startswith(magic)), "")


def _beginning(file: Path) -> bytes:
    with file.open("rb") as content:
        return content.read(8)


def _unscanned_files(tree: _Tree, paths: Iterable[str]) -> Iterator[UnscannedFile]:
    for path in paths:
        file = tree.root / path
        size = file.stat().st_size
        if size > MAX_FILE_SIZE or _is_closed(file):
            yield UnscannedFile(tree.name(path), size)


def _is_closed(file: Path) -> bool:
    """Return whether a file is compressed in a way that kingfisher cannot undo, encrypted, or damaged."""
    beginning = _beginning(file)
    if not beginning.startswith(_ZIP):
        return beginning.startswith(_CLOSED)
    try:
        with zipfile.ZipFile(file) as archive:
            return any(entry.flag_bits & 1 for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return True


def _path_below(root: Path, numbered: Path, file: str, paths: Sequence[str]) -> str:
    """Return a finding's path below ``root``, also if it is in ``numbered``. What is in an archive follows its path."""
    if not Path(file).is_relative_to(numbered):
        return Path(file).relative_to(root).as_posix()
    found = re.match(r"(\d+)(?:\.gz|\.bz2|\.xz)?(.*)", Path(file).relative_to(numbered).as_posix(), re.DOTALL)
    assert found
    return paths[int(found[1])] + found[2]
