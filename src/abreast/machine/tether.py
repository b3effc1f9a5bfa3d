"""Becomes a program that ends with the process that started it; see ``TetheredProgram``.

Runs as a file of its own, without abreast's packages: PARENT SIGNAL LIFELINE [UID GID] -- PATH ARGUMENTS…

LIFELINE is a pipe of which the parent alone has the other end, or -1 where the kernel sends the signal.

Python's own files may be readable for this user only: nothing is imported after the change of user.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""See prctl(2)."""

KERNEL_SENDS = -1


def _become(arguments: list[str]) -> None:
    end = arguments.index("--")
    parent, sign, lifeline, *user = map(int, arguments[:end])
    program = arguments[end + 1 :]
    libc = ctypes.CDLL(None)
    if user:
        os.setgroups([])
        os.setgid(user[1])
        os.setuid(user[0])
        os.umask(0o077)
    if lifeline == KERNEL_SENDS:
        libc.prctl(PR_SET_PDEATHSIG, sign)  # after setuid(2), which clears it
    else:
        _start_guard(lifeline, sign)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python; the program would inherit that
        signal.signal(ignored, signal.SIG_DFL)
    if os.getppid() == parent:
        os.execv(program[0], program)  # noqa: S606 (there is nothing for a shell to do)


def _start_guard(lifeline: int, sign: int) -> None:
    """Fork a process that waits for the pipe's end and then signals this one, as long as it is that one's child."""
    program = os.getpid()
    if os.fork():
        os.set_inheritable(lifeline, False)
        return
    os.setsid()  # signals to the program's group are not for the guard
    os.closerange(0, lifeline)  # among them what the parent reads to its end
    os.read(lifeline, 1)
    if os.getppid() == program:
        os.kill(program, sign)
    os._exit(0)


if __name__ == "__main__":
    _become(sys.argv[1:])
