"""Who listens on a TCP port, and that nobody does."""

import socket
import sys

from abreast.machine.kernel import PROCESSES, SOCKETS


def port_owner(port: int) -> str | None:
    """Return the process that listens on ``port``, None if none is known to."""
    names = SOCKETS.listening().get(port)
    if names is None:
        return None
    for pid in PROCESSES.pids():
        if SOCKETS.of_process(pid).keys() & names:
            return f"{PROCESSES.name(pid)} (process {pid})"
    return "another process"


def refuse_connections(port: int, listening: socket.socket | None = None) -> socket.socket:
    """Return a socket that keeps a port of 127.0.0.1, where nobody can listen and connections are refused.

    ``listening`` is a socket that listens there: with it, nobody could listen in between. Raises OSError if somebody
    listens on the port.
    """
    return _refuse(port, listening)


def refuse_on_linux(port: int, listening: socket.socket | None) -> socket.socket:
    """Listen, and stop listening.

    Linux gives a bound port to others with SO_REUSEADDR too, unless the socket that has it has once listened and has
    lost that option (``inet_csk_get_port``).
    """
    listening = listening or _bind(port, listens=True)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    listening.shutdown(socket.SHUT_RD)
    return listening


def refuse_on_bsd(port: int, listening: socket.socket | None) -> socket.socket:
    """Bind only. BSD and macOS give a bound port to nobody else, except that both have SO_REUSEPORT."""
    if listening is not None:
        listening.close()
    return _bind(port)


def _bind(port: int, *, listens: bool = False) -> socket.socket:
    """Return a bound socket. With SO_REUSEADDR connections of the last process may linger."""
    bound = socket.socket()
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        if listens:
            bound.listen(0)
    except OSError:
        bound.close()
        raise
    return bound


_refuse = refuse_on_linux if sys.platform == "linux" else refuse_on_bsd
