"""Runs a shell command with a timeout, writes its redacted output to a log, and leaves no process behind."""

import asyncio
import signal
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path

from abreast.commands.interface import Command, CommandResult
from abreast.core.error_excerpt import ErrorExcerpt
from abreast.core.redaction.redactor import FLUSH_DELAY, Redactor
from abreast.machine.process import ProcessIdentity, boot_id, end_marked_processes, signal_group

MARK = "ABREAST_COMMAND"
"""The variable, with the path of its log, by which the processes of a command are known when their leader is gone."""


async def run(command: Command, halt: Awaitable[str]) -> CommandResult:
    """Run the command until it ends, its timeout passes, or ``halt`` returns a reason to stop.

    Then ends its whole process group.
    """
    output, mark = _RedactedOutput(command), {MARK: str(command.log)}
    process = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", command.text,
        cwd=command.cwd,
        env={**command.env, **mark},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    leader = _identity(process)
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
        await _terminate(process, leader, mark)
        halted.cancel()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(copying, 1)
        output.close()
    return CommandResult(why, tuple(output.excerpt.tail), exit_code, output.excerpt.errors)


def end_orphans(folder: Path) -> None:
    """End the commands that a killed process left running, whose logs are in ``folder``. None may still be wanted."""
    end_marked_processes(MARK, f"{folder}/")


def _identity(process: asyncio.subprocess.Process) -> ProcessIdentity:
    """Return the identity of a command's leader. Of one that has ended already, only its mark proves the group."""
    try:
        return ProcessIdentity.from_pid(process.pid)
    except ProcessLookupError:
        return ProcessIdentity(process.pid, -1, boot_id())


class _RedactedOutput:
    def __init__(self, command: Command) -> None:
        self.excerpt = ErrorExcerpt()
        self._redactor = Redactor(command.env[name] for name in command.secrets)
        command.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log = command.log.open("ab", buffering=0)
        self._line = b""

    async def copy(self, stream: asyncio.StreamReader) -> None:
        flush_at: float | None = None
        while True:
            try:
                async with asyncio.timeout_at(flush_at):
                    chunk = await stream.read(65536)
            except TimeoutError:
                self._write(self._redactor.flush())
                flush_at = None
                continue
            if not chunk:
                return
            self._write(self._redactor.feed(chunk))
            flush_at = self._flush_time(flush_at)

    def _flush_time(self, planned: float | None) -> float | None:
        """Return when to flush. The delay counts from the first buffered byte, however many follow."""
        if not self._redactor.has_buffered:
            return None
        return asyncio.get_running_loop().time() + FLUSH_DELAY if planned is None else planned

    def close(self) -> None:
        self._write(self._redactor.flush())
        self._write(b"\n" if self._line else b"")
        self._log.close()

    def _write(self, text: bytes) -> None:
        self._log.write(text)
        *lines, self._line = (self._line + text).split(b"\n")
        for line in lines:
            self.excerpt.add(line.decode(errors="replace").rstrip())
        self._line = self._line[-4096:]


def _failure_reason(code: int) -> str:
    if code == 0:
        return ""
    return f"exit code {code}" if code > 0 else f"killed by {signal.Signals(-code).name}"


async def _terminate(process: asyncio.subprocess.Process, leader: ProcessIdentity, mark: dict[str, str]) -> None:
    for sign, grace in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0)):
        await asyncio.to_thread(signal_group, leader, mark, sign)
        if process.returncode is None:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), grace)
