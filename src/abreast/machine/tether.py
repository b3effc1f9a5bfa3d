"""Becomes a program that ends with the process that started it; see ``TetheredProgram``.

Runs as a file of its own, without abreast's packages: PARENT SIGNAL [UID GID] -- PATH ARGUMENTS…

Python's own files may be readable for this user only: nothing is imported after the change of user.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""See prctl(2)."""


def _become(arguments: list[str]) -> None:
    end = arguments.index("--")
    parent, sign, *user = map(int, arguments[:end])
    program = arguments[end + 1 :]
    libc = ctypes.CDLL(None)
    if user:
        os.setgroups([])
        os.setgid(user[1])
        os.setuid(user[0])
        os.umask(0o077)
    libc.prctl(PR_SET_PDEATHSIG, sign)  # after setuid(2), which clears it
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python; the program would inherit that
        signal.signal(ignored, signal.SIG_DFL)
    if os.getppid() == parent:
        os.execv(program[0], program)  # noqa: S606 (there is nothing for a shell to do)


if __name__ == "__main__":
    _become(sys.argv[1:])
