"""One kept instance: started, watched, started again with back-off, ended; and the record of it on disk."""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Any

from abreast.core.errors import PlatformError
from abreast.machine.process import (
    ProcessIdentity,
    is_group_empty,
    owns_any_socket,
    process_environment,
    signal_group,
)
from abreast.platforms.local.supervisor.client import InstanceState
from abreast.platforms.local.supervisor.output_pipe import OutputPipe
from abreast.platforms.local.supervisor.port_allocator import PortAllocator

INITIAL_BACKOFF, MAX_BACKOFF = 0.5, 30.0
"""Seconds before a crashed instance is started again: doubled each time, up to the longest."""

STABLE_AFTER, BACKOFF_RESET_AFTER = 5.0, 60.0
"""Seconds up after which the first restart is at once, and after which the pauses begin anew."""


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """What is written of an instance: all but the values of its secrets."""

    id: str
    command: str | list[str]
    cwd: str
    log: str
    env: Mapping[str, str]
    secrets: list[str]
    port: int | None
    identity: ProcessIdentity | None = None
    restarts: int = 0
    last_exit: str = ""
    stopping: bool = False

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any], port: int | None) -> "ProcessRecord":
        """Return the record of an instance that is yet to start."""
        env = {name: value for name, value in spec["env"].items() if name not in spec["secrets"]}
        return cls(spec["id"], spec["command"], spec["cwd"], spec["log"], env, spec["secrets"], port)

    @classmethod
    def read(cls, file: Path) -> "ProcessRecord":
        """Return a record from disk; raises ValueError, KeyError or TypeError where it is none."""
        wire = json.loads(file.read_text())
        identity = ProcessIdentity(**wire["identity"]) if wire["identity"] else None
        return cls(**{**wire, "identity": identity})

    def write(self, folder: Path) -> None:
        """Write the record whole."""
        temporary = folder / f".{self.id}"
        temporary.write_text(json.dumps(asdict(self)))
        temporary.replace(folder / f"{self.id}.json")


class ManagedProcess:
    """An instance under this keeper; ``forget`` is called with its id when it is gone for good."""

    def __init__(
        self,
        record: ProcessRecord,
        env: Mapping[str, str] | None,
        records_folder: Path,
        ports: PortAllocator,
        on_removed: Callable[[str], None],
    ) -> None:
        self._record, self._records_folder, self._ports, self._on_removed = record, records_folder, ports, on_removed
        self._env = dict(env) if env is not None else None
        self._output: OutputPipe | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._pidfd: int | None = None
        self._started_at = time.monotonic()
        self._crashes = 0
        self._restart_timer: asyncio.TimerHandle | None = None
        self._stop_task: asyncio.Task[None] | None = None

    @classmethod
    def adopt(
        cls, record: ProcessRecord, records_folder: Path, ports: PortAllocator, on_removed: Callable[[str], None]
    ) -> "ManagedProcess":
        """Go on with an instance of an earlier keeper; its secrets are read from the process itself."""
        alive = record.identity is not None and record.identity.is_alive
        env: Mapping[str, str] | None = None
        if alive and record.identity:
            env = process_environment(record.identity.pid)
        elif not record.secrets:
            env = record.env
        process = cls(record, env, records_folder, ports, on_removed)
        if record.port:
            ports.reserve(record.port)
        if alive:
            process._open_output()
            process._watch()
        elif env is not None and not record.stopping:
            process._schedule_restart("ended while nobody watched")
        if record.stopping:
            process.stop(0.0)
        return process

    @property
    def state(self) -> InstanceState:
        """How the instance stands."""
        if self._stop_task:
            return InstanceState.STOPPING
        if self._pidfd is not None:
            return InstanceState.RUNNING
        return InstanceState.LOST if self._env is None else InstanceState.BACKING_OFF

    def to_wire(self, by_group: Mapping[int, list[int]], by_port: Mapping[int, set[str]]) -> dict[str, Any]:
        """Return what the client is told; the arguments are one look at the whole machine."""
        record = self._record
        pid = record.identity.pid if record.identity else 0
        inodes = by_port.get(record.port or 0, set())
        return {
            "id": record.id,
            "state": self.state.value,
            "pid": pid,
            "port": record.port,
            "restarts": record.restarts,
            "last_exit": record.last_exit,
            "listening": bool(inodes) and owns_any_socket(by_group.get(pid, []), inodes),
        }

    def ensure(self, env: Mapping[str, str]) -> None:
        """Start it unless it runs or is about to; raises PlatformError when the program cannot be started."""
        if self.state is InstanceState.LOST or self._record.identity is None:
            self._env = dict(env)
            self._start()

    def stop(self, grace: float) -> None:
        """Begin to end it and its whole group; a second call changes nothing."""
        if self._stop_task is None:
            self._stop_task = asyncio.ensure_future(self._terminate(grace))

    def detach(self) -> None:
        """Stop watching and leave all as it is, for the next keeper."""
        if self._output:
            self._output.detach()

    def _start(self) -> None:
        self._open_output()
        assert self._env is not None
        assert self._output is not None
        out = self._output.open_for_child()
        command = self._record.command
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else command
        port = {"PORT": str(self._record.port)} if self._record.port else {}
        try:
            self._child = subprocess.Popen(
                argv, cwd=self._record.cwd, env={**self._env, **port},
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            self._clean_up()
            raise PlatformError(
                f"{argv[0]} cannot be started: {error.strerror}",
                need="the program installed, and its folder there",
            ) from error
        finally:
            os.close(out)
        self._started_at = time.monotonic()
        self._update_record(identity=ProcessIdentity.from_pid(self._child.pid))
        self._watch()

    def _watch(self) -> None:
        identity = self._record.identity
        assert identity is not None
        try:
            self._pidfd = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            self._on_exit()
            return
        asyncio.get_running_loop().add_reader(self._pidfd, self._on_exit)

    def _on_exit(self) -> None:
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        code = self._child.wait() if self._child else None
        self._child = None
        if self._stop_task is None:
            self._schedule_restart(_exit_text(code))

    def _schedule_restart(self, last_exit: str) -> None:
        """Start it again: at once after it ran steadily, later the more often it crashed."""
        up = time.monotonic() - self._started_at
        self._crashes = 1 if up >= BACKOFF_RESET_AFTER else self._crashes + 1
        at_once = self._crashes == 1 and up >= STABLE_AFTER
        pause = 0.0 if at_once else min(INITIAL_BACKOFF * 2 ** (self._crashes - 1), MAX_BACKOFF)
        self._update_record(restarts=self._record.restarts + 1, last_exit=last_exit)
        self._restart_timer = asyncio.get_running_loop().call_later(pause, self._restart)

    def _restart(self) -> None:
        if self._record.identity:
            signal_group(self._record.identity.pid, SIGKILL)
        try:
            self._start()
        except PlatformError as error:
            self._schedule_restart(error.what)

    async def _terminate(self, grace: float) -> None:
        if self._restart_timer:
            self._restart_timer.cancel()
        self._update_record(stopping=True)
        identity = self._record.identity
        if identity and (identity.is_alive or self._child):
            await _terminate_group(identity.pid, grace)
        self._clean_up()

    def _clean_up(self) -> None:
        if self._pidfd is not None:
            self._on_exit()
        if self._output:
            self._output.close()
        if self._record.port:
            self._ports.release(self._record.port)
        (self._records_folder / f"{self._record.id}.json").unlink(missing_ok=True)
        self._on_removed(self._record.id)

    def _open_output(self) -> None:
        if self._output is None:
            secrets = [(self._env or {}).get(name, "") for name in self._record.secrets]
            fifo = self._records_folder / f"{self._record.id}.out"
            self._output = OutputPipe(fifo, Path(self._record.log), secrets)

    def _update_record(self, **changes: Any) -> None:  # noqa: ANN401 (fields of Record)
        self._record = replace(self._record, **changes)
        # Without the record an orphan could be left behind one day; that must not end what runs today.
        with suppress(OSError):
            self._record.write(self._records_folder)


async def _terminate_group(group: int, grace: float) -> None:
    """SIGTERM, then SIGKILL, until no process of the group runs."""
    deadline = asyncio.get_running_loop().time() + grace
    signal_group(group, SIGTERM)
    while not is_group_empty(group):
        if asyncio.get_running_loop().time() >= deadline:
            signal_group(group, SIGKILL)
        await asyncio.sleep(0.02)


def _exit_text(code: int | None) -> str:
    if code is None:
        return "ended"
    return f"exit code {code}" if code >= 0 else f"signal {-code} ({Signals(-code).name})"
