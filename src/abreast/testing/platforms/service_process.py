"""Services that an emulator runs: processes on local ports, reached through the emulator."""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2
from starlette.requests import Request
from starlette.responses import Response

from abreast.machine.tls import ssl_context

HOP_BY_HOP = frozenset({
    "connection", "content-encoding", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding",
    "upgrade",
})  # fmt: skip
"""Headers of one connection, and of the body as it was sent on it."""

START_TIMEOUT = 30.0
"""Seconds in which a process begins to listen, unless it ends before."""


@dataclass(frozen=True)
class ServiceProcess:
    """A process that listens on ``port`` and prints to ``log``. ``reserved_socket`` reserves the port."""

    process: "subprocess.Popen[bytes]"
    reserved_socket: socket.socket
    log: Path

    @classmethod
    def start(cls, command: Sequence[str], folder: Path, env: Mapping[str, str], log: Path) -> "ServiceProcess":
        """Start a command with ``$PORT``. Its output goes to ``log``."""
        reserved_socket = reserve_port()
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=folder, env={**os.environ, **env, "PORT": str(reserved_socket.getsockname()[1])},
                start_new_session=True, stdout=output, stderr=output,
            )  # fmt: skip
        return cls(process, reserved_socket, log)

    @property
    def port(self) -> int:
        """The port that the process listens on."""
        return int(self.reserved_socket.getsockname()[1])

    async def wait_until_healthy(self, path: str, timeout: float = 5.0) -> bool:
        """Return whether it responds with a status below 400 within ``timeout`` seconds after it began to listen."""
        if not await self.wait_until_listening():
            return False
        deadline = asyncio.get_running_loop().time() + timeout
        async with httpx2.AsyncClient(timeout=5, verify=ssl_context()) as client:
            while asyncio.get_running_loop().time() < deadline and self.process.poll() is None:
                with suppress(httpx2.HTTPError):
                    if (await client.get(f"http://127.0.0.1:{self.port}{path}")).status_code < 400:
                        return True
                await asyncio.sleep(0.05)
        return False

    async def wait_until_listening(self, timeout: float = START_TIMEOUT) -> bool:
        """Return whether it accepts connections before ``timeout`` seconds, or its end, pass."""
        deadline = asyncio.get_running_loop().time() + timeout
        while asyncio.get_running_loop().time() < deadline and self.process.poll() is None:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return True
            await asyncio.sleep(0.05)
        return False

    def stop(self) -> None:
        """Stop the process and its children."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()
        self.reserved_socket.close()


def reserve_port() -> socket.socket:
    """Reserve a free port for a process to be started."""
    # Bound but not listening: nothing else gets the port, and a server with SO_REUSEADDR can still listen on it.
    reserved_socket = socket.socket()
    reserved_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved_socket.bind(("127.0.0.1", 0))
    return reserved_socket


async def proxy_to_process(request: Request, process: ServiceProcess | None) -> Response:
    """Return the process's response to the same request below the rest of the path; 503 without a process."""
    if process is None:
        return Response("no running process", 503)
    query = f"?{request.url.query}" if request.url.query else ""
    return await pass_on(request, f"http://127.0.0.1:{process.port}/{request.path_params.get('path', '')}{query}")


async def pass_on(
    request: Request, url: str, added_headers: Mapping[str, str] | None = None, timeout: float = 10
) -> Response:
    """Return another server's response to the same request; 502 if it cannot be reached, 504 after ``timeout``."""
    sent = [(name, value) for name, value in request.headers.items() if name not in HOP_BY_HOP]
    headers = [*sent, *(added_headers or {}).items()]
    async with httpx2.AsyncClient(timeout=timeout, verify=ssl_context()) as client:
        try:
            async with asyncio.timeout(timeout):
                response = await client.request(request.method, url, headers=headers, content=await request.body())
        except TimeoutError:
            return Response("gateway timeout", 504)
        except httpx2.HTTPError:
            return Response("bad gateway", 502)
    answer = Response(response.content, response.status_code)
    kept = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in HOP_BY_HOP]
    answer.raw_headers = [(name.lower().encode(), value.encode()) for name, value in kept]
    return answer
