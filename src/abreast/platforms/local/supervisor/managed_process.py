"""One instance: start, watch, restart with back-off, stop."""

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Any, Protocol

from abreast.core.errors import PlatformError
from abreast.machine.exit_watch import ExitWatch, watch_exit
from abreast.machine.process import (
    ProcessIdentity,
    group_members,
    signal_group,
)
from abreast.platforms.local.supervisor.client import InstanceState
from abreast.platforms.local.supervisor.endless_input import open_endless_input
from abreast.platforms.local.supervisor.listening_proof import ListeningProof, SocketScan
from abreast.platforms.local.supervisor.liveness import LivenessWatch
from abreast.platforms.local.supervisor.output_pipe import OutputPipe
from abreast.platforms.local.supervisor.port_allocator import PortAllocator
from abreast.platforms.local.supervisor.process_record import ProcessRecord, home_mark
from abreast.platforms.local.supervisor.resource_limits import ResourceLimits

INITIAL_BACKOFF, MAX_BACKOFF = 0.5, 30.0
"""Seconds before a crashed instance restarts: doubled with each crash, up to the maximum."""

STARTING = 60.0
"""Seconds after its start in which an instance is expected to listen soon."""

HUNG_GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL of an instance that hangs."""

STABLE_AFTER, BACKOFF_RESET_AFTER = 5.0, 60.0
"""Seconds of uptime after which the first restart is immediate, and after which the back-off resets."""


class ProcessOwner(Protocol):
    """What a process needs from its supervisor."""

    records_folder: Path
    ports: PortAllocator

    def on_removed(self, name: str) -> None:
        """Forget a process that is stopped and removed."""

    def on_endpoint_proven(self) -> None:
        """Have users sent to the endpoints that listen now."""

    def on_endpoint_lost(self, port: int, listening: socket.socket | None) -> None:
        """Keep others off a port until no user is sent to it. ``listening`` is the lost socket, if it was kept."""

    def on_port_left(self, port: int) -> None:
        """Release a port, once no user is sent to it."""

    def on_hung(self, name: str) -> None:
        """Decide whether a process that hangs is ended now. Asked again while it hangs."""


class ManagedProcess:
    """An instance of this supervisor."""

    def __init__(self, record: ProcessRecord, env: Mapping[str, str] | None, owner: ProcessOwner) -> None:
        self._record, self._owner = record, owner
        self._env = dict(env) if env is not None else None
        self._proof = ListeningProof(owner.on_endpoint_proven, self._on_endpoint_lost)
        self._output: OutputPipe | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._exit_watch: ExitWatch | None = None
        self._started_at = time.monotonic()
        self._crashes = 0
        self._restart_timer: asyncio.TimerHandle | None = None
        self._stop_task: asyncio.Task[None] | None = None
        self._hung_task: asyncio.Task[None] | None = None
        self._ended_why = ""
        self._limits = ResourceLimits(record)
        self._liveness: LivenessWatch | None = None

    @classmethod
    def adopt(cls, record: ProcessRecord, owner: ProcessOwner) -> "ManagedProcess":
        """Take over an instance of an earlier supervisor. Its secrets are read from the running process.

        One whose secrets cannot be read is ended.
        """
        env = record.running_environment()
        if record.identity and env is None:
            signal_group(record.identity, record.mark, SIGKILL)  # its output could not be redacted
        alive = record.is_alive and env is not None
        process = cls(record, env, owner)
        if record.port:
            owner.ports.reserve(record.port)
            if not alive:
                process._on_endpoint_lost(None)
        if alive:
            process._open_output()
            process._watch()
        elif env is not None and not record.stopping:
            process._schedule_restart(process._limits.exceeded() or "exited while no supervisor ran")
        if record.stopping:
            process.stop(0.0)
        return process

    @property
    def state(self) -> InstanceState:
        """The current state."""
        if self._stop_task:
            return InstanceState.STOPPING
        if self._exit_watch is not None:
            return InstanceState.RUNNING
        return InstanceState.LOST if self._env is None else InstanceState.BACKING_OFF

    @property
    def group(self) -> int:
        """Its process group; 0 before its first start."""
        return self._record.identity.pid if self._record.identity else 0

    @property
    def endpoint(self) -> int | None:
        """The port on which its own processes are proven to listen; None if they do not."""
        return self._record.port if self._proof.holds else None

    @property
    def is_recovering(self) -> bool:
        """Whether it was ended because it hung, and may still answer again."""
        return self._liveness is not None and self._liveness.is_recovering

    @property
    def awaits_endpoint(self) -> bool:
        """Whether it has started lately and does not listen yet."""
        is_new = time.monotonic() - self._started_at < STARTING
        return is_new and self._record.port is not None and self._exit_watch is not None and not self._proof.holds

    def check_endpoint(self, scan: SocketScan) -> None:
        """Update ``endpoint`` by a look at the machine."""
        if self._exit_watch is not None and self.group and self._record.port:
            self._proof.update(self.group, self._record.port, scan)

    def to_wire(self) -> dict[str, Any]:
        """Return an ``Instance`` as JSON."""
        record = self._record
        return {
            "id": record.id,
            "state": self.state.value,
            "pid": self.group,
            "port": record.port,
            "restarts": record.restarts,
            "last_exit": record.last_exit,
            "listening": self._proof.holds,
        }

    def ensure(self, env: Mapping[str, str]) -> None:
        """Start it unless it runs or will restart. Raises PlatformError if the program cannot be started."""
        if self.state is InstanceState.LOST or self._record.identity is None:
            self._env = dict(env)
            self._start()

    def stop(self, grace: float) -> None:
        """Begin to stop its process group. A second call changes nothing."""
        if self._stop_task is None:
            self._stop_task = asyncio.ensure_future(self._terminate(grace))

    def end_hung(self) -> None:
        """Begin to end its process group because it hangs. It starts again when it has ended."""
        identity, liveness = self._record.identity, self._record.liveness
        if self._ended_why or self._stop_task or identity is None or liveness is None:
            return
        assert self._liveness
        self._liveness.on_ended()
        self._ended_why = f"answered nothing for {liveness.patience:g} s"
        if self._output:
            self._output.note(f"{self._record.id} {self._ended_why}; it is started again")
        self._hung_task = asyncio.ensure_future(_terminate_group(identity, self._record.mark, HUNG_GRACE))

    def detach(self) -> None:
        """Stop watching; leave the process to the next supervisor."""
        if self._output:
            self._output.detach()

    def check_memory(self) -> None:
        """End it, so that it starts again, if the kernel killed one of its processes, and not all, for its memory."""
        identity = self._record.identity
        if self._exit_watch is None or identity is None or self._stop_task or self._ended_why:
            return
        if why := self._limits.exceeded():
            self._ended_why = why
            signal_group(identity, self._record.mark, SIGKILL)

    def _start(self) -> None:
        kills = self._limits.prepare()
        if self._record.identity and self._record.port and not self._record.keeps_port:
            self._move_to_new_port(self._record.port)
        self._open_output()
        assert self._env is not None
        assert self._output is not None
        out, endless = self._output.open_for_child(), open_endless_input(self._owner.records_folder / self._record.id)
        command = self._record.command
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else command
        port = {"PORT": str(self._record.port)} if self._record.port else {}
        try:
            self._child = subprocess.Popen(
                self._limits.joined_by(argv), cwd=self._record.cwd,
                env={**self._env, **port, **self._record.mark, **home_mark(self._owner.records_folder)},
                stdin=endless, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            self._clean_up()
            raise PlatformError(
                f"{argv[0]} cannot be started: {error.strerror}",
                need="the program installed, and its folder there",
            ) from error
        finally:
            os.close(out)
            os.close(endless)
        self._started_at = time.monotonic()
        self._update_record(identity=ProcessIdentity.from_pid(self._child.pid), memory_kills=kills)
        self._watch()

    def _move_to_new_port(self, old: int) -> None:
        """Leave the port of the last start: until it listens again, anybody on this machine could."""
        self._record = replace(self._record, port=self._owner.ports.allocate())
        self._owner.on_port_left(old)

    def _on_endpoint_lost(self, listening: socket.socket | None) -> None:
        assert self._record.port
        if not self._record.keeps_port:
            self._owner.on_endpoint_lost(self._record.port, listening)
            return
        if listening:
            listening.close()
        self._owner.on_endpoint_proven()

    def _watch(self) -> None:
        identity = self._record.identity
        assert identity is not None
        try:
            self._exit_watch = watch_exit(identity, self._on_exit)
        except ProcessLookupError:
            self._on_exit()
        else:
            self._watch_liveness()

    def _watch_liveness(self) -> None:
        if self._liveness:
            self._liveness.on_started()
        elif self._record.liveness:
            on_hung = partial(self._owner.on_hung, self._record.id)
            self._liveness = LivenessWatch(self._record.liveness, lambda: self.endpoint, on_hung)

    def _on_exit(self) -> None:
        if self._exit_watch is not None:
            self._exit_watch.close()
            self._exit_watch = None
        self._proof.drop()
        code = self._child.wait() if self._child else None
        self._child = None
        why, self._ended_why = self._ended_why, ""
        if self._stop_task is None:
            self._schedule_restart(why or self._limits.exceeded() or _exit_text(code))

    def _schedule_restart(self, last_exit: str) -> None:
        """Restart: immediately after a stable run, otherwise with back-off."""
        up = time.monotonic() - self._started_at
        self._crashes = 1 if up >= BACKOFF_RESET_AFTER else self._crashes + 1
        at_once = self._crashes == 1 and up >= STABLE_AFTER
        pause = 0.0 if at_once else min(INITIAL_BACKOFF * 2 ** (self._crashes - 1), MAX_BACKOFF)
        self._update_record(restarts=self._record.restarts + 1, last_exit=last_exit)
        self._restart_timer = asyncio.get_running_loop().call_later(pause, self._restart)

    def _restart(self) -> None:
        if self._record.identity:
            signal_group(self._record.identity, self._record.mark, SIGKILL)
        try:
            self._start()
        except PlatformError as error:
            self._schedule_restart(error.what)

    async def _terminate(self, grace: float) -> None:
        if self._restart_timer:
            self._restart_timer.cancel()
        self._update_record(stopping=True)
        if self._record.identity:
            sign = Signals[self._record.stop_signal]
            await _terminate_group(self._record.identity, self._record.mark, grace, sign)
            await self._limits.remove(self._record.mark | home_mark(self._owner.records_folder))
        self._clean_up()

    def _clean_up(self) -> None:
        if self._exit_watch is not None:
            self._on_exit()
        if self._liveness:
            self._liveness.close()
        self._proof.drop()
        if self._output:
            self._output.close()
        if self._record.port:
            self._owner.ports.release(self._record.port)
        (self._owner.records_folder / f"{self._record.id}.json").unlink(missing_ok=True)
        self._owner.on_removed(self._record.id)

    def _open_output(self) -> None:
        if self._output is None:
            secrets = [(self._env or {}).get(name, "") for name in self._record.secrets]
            fifo = self._owner.records_folder / f"{self._record.id}.out"
            self._output = OutputPipe(fifo, Path(self._record.log), secrets)

    def _update_record(self, **changes: Any) -> None:  # noqa: ANN401 (fields of Record)
        self._record = replace(self._record, **changes)
        # A full disk must not stop the service; without its record it may be orphaned later.
        with suppress(OSError):
            self._record.write(self._owner.records_folder)


async def _terminate_group(
    leader: ProcessIdentity, mark: Mapping[str, str], grace: float, sign: Signals = SIGTERM
) -> None:
    """Send a signal, then SIGKILL after ``grace`` seconds, until the group is empty."""
    deadline = asyncio.get_running_loop().time() + grace
    signal_group(leader, mark, sign)
    while group_members(leader, mark):
        if asyncio.get_running_loop().time() >= deadline:
            signal_group(leader, mark, SIGKILL)
        await asyncio.sleep(0.02)


def _exit_text(code: int | None) -> str:
    if code is None:
        return "exited"
    return f"exit code {code}" if code >= 0 else f"signal {-code} ({Signals(-code).name})"
