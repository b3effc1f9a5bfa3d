"""Programs that end with this process, however that ends."""

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, NamedTuple

from abreast.machine import tether

KEPT_LINES = 50
"""How many of the last lines of error output are kept."""

MAX_LINE = 4096
"""Longer lines are split."""


class User(NamedTuple):
    """A user of this machine, to run a program as."""

    uid: int
    gid: int


class TetheredProgram:
    """A running program, in its own process group. It gets ``at_our_end`` when this process ends, even by SIGKILL.

    A thread starts it and waits for its end: Linux sends the signal when the thread ends that started it. Elsewhere a
    guard sends it (see ``tether``).
    """

    needs_guard = sys.platform != "linux"

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str],
        user: User | None = None,
        cwd: Path | None = None,
        stdin: IO[bytes] | int = subprocess.DEVNULL,
        stdout: IO[bytes] | int = subprocess.DEVNULL,
        at_our_end: signal.Signals = signal.SIGKILL,
        inherits: Collection[int] = (),
    ) -> None:
        """``inherits`` are descriptors of this process that the program gets too."""
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        started: Future[subprocess.Popen[bytes]] = Future()

        def run() -> None:
            with _lifeline() if self.needs_guard else nullcontext(tether.KERNEL_SENDS) as lifeline:
                try:
                    process = subprocess.Popen(
                        [sys.executable, "-IS", tether.__file__, str(os.getpid()), str(int(at_our_end)), str(lifeline),
                         *map(str, user or ()), "--", *command],
                        env=env, cwd=cwd, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE,
                        process_group=0, pass_fds=(*inherits, *((lifeline,) if self.needs_guard else ())),
                    )  # fmt: skip
                except BaseException as error:  # noqa: BLE001 (raised to the caller)
                    started.set_exception(error)
                    return
                started.set_result(process)
                self._read(process)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        self._process = started.result()

    def _read(self, process: "subprocess.Popen[bytes]") -> None:
        with process:
            assert process.stderr
            for line in iter(lambda: process.stderr.readline(MAX_LINE), b""):  # type: ignore[union-attr]
                self._lines.append(line.decode(errors="replace").rstrip())

    @property
    def pid(self) -> int:
        """The program's process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the program has not ended, or its last words are not read yet."""
        return self._thread.is_alive()

    @property
    def error_lines(self) -> Sequence[str]:
        """The last lines of its error output."""
        return [line for line in tuple(self._lines) if line]

    @property
    def complaint(self) -> str:
        """What it said of its first error, or at last; what ended it, if it said nothing."""
        code = self._process.returncode
        silent = f"killed by signal {-code}" if code and code < 0 else f"exit code {code}"
        errors = [line.partition("error: ")[2] for line in self.error_lines if "error: " in line]
        return next(iter([*errors, *self.error_lines[-1:]]), silent)

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end and return the exit code (negative: the signal that killed it), None after ``timeout``."""
        self._thread.join(timeout)
        return None if self._thread.is_alive() else self._process.returncode

    def send(self, sign: signal.Signals) -> None:
        """Send a signal to the program. One that has ended is fine."""
        with suppress(ProcessLookupError):
            self._process.send_signal(sign)

    def stop(self, sign: signal.Signals, patience: float) -> None:
        """End the program by a signal, and by SIGKILL after ``patience`` seconds."""
        self.send(sign)
        if self.wait(patience) is None:
            self.send(signal.SIGKILL)
            self.wait()


@contextmanager
def _lifeline() -> Iterator[int]:
    """Provide one end of a pipe whose other end nobody else has, and which is closed when this process ends."""
    inherited, ours = os.pipe()
    try:
        yield inherited
    finally:
        os.close(ours)
        os.close(inherited)
