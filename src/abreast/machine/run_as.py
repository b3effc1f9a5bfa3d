"""Becomes a program that runs as another user of this machine.

Runs as a file of its own, without abreast's packages: UID GID FOLDER -- PATH ARGUMENTS…

FOLDER stays open for the program, which reaches it as ``HELD`` though only root may enter the folders above it.

Python's own files may be readable for this user only: nothing is imported after the change of user.
"""

import os
import signal
import sys

DESCRIPTOR = 9
HELD = f"/proc/self/fd/{DESCRIPTOR}"


def _become(arguments: list[str]) -> None:
    end = arguments.index("--")
    uid, gid, folder = int(arguments[0]), int(arguments[1]), arguments[2]
    program = arguments[end + 1 :]
    os.dup2(os.open(folder, os.O_RDONLY | os.O_DIRECTORY), DESCRIPTOR)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    os.umask(0o077)
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python; the program would inherit that
        signal.signal(ignored, signal.SIG_DFL)
    os.execv(program[0], program)  # noqa: S606 (there is nothing for a shell to do)


if __name__ == "__main__":
    _become(sys.argv[1:])
