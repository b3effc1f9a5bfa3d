"""A real Envoy with a router, and a backend that tells its version, for tests."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from abreast.platforms.local.router.files import EndpointPublisher, RouterFiles
from abreast.platforms.local.router.router import Router
from abreast.platforms.local.router.routing_table import Listener, RoutingTable, Target, Upstream

BACKEND = """
import asyncio, sys, signal
async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode()
            length = next((int(l.split(":")[1]) for l in head.split("\\r\\n") if l.lower().startswith("content-length")), 0)
            await reader.readexactly(length)
            if "upgrade: websocket" in head.lower():
                writer.write(b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n")
                while data := await reader.read(100):
                    writer.write(sys.argv[2].encode() + b":" + data)
                return
            if " /stream" in head:
                writer.write(b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n")
                for _ in range(30):
                    writer.write(b"2\\r\\n" + sys.argv[2].encode() + b"\\r\\n"); await writer.drain(); await asyncio.sleep(0.05)
                writer.write(b"0\\r\\n\\r\\n"); continue
            forwarded = next((l for l in head.split("\\r\\n") if l.lower().startswith("x-forwarded-for")), "")
            seen = "place" if "x-abreast-place" in head.lower() else ""
            body = (sys.argv[2] + " " + forwarded + seen).encode()
            writer.write(b"HTTP/1.1 200 OK\\r\\nX-Release: %s\\r\\nContent-Length: %d\\r\\n\\r\\n" % (sys.argv[2].encode(), len(body)) + body)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()
async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=512)
    print("up", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


@contextlib.contextmanager
def backend(port: int, name: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", BACKEND, str(port), name], stdout=subprocess.PIPE)
    assert process.stdout
    with process:
        try:
            assert process.stdout.readline() == b"up\n"
            yield process
        finally:
            process.kill()


def started(argv: tuple[str, ...], home: Path) -> subprocess.Popen[bytes]:
    with (home / "envoy.log").open("ab") as log:
        return subprocess.Popen(argv, cwd=home, stdout=log, stderr=log)


@asynccontextmanager
async def envoy(home: Path) -> AsyncIterator[tuple[Router, subprocess.Popen[bytes]]]:
    router = Router(home)
    argv = router.argv()
    with started(argv, home) as process:
        try:
            await router.wait_until_ready()
            yield router, process
        finally:
            process.kill()


def drive(home: Path, story: Callable[[Router, subprocess.Popen[bytes]], Awaitable[None]]) -> None:
    async def run() -> None:
        async with envoy(home) as (router, process):
            await story(router, process)

    asyncio.run(run())


def staged(service: str, listener: Listener, target: Target) -> Callable[[RoutingTable], RoutingTable]:
    return lambda table: table.with_listener(service, listener).with_candidate(service, target)


def upstream(home: Path, version: str, port: int) -> Upstream:
    """Return a version with one instance, which listens on a port."""
    files, instance = RouterFiles(home), f"{version}-0"
    EndpointPublisher(home).record({**files.endpoints(), instance: port})
    return Upstream(version, (instance,))


def turned(service: str, target: str) -> Callable[[RoutingTable], RoutingTable]:
    return lambda table: table.with_live({service: target})


def without(target: str) -> Callable[[RoutingTable], RoutingTable]:
    return lambda table: table.without_targets([target])
