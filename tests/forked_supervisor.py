"""Forks the supervisors of the commands that ``fork_server`` forks, in place of an interpreter for each of their two.

They run abreast's own code, and look to others as if an interpreter had been started with it.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

from abreast.machine import process
from abreast.platforms.local.supervisor import client, process_manager, watchdog

ROOM = " " * 1000
"""An argument of the process that forks, which has room for the arguments of those that it forks."""

ARG_START, ARG_END = 45, 46
"""Where the arguments are in memory: see proc_pid_stat(5), of the fields after the name."""

MAX_ORDER = 1 << 17


class SupervisorServer:
    """A process that forks supervisors. Commands inherit this object, and with it the way to order one."""

    def __init__(self) -> None:
        """Fork the process; it ends with this one."""
        self._orders, taken = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if os.fork() == 0:
            self._orders.close()
            end_with_parent()
            _serve(taken)
        taken.close()

    def install(self) -> None:
        """Have this command order its supervisors here."""
        client.start_detached = self._start_detached  # type: ignore[attr-defined]

    def _start_detached(self, argv: list[str], out: IO[bytes] | None = None) -> None:
        if watchdog.__name__ not in argv or out is None:
            return process.start_detached(argv, out)
        order = json.dumps({"argv": argv, "variables": dict(os.environ)}).encode()
        socket.send_fds(self._orders, [order], [out.fileno()])
        return None


def end_with_parent() -> None:
    """Have the kernel kill this process when the one that forked it ends: see PR_SET_PDEATHSIG in prctl(2)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _serve(orders: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # leaves no zombies
    while files := (received := socket.recv_fds(orders, MAX_ORDER, 1))[1]:
        if os.fork() == 0:
            _become(partial(_run_watchdog, json.loads(received[0]), files[0]))
        os.close(files[0])
    os._exit(0)


def _run_watchdog(order: dict[str, Any], log: int) -> int:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for ignored in (signal.SIGINT, signal.SIGQUIT):  # as in what a shell starts in the background
        signal.signal(ignored, signal.SIG_IGN)
    os.setsid()
    os.chdir("/")
    os.environ.clear()
    os.environ.update(order["variables"])
    for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), log, log)):
        os.dup2(file, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode, closefd=False) for number, mode in enumerate("rww"))
    _show_as(order["argv"])
    subprocess.call = _call_forked  # type: ignore[assignment]
    return watchdog.main(Path(order["argv"][-1]))


def _call_forked(argv: list[str], **_: object) -> int:
    """Run a process manager as ``subprocess.call`` does."""
    pid = os.fork()
    if pid == 0:
        _show_as(argv)
        _become(lambda: process_manager.main(Path(argv[-2]), int(argv[-1])))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _become(program: Callable[[], int]) -> None:
    """Run a program in this forked process, to its end."""
    code = 1
    try:
        code = program()
    except BaseException:  # noqa: BLE001 (shown in its log)
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _show_as(argv: list[str]) -> None:
    """Let the system show these arguments for this process."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    start, length = int(fields[ARG_START]), int(fields[ARG_END]) - int(fields[ARG_START])
    shown = "\0".join(argv).encode()
    assert len(shown) < length, argv
    ctypes.memmove(start, shown.ljust(length, b"\0"), length)
