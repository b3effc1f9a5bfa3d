"""Runs a shell command with a timeout, writes its redacted output to a log, and leaves no process behind."""

import asyncio
import json
import os
import signal
import time
from collections import deque
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from abreast.commands.interface import Command, CommandResult
from abreast.core.redaction.redactor import FLUSH_DELAY, Redactor
from abreast.machine.process import ProcessIdentity, signal_group

TAIL_LINES = 20
"""Number of last output lines that a failure shows."""


async def run(command: Command, halt: Awaitable[str]) -> CommandResult:
    """Run the command until it ends, its timeout passes, or ``halt`` returns a reason to stop.

    Ends the whole process group, and first the group that a killed earlier run of the same command left behind.
    """
    pid_file = command.log.with_suffix(".pid")
    await asyncio.to_thread(_kill_orphan, pid_file)
    output = _RedactedOutput(command)
    process = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", command.text,
        cwd=command.cwd,
        env=dict(command.env),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    with suppress(ProcessLookupError):  # the process may have ended already
        pid_file.write_text(json.dumps(asdict(ProcessIdentity.from_pid(process.pid))))
    copying = asyncio.ensure_future(output.copy(process.stdout))
    halted = asyncio.ensure_future(halt)
    ending = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait({ending, halted}, timeout=command.timeout, return_when=asyncio.FIRST_COMPLETED)
        exit_code = None
        if ending.done():
            exit_code = ending.result()
            why = _failure_reason(exit_code)
        else:
            why = halted.result() if halted.done() else f"timed out after {command.timeout:g} s"
    finally:
        await _terminate(process)
        halted.cancel()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(copying, 1)
        output.close()
        pid_file.unlink(missing_ok=True)
    return CommandResult(why, tuple(output.tail), exit_code)


def _kill_orphan(pid_file: Path) -> None:
    with suppress(OSError, ValueError, TypeError):
        identity = ProcessIdentity(**json.loads(pid_file.read_text()))
        while identity.is_alive:
            signal_group(identity, {}, signal.SIGKILL)
            time.sleep(0.01)


class _RedactedOutput:
    def __init__(self, command: Command) -> None:
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._redactor = Redactor(command.env[name] for name in command.secrets)
        command.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log = command.log.open("ab", buffering=0)
        self._line = b""

    async def copy(self, stream: asyncio.StreamReader) -> None:
        while True:
            try:
                async with asyncio.timeout(FLUSH_DELAY if self._redactor.has_buffered else None):
                    chunk = await stream.read(65536)
            except TimeoutError:
                self._write(self._redactor.flush())
                continue
            if not chunk:
                return
            self._write(self._redactor.feed(chunk))

    def close(self) -> None:
        self._write(self._redactor.flush())
        self._write(b"\n" if self._line else b"")
        self._log.close()

    def _write(self, text: bytes) -> None:
        self._log.write(text)
        *lines, self._line = (self._line + text).split(b"\n")
        self.tail.extend(line.decode(errors="replace").rstrip() for line in lines)
        self._line = self._line[-4096:]


def _failure_reason(code: int) -> str:
    if code == 0:
        return ""
    return f"exit code {code}" if code > 0 else f"killed by {signal.Signals(-code).name}"


async def _terminate(process: asyncio.subprocess.Process) -> None:
    for signum, grace in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signum)
        if process.returncode is None:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), grace)
