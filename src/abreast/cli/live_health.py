"""The health of live services, for ``abreast status``: one probe each, all at once. Imports next to nothing."""

import select
import socket
import time

PROBE_TIMEOUT = 2.0
"""Seconds for all probes together."""

STOPPED = "stopped"
"""Nothing listens on the port of a local service: the environment does not run, such as after a reboot."""


class LiveRow:
    """The live version of a service, as a row of the ledger."""

    def __init__(self, *row: str) -> None:
        (
            self.service,
            self.platform,
            self.release,
            self.commit,
            self.url,
            self.since,
            self.artifact,
            self.health_path,
            failing_status,
            self.version,
            self.type,
            self.instances,
            self.schedule,
        ) = row
        self.failing_status = int(failing_status or 400)

    @property
    def runs_without_address(self) -> bool:
        """Whether it runs here and nobody can probe it: a worker, or a scheduled command."""
        return self.platform == "local" and not self.url


def probe_health(services: "list[LiveRow]") -> dict[str, str]:
    """Probe the health path of every service, all at once. A remote service that cannot be reached is unknown.

    So is one without an address, such as a background worker.
    """
    health = {live.service: _health_without_answer(live) for live in services}
    pending: dict[int, tuple[socket.socket, LiveRow]] = {}
    poll = select.poll()
    for live in services:
        if not live.url:
            continue
        try:
            connection = _send_probe(live)
        except OSError as error:
            if live.platform == "local" and isinstance(error, ConnectionRefusedError):
                health[live.service] = STOPPED
            continue
        pending[connection.fileno()] = (connection, live)
        poll.register(connection, select.POLLIN)
    deadline = time.monotonic() + PROBE_TIMEOUT
    while pending and (remaining := deadline - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(remaining * 1000):
            connection, live = pending.pop(descriptor)
            poll.unregister(descriptor)
            health[live.service] = _read_probe_result(connection, live.failing_status)
    for connection, _ in pending.values():
        connection.close()
    return health


def _health_without_answer(live: "LiveRow") -> str:
    return "unhealthy" if live.platform == "local" else "unknown"


def _send_probe(live: "LiveRow") -> socket.socket:
    """Send a health request and return the connection. Raises OSError if there is none."""
    scheme, _, rest = live.url.partition("://")
    authority, _, base = rest.partition("/")
    host, _, port = authority.partition(":")
    path = f"/{base}".rstrip("/") + live.health_path
    # HTTP/1.0: no chunked responses, and the server closes the connection.
    request = f"GET {path} HTTP/1.0\r\nHost: {authority}\r\nUser-Agent: abreast-probe\r\n\r\n"
    address = ("127.0.0.1" if live.platform == "local" else host, int(port or (443 if scheme == "https" else 80)))
    connection = socket.create_connection(address, timeout=PROBE_TIMEOUT)
    if scheme == "https":
        import ssl  # noqa: PLC0415 (slow to import, and local services do not need it)

        connection = ssl.create_default_context().wrap_socket(connection, server_hostname=host)
    connection.sendall(request.encode())
    return connection


def _read_probe_result(connection: socket.socket, failing_status: int) -> str:
    try:
        line = connection.recv(64).split(b" ")
        return "healthy" if 200 <= int(line[1]) < failing_status else "unhealthy"
    except (OSError, IndexError, ValueError):
        return "unhealthy"
    finally:
        connection.close()
