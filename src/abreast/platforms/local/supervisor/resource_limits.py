"""Keeps instances to their resources, by control groups of their own."""

import asyncio
import hashlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL

from abreast.core.errors import PlatformError
from abreast.core.model import Resources, size_text
from abreast.machine.control_groups import ControlGroup, find_places, remove_empty_groups, unenforced
from abreast.machine.process import process_environment
from abreast.platforms.local.supervisor.process_record import ProcessRecord

REMOVAL_TIMEOUT = 5.0
"""Seconds for which a group may be busy whose processes have been killed."""


class InstanceGroups:
    """The control groups of the instances of one supervisor. Their names tell its ``home``."""

    def __init__(self, home: Path) -> None:
        found = home.stat()
        identity = f"{found.st_dev} {found.st_ino} {home.resolve()}"
        self._prefix = f"abreast-{hashlib.sha256(identity.encode()).hexdigest()[:16]}-"

    def group_for(self, instance: str, resources: Resources) -> ControlGroup:
        """Return the group of an instance, which is not made yet. Raises PlatformError if it would keep to less."""
        places = find_places() if resources else {}
        if missing := unenforced(places, resources):
            raise PlatformError(
                f"the supervisor may make no control group for the {' and '.join(missing)} of {instance}",
                need="a supervisor that was started where it may",
                next="abreast down, then abreast deploy",
            )
        return ControlGroup.named(f"{self._prefix}{instance}", resources, places)

    async def sweep(self, instances: Callable[[], Collection[str]]) -> None:
        """Remove the groups that a killed supervisor left, as soon as their processes have ended."""
        deadline = asyncio.get_running_loop().time() + REMOVAL_TIMEOUT
        while asyncio.get_running_loop().time() < deadline:
            if remove_empty_groups(find_places(), self._prefix, {f"{self._prefix}{name}" for name in instances()}):
                return
            await asyncio.sleep(0.1)


class ResourceLimits:
    """The limits of one instance."""

    def __init__(self, record: ProcessRecord) -> None:
        self._group = ControlGroup(record.group)
        self._resources = record.resources
        self._kills = record.memory_kills

    def prepare(self) -> int:
        """Make the group before a start. Returns how many of its processes have been killed so far."""
        self._group.make(self._resources)
        self._kills = self._group.memory_kills()
        return self._kills

    def joined_by(self, argv: Sequence[str]) -> list[str]:
        """Return a command that joins the group before it becomes ``argv``."""
        return self._group.joined_by(argv)

    def exceeded(self) -> str:
        """Return that the kernel killed a process for its memory since the last start, "" if it did not."""
        if self._resources.memory is None or self._group.memory_kills() <= self._kills:
            return ""
        return f"out of memory: it needed more than its {size_text(self._resources.memory)}"

    async def remove(self, marks: Mapping[str, str]) -> None:
        """Remove the group when its instance has ended, after what is left of its processes: those with our marks."""
        deadline = asyncio.get_running_loop().time() + REMOVAL_TIMEOUT
        while not self._group.remove() and asyncio.get_running_loop().time() < deadline:
            for pid in self._group.members():
                if marks.items() <= process_environment(pid).items():
                    with suppress(ProcessLookupError, PermissionError):
                        os.kill(pid, SIGKILL)
            await asyncio.sleep(0.02)
