"""The services that an emulator runs: processes on ports of this machine, reached through the emulator."""

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


@dataclass(frozen=True)
class ServiceProcess:
    """A process that listens on a port and prints to ``log``; ``held`` keeps others from the port."""

    process: "subprocess.Popen[bytes]"
    reserved_socket: socket.socket
    log: Path

    @classmethod
    def start(cls, command: Sequence[str], folder: Path, env: Mapping[str, str], log: Path) -> "ServiceProcess":
        """Start a command with ``$PORT``; what it prints goes to ``log``."""
        # Bound and not listening: nobody is given the port, and a server that reuses addresses can listen on it.
        reserved_socket = socket.socket()
        reserved_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved_socket.bind(("127.0.0.1", 0))
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=folder, env={**os.environ, **env, "PORT": str(reserved_socket.getsockname()[1])},
                start_new_session=True, stdout=output, stderr=output,
            )  # fmt: skip
        return cls(process, reserved_socket, log)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.reserved_socket.getsockname()[1])

    async def wait_until_healthy(self, path: str, timeout: float = 5.0) -> bool:
        """Tell whether it answers below 400 in time; one that ended does not."""
        deadline = asyncio.get_running_loop().time() + timeout
        async with httpx2.AsyncClient(timeout=5, verify=ssl_context()) as client:
            while asyncio.get_running_loop().time() < deadline and self.process.poll() is None:
                with suppress(httpx2.HTTPError):
                    if (await client.get(f"http://127.0.0.1:{self.port}{path}")).status_code < 400:
                        return True
                await asyncio.sleep(0.05)
        return False

    async def wait_until_listening(self, timeout: float = 5.0) -> bool:
        """Tell whether it takes connections in time; one that ended does not."""
        deadline = asyncio.get_running_loop().time() + timeout
        while asyncio.get_running_loop().time() < deadline and self.process.poll() is None:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.close()
                return True
            await asyncio.sleep(0.05)
        return False

    def stop(self) -> None:
        """End it and what it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()
        self.reserved_socket.close()


async def proxy_to_process(request: Request, process: ServiceProcess | None) -> Response:
    """Answer with what the process answers to the rest of the path."""
    if process is None:
        return Response("nothing runs", 503)
    return await fetch_response(f"http://127.0.0.1:{process.port}/{request.path_params['path']}")


async def fetch_response(url: str) -> Response:
    """Answer with what another server answers."""
    async with httpx2.AsyncClient(timeout=10, verify=ssl_context()) as client:
        try:
            answer = await client.get(url)
        except httpx2.HTTPError:
            return Response("bad gateway", 502)
    return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))
