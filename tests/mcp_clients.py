"""Clients of ``abreast mcp``: the one of the Python SDK, and a plain one that says what no SDK would."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import mcp_types as types
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client

NAME, VERSION = "test-agent", "1.2"


def server_command(*options: str) -> list[str]:
    return [sys.executable, "-m", "abreast", "mcp", *options]


@asynccontextmanager
async def connected(
    folder: Path, *options: str, variables: Mapping[str, str] | None = None, mode: str = "auto"
) -> AsyncIterator[Client]:
    """Connect the SDK's client to a server in ``folder``, as an agent with a name and a version."""
    command, *arguments = server_command(*options)
    env = {**os.environ, **(variables or {})}
    errors = folder.parent / "server-errors"
    with errors.open("a") as log:
        transport = stdio_client(
            StdioServerParameters(command=command, args=arguments, env=env, cwd=folder), errlog=log
        )
        info = types.Implementation(name=NAME, version=VERSION)
        async with Client(transport, client_info=info, mode=mode) as client:
            yield client


def with_client(
    folder: Path, work: Callable[[Client], Awaitable[None]], *options: str, variables: Mapping[str, str] | None = None,
    mode: str = "auto",
) -> None:  # fmt: skip
    """Do something with a connected client."""

    async def main() -> None:
        async with connected(folder, *options, variables=variables, mode=mode) as client:
            await work(client)

    asyncio.run(main())


def text_of(result: types.CallToolResult) -> str:
    return "\n".join(part.text for part in result.content if isinstance(part, types.TextContent))


class PlainClient:
    """Speaks to a server line by line. ``sent`` and ``received`` are all that went over the wire."""

    def __init__(self, folder: Path, *options: str, variables: Mapping[str, str] | None = None) -> None:
        self.errors = folder.parent / "plain-errors"
        with self.errors.open("a") as log:
            self.process = subprocess.Popen(
                server_command(*options), cwd=folder, env={**os.environ, **(variables or {})},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        self.received: list[str] = []
        self._number = 0

    def __enter__(self) -> Self:
        info = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": NAME, "version": VERSION}}
        assert self.request("initialize", info)["result"]["serverInfo"]["name"] == "abreast"
        self.send_line(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()

    def send_line(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def begin(self, method: str, parameters: object) -> int:
        """Send a request and return its number."""
        self._number += 1
        self.send_line(json.dumps({"jsonrpc": "2.0", "id": self._number, "method": method, "params": parameters}))
        return self._number

    def answer(self) -> dict[str, Any]:
        """Return the next message: each line that the server writes has to be one."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        self.received.append(line)
        message: dict[str, Any] = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        return message

    def request(self, method: str, parameters: object) -> dict[str, Any]:
        number = self.begin(method, parameters)
        answer = self.answer()
        assert answer["id"] == number
        return answer

    def call(self, tool: str, **arguments: object) -> dict[str, Any]:
        """Return the result of a tool."""
        return dict(self.request("tools/call", {"name": tool, "arguments": arguments})["result"])
