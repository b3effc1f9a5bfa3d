"""Control groups: the kernel keeps the processes of one to limits of memory and CPU (cgroups(7), Linux only).

A group is a folder in each hierarchy whose controllers it needs: one folder with version 2, one for each controller
with version 1. Who makes a group may do so in the nearest folder above its own group where the kernel lets it.
"""

import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from abreast.core.errors import PlatformError
from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import Resources

IS_LINUX = sys.platform.startswith("linux")
MEMORY, CPU = "memory", "cpu"
PERIOD = 100_000
"""The microseconds in which a group may use its share of CPU time."""

_JOIN = 'while [ "$1" != -- ]; do echo 0 > "$1/cgroup.procs" || exit 126; shift; done; shift; exec "$@"'


@dataclass(frozen=True, slots=True)
class Place:
    """A folder in which groups with a controller can be made, and the version of its hierarchy."""

    folder: Path
    version: int


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted hierarchy: the group that is its ``root``, and the controllers of version 1."""

    folder: Path
    root: str
    version: int
    controllers: frozenset[str]


def find_places() -> Mapping[str, Place]:
    """Return where this process can make groups, by controller. Empty on other systems, and where nobody lets it."""
    if not IS_LINUX:
        return {}
    try:
        mounts = list(_mounts(Path("/proc/self/mountinfo").read_text(errors="surrogateescape")))
        groups = Path("/proc/self/cgroup").read_text(errors="surrogateescape")
    except OSError:
        return {}
    return places(mounts, groups)


def places(mounts: Sequence[Mount], groups: str) -> Mapping[str, Place]:
    """Return where a process of these ``groups``, as in /proc/PID/cgroup, can make others, by controller."""
    own = {line.split(":", 2)[1]: line.split(":", 2)[2] for line in groups.splitlines()}
    found: dict[str, Place] = {}
    for controller in (MEMORY, CPU):
        for mount in mounts:
            name = next((names for names in own if controller in names.split(",")), "") if mount.version == 1 else ""
            is_here = controller in mount.controllers if mount.version == 1 else "" in own
            if is_here and controller not in found and (folder := _nearest(mount, own[name], controller)):
                found[controller] = Place(folder, mount.version)
    return found


def _mounts(mountinfo: str) -> Iterator[Mount]:
    """Yield the hierarchies in a mountinfo (proc_pid_mountinfo(5))."""
    for line in mountinfo.splitlines():
        fields, _, rest = line.partition(" - ")
        root, folder = fields.split()[3:5]
        kind, _, options = rest.split(" ", 2)
        if kind == "cgroup2":
            yield Mount(Path(folder), root, 2, frozenset())
        elif kind == "cgroup":
            yield Mount(Path(folder), root, 1, frozenset(options.split(",")))


def _nearest(mount: Mount, group: str, controller: str) -> Path | None:
    """Return the folder of a group, or the nearest above it, in which this process can make groups."""
    below = os.path.relpath(group, mount.root)
    folder = mount.folder if below.startswith("..") else mount.folder / below
    for each in (folder, *folder.parents):
        if each.is_relative_to(mount.folder) and _can_make_groups(each, mount.version, controller):
            return each
    return None


def _can_make_groups(folder: Path, version: int, controller: str) -> bool:
    if not os.access(folder, os.W_OK):
        return False
    if version == 1:
        return True
    try:
        enabled = (folder / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False
    return controller in enabled and os.access(folder / "cgroup.procs", os.W_OK)


def unenforced(found: Mapping[str, Place], limits: Resources) -> list[str]:
    """Return which of the limits the kernel does not keep processes to."""
    needed = {MEMORY: limits.memory, CPU: limits.cpu}
    return [controller for controller, limit in needed.items() if limit and controller not in found]


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """A group of processes. ``folders`` are its folders by controller; both may be the same one."""

    folders: Mapping[str, str]

    @classmethod
    def named(cls, name: str, limits: Resources, found: Mapping[str, Place]) -> "ControlGroup":
        """Return the group of a name that is to keep processes to limits, as far as the kernel does."""
        needed = {MEMORY: limits.memory, CPU: limits.cpu}
        return cls({each: str(found[each].folder / name) for each, limit in needed.items() if limit and each in found})

    def make(self, limits: Resources) -> None:
        """Make the group, unless it is there, and set its limits. Raises PlatformError if the kernel refuses."""
        try:
            for folder in self._paths():
                folder.mkdir(exist_ok=True)
            if limits.memory and MEMORY in self.folders:
                self._limit_memory(Path(self.folders[MEMORY]), limits.memory)
            if limits.cpu and CPU in self.folders:
                self._limit_cpu(Path(self.folders[CPU]), limits.cpu)
        except OSError as error:
            self.remove()
            raise PlatformError(
                f"the kernel refuses the control group {error.filename}: {error.strerror}",
                need="limits that it keeps processes to",
                next="remove `resources` of the service in this environment",
            ) from error

    def _limit_memory(self, folder: Path, memory: int) -> None:
        if _is_version_2(folder):
            (folder / "memory.max").write_text(str(memory))
            _write_if_there(folder / "memory.swap.max", "0")
            _write_if_there(folder / "memory.oom.group", "1")
        else:
            (folder / "memory.limit_in_bytes").write_text(str(memory))
            _write_if_there(folder / "memory.memsw.limit_in_bytes", str(memory))

    def _limit_cpu(self, folder: Path, cpu: float) -> None:
        quota = round(cpu * PERIOD)
        if _is_version_2(folder):
            (folder / "cpu.max").write_text(f"{quota} {PERIOD}")
        else:
            (folder / "cpu.cfs_period_us").write_text(str(PERIOD))
            (folder / "cpu.cfs_quota_us").write_text(str(quota))

    def joined_by(self, argv: Sequence[str]) -> list[str]:
        """Return a command that joins the group before it becomes ``argv``."""
        return ["/bin/sh", "-c", _JOIN, "sh", *map(str, self._paths()), "--", *argv] if self.folders else list(argv)

    def members(self) -> list[int]:
        """Return the processes of the group."""
        found: set[int] = set()
        for folder in self._paths():
            with suppress(OSError):
                found.update(map(int, (folder / "cgroup.procs").read_text().split()))
        return sorted(found)

    def memory_kills(self) -> int:
        """Return how many processes of the group the kernel has killed because it needed more memory than its limit."""
        folder = Path(self.folders.get(MEMORY, os.devnull))
        for file in (folder / "memory.events", folder / "memory.oom_control"):
            with suppress(OSError):
                counters = dict(line.split() for line in file.read_text().splitlines())
                return int(counters.get("oom_kill", 0))
        return 0

    def remove(self) -> bool:
        """Remove the group; return whether it is gone. The kernel keeps one that has processes or just had."""
        return _are_removed(self._paths())

    def _paths(self) -> list[Path]:
        return [Path(folder) for folder in dict.fromkeys(self.folders.values())]


def remove_empty_groups(found: Mapping[str, Place], prefix: str, kept: Collection[str]) -> bool:
    """Remove the groups whose names begin with ``prefix``, but for ``kept`` names; return whether all of them are gone.

    The kernel keeps those that have processes.
    """
    folders = {folder for place in found.values() for folder in place.folder.glob(f"{prefix}*")}
    return _are_removed([folder for folder in folders if folder.name not in kept])


def _are_removed(folders: Sequence[Path]) -> bool:
    left = [folder for folder in folders if not _is_removed(folder)]
    return not left


def _is_removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _is_version_2(folder: Path) -> bool:
    return (folder / "cgroup.controllers").exists()


def _write_if_there(file: Path, text: str) -> None:
    if file.exists():
        file.write_text(text)
