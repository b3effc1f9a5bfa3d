"""Requests through the local router, beside HAProxy in front of the same servers: how many, and at what cost."""

import asyncio
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.instructions import instructions_for_a_request
from benchmarks.static_pages import AbreastSite, NginxSite
from benchmarks.traffic import AbreastProxy, HAProxy, PlainEnvoy, Proxy, wait_for_port

SECONDS, ROUNDS, FRONT, SERVERS = 4, 3, 15200, (15300, 15301)
_UPGRADE = b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
UPGRADE = b"GET /ws HTTP/1.1\r\nHost: bench\r\n%bSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n" % _UPGRADE
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\n%bSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n" % _UPGRADE
)
"""The example of RFC 6455, section 1.3."""
MESSAGE = b"x" * 64


@dataclass(frozen=True, slots=True)
class Load:
    """How much a proxy carried in one round: requests, megabytes or messages, failures, seconds of CPU for each."""

    done: float
    failed: int
    cpu: float


def run() -> str:
    """Return a table of kinds of traffic."""
    if missing := [
        program for program in ("wrk", "h2load", "nginx", "haproxy", "valgrind") if not shutil.which(program)
    ]:
        return f"## Throughput\n\nNot measured, because not installed: {', '.join(missing)}."
    rows = [_row(kind, unit, load) for kind, unit, load in KINDS]
    return "\n".join([
        "## Throughput", "",
        "The local router, the same Envoy with one route and nothing else, and HAProxy (two threads each) in front of nginx, which",
        f"answers at once; for websockets, in front of a server that echoes. Medians of {ROUNDS} alternating rounds of {SECONDS} s.",
        "Goal: ≥ 0.9 times HAProxy, 0 failed; CPU: ≥ 0.95 times Envoy alone.", "",
        "| traffic a second (and CPU for each) | HAProxy | abreast | ÷ HAProxy | failed | Envoy alone | ÷ HAProxy | CPU: Envoy alone ÷ abreast |",
        "|---|---|---|---|---|---|---|---|", *rows, "",
        "Instructions in user space for a request, counted by valgrind: the same however busy the machine is.", "",
        "| a small answer of a service, HTTP/1.1 | a page of 2 kB of a static site, HTTP/1.1 |", "|---|---|",
        f"| {_instructions(HAProxy, PlainEnvoy, AbreastProxy)} | {_instructions(NginxSite, AbreastSite)} |",
    ])  # fmt: skip


def _instructions(*proxies: type[Proxy]) -> str:
    with tempfile.TemporaryDirectory() as folder, _Servers(Path(folder), echo=False):
        counts = [instructions_for_a_request(proxy, FRONT, SERVERS, ("--h1", "-m1")) for proxy in proxies]
    return ", ".join(f"{proxy.name}: {count:,.0f}" for proxy, count in zip(proxies, counts, strict=True))


def _row(kind: str, unit: str, load: Callable[[], tuple[float, int]]) -> str:
    rounds: dict[type[Proxy], list[Load]] = {HAProxy: [], AbreastProxy: [], PlainEnvoy: []}
    with tempfile.TemporaryDirectory() as folder, _Servers(Path(folder), echo=kind == "websockets"):
        for number in range(ROUNDS):
            for proxy_class, loads in rounds.items():
                home = Path(folder) / f"{proxy_class.__name__}-{number}"
                home.mkdir()
                loads.append(asyncio.run(_measure(proxy_class(home, FRONT, SERVERS), load)))
    haproxy, abreast, envoy = (_median(loads) for loads in rounds.values())
    failed = sum(each.failed for each in rounds[AbreastProxy])
    return (
        f"| {kind} | {_cell(haproxy, unit)} | {_cell(abreast, unit)} | {abreast.done / haproxy.done:.2f} | {failed} | "
        f"{_cell(envoy, unit)} | {envoy.done / haproxy.done:.2f} | {envoy.cpu / abreast.cpu:.2f} |"
    )


def _median(loads: list[Load]) -> Load:
    return Load(statistics.median(each.done for each in loads), 0, statistics.median(each.cpu for each in loads))


def _cell(load: Load, unit: str) -> str:
    return f"{load.done / SECONDS:,.0f} {unit} ({load.cpu * 1e6:.0f} µs)"


async def _measure(proxy: Proxy, load: Callable[[], tuple[float, int]]) -> Load:
    try:
        await proxy.start()
        await wait_for_port(FRONT)
        assert proxy.process
        before = _cpu_seconds(proxy.process.pid)
        done, failed = await asyncio.to_thread(load)
        return Load(done, failed, (_cpu_seconds(proxy.process.pid) - before) / max(done, 1))
    finally:
        proxy.stop()


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# ── servers ────────────────────────────────────────────────────────────────────────────────────


class _Servers:
    """Two servers: nginx, or one that echoes what comes after an upgrade."""

    def __init__(self, folder: Path, *, echo: bool) -> None:
        (folder / "www").mkdir()
        (folder / "www" / "megabyte").write_bytes(b"x" * (1 << 20))
        make = _echo_command if echo else _nginx_command
        self._processes = [subprocess.Popen(make(folder, port)) for port in SERVERS]

    def __enter__(self) -> None:
        asyncio.run(_wait_for_all())

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.terminate()
            process.wait()


async def _wait_for_all() -> None:
    for port in SERVERS:
        await wait_for_port(port)


def _echo_command(_: Path, port: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.throughput", f"{port}"]


def _nginx_command(folder: Path, port: int) -> list[str]:
    home = folder / f"nginx-{port}"
    home.mkdir()
    temporary = " ".join(f"{kind}_temp_path {kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (home / "nginx.conf").write_text(
        "daemon off; user root; worker_processes 1; pid nginx.pid; error_log error.log; events {worker_connections 4096;}\n"
        f"http {{access_log off; keepalive_requests 1000000000; {temporary}\n"
        f"server {{listen 127.0.0.1:{port} backlog=4096; location = / {{return 200 'ok';}} root {folder}/www;}}}}\n"
    )
    return ["nginx", "-p", str(home), "-c", "nginx.conf", "-e", str(home / "error.log")]


class _Echo(asyncio.Protocol):
    """Accepts an upgrade, then sends back what it gets."""

    _upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(data if self._upgraded else SWITCHED)  # type: ignore[attr-defined]
        self._upgraded = True


# ── load ───────────────────────────────────────────────────────────────────────────────────────


def _wrk(path: str) -> tuple[float, int]:
    command = ["wrk", "-t1", "-c64", f"-d{SECONDS}", f"http://127.0.0.1:{FRONT}{path}"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    failures = [
        int(count) for count in re.findall(r"(?:Non-2xx or 3xx responses|connect|read|write|timeout):? (\d+)", text)
    ]
    return float(_number(r"(\d+) requests in", text)), sum(failures)


def _h2load() -> tuple[float, int]:
    command = ["h2load", "-t1", "-c8", "-m8", "-D", str(SECONDS), f"http://127.0.0.1:{FRONT}/"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    failed, errored = _number(r"(\d+) failed", text), _number(r"(\d+) errored", text)
    return float(_number(r"(\d+) succeeded", text)), failed + errored


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, text
    return int(found[1])


def _websockets() -> tuple[float, int]:
    return asyncio.run(_exchange_messages(64))


async def _exchange_messages(connections: int) -> tuple[float, int]:
    end = time.monotonic() + SECONDS
    counts = await asyncio.gather(*(_exchange_on_one(end) for _ in range(connections)), return_exceptions=True)
    return float(sum(count for count in counts if isinstance(count, int))), sum(
        isinstance(count, BaseException) for count in counts
    )


async def _exchange_on_one(end: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", FRONT)
    writer.write(UPGRADE)
    if b" 101 " not in await reader.readuntil(b"\r\n\r\n"):
        raise ConnectionError("no upgrade")
    count = 0
    while time.monotonic() < end:
        writer.write(MESSAGE)
        await reader.readexactly(len(MESSAGE))
        count += 1
    writer.close()
    return count


KINDS: tuple[tuple[str, str, Callable[[], tuple[float, int]]], ...] = (
    ("HTTP/1.1, 64 connections", "requests", lambda: _wrk("/")),
    ("HTTP/2, 8 connections of 8 streams", "requests", _h2load),
    ("answers of 1 MB", "answers", lambda: _wrk("/megabyte")),
    ("websockets", "messages", _websockets),
)


async def _serve_echo(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Echo, "127.0.0.1", port, backlog=512)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve_echo(int(sys.argv[1])))
