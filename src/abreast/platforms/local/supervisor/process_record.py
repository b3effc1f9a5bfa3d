"""What a supervisor records of each instance, so that its successor takes it over."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, field
from pathlib import Path
from signal import SIGKILL
from typing import Any

from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import Resources
from abreast.machine.control_groups import ControlGroup
from abreast.machine.process import ProcessIdentity, group_members, process_environment, started_with
from abreast.platforms.local.supervisor.client import HOME_MARK, INSTANCE_MARK, Liveness


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """An instance's record on disk. It holds everything but the values of secrets."""

    id: str
    command: str | list[str]
    cwd: str
    log: str
    env: Mapping[str, str]
    secrets: list[str]
    port: int | None
    liveness: Liveness | None = None
    identity: ProcessIdentity | None = None
    restarts: int = 0
    last_exit: str = ""
    stopping: bool = False
    keeps_port: bool = False
    """Whether it listens on this port after each start, whatever ``$PORT`` says."""
    resources: Resources = Resources()
    group: Mapping[str, str] = field(default_factory=dict)
    """The folders of its control group, by controller."""
    memory_kills: int = 0
    """How many processes of the group had been killed for their memory when it last started."""
    stop_signal: str = "SIGTERM"

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any], port: int | None, group: ControlGroup) -> "ProcessRecord":
        """Return the record of a new instance, whose processes are to be in a control group."""
        env = {name: value for name, value in spec["env"].items() if name not in spec["secrets"]}
        liveness = Liveness(**spec["liveness"]) if spec["liveness"] else None
        return cls(
            spec["id"], spec["command"], spec["cwd"], spec["log"], env, spec["secrets"], port, liveness,
            keeps_port=bool(spec["app_port"]), resources=Resources(**spec["resources"]), group=group.folders,
            stop_signal=spec["stop_signal"],
        )  # fmt: skip

    @classmethod
    def read(cls, file: Path) -> "ProcessRecord":
        """Read a record. Raises ValueError, KeyError or TypeError if the file is invalid."""
        wire = json.loads(file.read_text())
        identity = ProcessIdentity(**wire["identity"]) if wire["identity"] else None
        liveness = Liveness(**wire["liveness"]) if wire.get("liveness") else None
        resources = Resources(**wire.get("resources", {}))
        return cls(**{**wire, "identity": identity, "liveness": liveness, "resources": resources})

    @property
    def is_alive(self) -> bool:
        """Whether the recorded process runs."""
        return self.identity is not None and self.identity.is_alive

    @property
    def mark(self) -> dict[str, str]:
        """The variable by which an instance's processes are known when their leader is gone."""
        return {INSTANCE_MARK: self.id}

    def running_environment(self) -> Mapping[str, str] | None:
        """Return the instance's environment; None if it has secrets and none of its running processes tells them.

        macOS hides the environment of its own programs, such as the shell, but not of what the shell runs.
        """
        if self.identity and self.identity.is_alive:
            for pid in (self.identity.pid, *group_members(self.identity, self.mark)):
                env = process_environment(pid)
                if self.mark.items() <= env.items():
                    return env
        return None if self.secrets else self.env

    def write(self, folder: Path) -> None:
        """Write the record atomically."""
        temporary = folder / f".{self.id}"
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(folder / f"{self.id}.json")


def home_mark(records_folder: Path) -> dict[str, str]:
    """Return the variable that tells the instances of one supervisor from those of others on this machine."""
    return {HOME_MARK: str(records_folder.resolve().parent)}


def end_unrecorded(records_folder: Path, records: Sequence[ProcessRecord]) -> None:
    """End what an earlier supervisor of this folder started and did not record, since it was killed in between.

    Such an instance is started again, and two of one would be left behind for good.
    """
    alive = {record.id for record in records if record.is_alive}
    for pid, (home, name) in started_with((HOME_MARK, INSTANCE_MARK)):
        if home == home_mark(records_folder)[HOME_MARK] and name not in alive:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, SIGKILL)
