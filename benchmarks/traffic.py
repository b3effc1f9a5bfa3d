"""Traffic switches under load, against other proxies with the same backends: failed requests, latency, skew."""

import asyncio
import bisect
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from abreast.platforms.local.router.files import EndpointPublisher
from abreast.platforms.local.router.router import Router
from abreast.platforms.local.router.routing_table import Listener, RoutingTable, Upstream

TURNS = 100
SWITCH_INTERVAL = 1.6
"""Seconds between two switches."""

CONNECTIONS = 64


class Proxy(ABC):
    """A proxy on ``front_port``, in front of two backends."""

    name: str
    executable: str | None = None

    def __init__(self, folder: Path, front_port: int, backend_ports: tuple[int, int]) -> None:
        self.folder, self.front_port, self.backend_ports = folder, front_port, backend_ports
        self.process: subprocess.Popen[bytes] | None = None

    def spawn(self, *argv: str, cwd: Path | None = None) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(argv, cwd=cwd or self.folder, stdout=log, stderr=log)
        self._spawned = argv, cwd

    def restart_under(self, *observer: str) -> None:
        """Start it again, with the configuration that it has, by another program that observes it."""
        self.stop()
        argv, cwd = self._spawned
        self.spawn(*observer, *argv, cwd=cwd)

    @abstractmethod
    async def start(self) -> None: ...

    @abstractmethod
    async def switch_to(self, backend: int) -> None:
        """Switch traffic to backend number ``backend``, in the least disruptive way that the proxy offers."""

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait()


class AbreastProxy(Proxy):
    name = "abreast (Envoy)"

    async def start(self) -> None:
        await self.start_router()
        self.number = 0
        EndpointPublisher(self.folder / "router").record(
            {f"{number}": port for number, port in enumerate(self.backend_ports)}
        )
        for service, port in (("web", self.front_port), ("api", self.front_port + 1)):
            await self.router.change(lambda t, s=service, p=port: t.with_listener(s, Listener(p)))  # type: ignore[misc]
        await self.switch_to(0)

    async def start_router(self) -> None:
        self.router = Router(self.folder / "router")
        self.spawn(*self.router.argv(), cwd=self.folder / "router")
        await self.router.wait_until_ready()

    async def switch_to(self, backend: int) -> None:
        """Switch as a deployment does: two services together, then drain and remove the old version."""
        old, self.number = self.number, self.number + 1
        new = {service: Upstream(f"{service}-{self.number}", (f"{backend}",)) for service in ("web", "api")}
        await self.router.change(lambda table: _with_candidates(table, new))
        self.began = time.monotonic()
        await self.router.change(
            lambda table: table.with_live({service: upstream.id for service, upstream in new.items()})
        )
        retired = [f"{service}-{old}" for service in new] if old else []
        await self.router.drain(retired, 10)
        await self.router.change(lambda table: table.without_targets(retired))


def _with_candidates(table: RoutingTable, new: dict[str, Upstream]) -> RoutingTable:
    for service, target in new.items():
        table = table.with_candidate(service, target)
    return table


class HAProxy(Proxy):
    name, executable = "HAProxy, runtime API", "haproxy"

    async def start(self) -> None:
        (self.folder / "haproxy.cfg").write_text(
            f"global\n stats socket {self.folder}/s level admin\n nbthread 2\n"
            "defaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n"
            f"frontend f\n bind 127.0.0.1:{self.front_port}\n default_backend b\n"
            f"backend b\n server s0 127.0.0.1:{self.backend_ports[0]}\n server s1 127.0.0.1:{self.backend_ports[1]} disabled\n"
        )
        self.spawn("haproxy", "-f", "haproxy.cfg")

    async def switch_to(self, backend: int) -> None:
        self.began = time.monotonic()
        for command in (f"set server b/s{backend} state ready", f"set server b/s{1 - backend} state drain"):
            with socket.socket(socket.AF_UNIX) as runtime:
                runtime.connect(f"{self.folder}/s")
                runtime.sendall(command.encode() + b"\n")
                runtime.recv(4096)


class PlainEnvoy(Proxy):
    """Envoy with nothing but one route to one cluster: no statistics, access logs, health checks or limits."""

    name = "Envoy alone"

    async def start(self) -> None:
        (self.folder / "envoy.json").write_text(json.dumps(self._config()))
        program = Router(self.folder / "router").argv()[0]
        self.spawn(program, "-c", "envoy.json", "--concurrency", "2", "--disable-hot-restart", "--log-level", "error")

    async def switch_to(self, backend: int) -> None:
        raise NotImplementedError("its configuration is static")

    def _config(self) -> dict[str, object]:
        http = "type.googleapis.com/envoy.extensions.filters"
        limits = [{"max_connections": 1 << 20, "max_pending_requests": 1 << 20, "max_requests": 1 << 20}]
        endpoint = {"endpoint": {"address": _envoy_address(self.backend_ports[0])}}
        cluster = {
            "name": "b", "type": "STATIC", "connect_timeout": "5s", "circuit_breakers": {"thresholds": limits},
            "load_assignment": {"cluster_name": "b", "endpoints": [{"lb_endpoints": [endpoint]}]},
        }  # fmt: skip
        manager = {
            "@type": f"{http}.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "h",
            "generate_request_id": False,
            "http_filters": [
                {"name": "router", "typed_config": {"@type": f"{http}.http.router.v3.Router", "dynamic_stats": False,
                                                    "suppress_envoy_headers": True}},
            ],
            "route_config": {
                "virtual_hosts": [
                    {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "b"}}]}
                ]
            },
            "upgrade_configs": [{"upgrade_type": "websocket"}],
        }  # fmt: skip
        filters = [{"name": "http", "typed_config": manager}]
        listener = {"name": "l", "address": _envoy_address(self.front_port), "filter_chains": [{"filters": filters}]}
        return {
            "static_resources": {"listeners": [listener], "clusters": [cluster]},
            "stats_config": {"stats_matcher": {"reject_all": True}},
        }


def _envoy_address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


class Nginx(Proxy):
    name, executable = "nginx, reload", "nginx"

    async def start(self) -> None:
        self._write_config(0)
        self.spawn("nginx", "-p", str(self.folder), "-c", "nginx.conf", "-g", "daemon off;")

    async def switch_to(self, backend: int) -> None:
        self._write_config(backend)
        self.began = time.monotonic()
        subprocess.run(
            ["nginx", "-p", str(self.folder), "-c", "nginx.conf", "-s", "reload"], check=True, capture_output=True
        )

    def _write_config(self, to: int) -> None:
        (self.folder / "nginx.conf").write_text(
            "worker_processes 2;\npid nginx.pid;\nerror_log error.log;\nevents {worker_connections 4096;}\n"
            "http {access_log off; keepalive_requests 1000000000; client_body_temp_path body; proxy_temp_path proxy;\n"
            "fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;\n"
            f"upstream b {{server 127.0.0.1:{self.backend_ports[to]}; keepalive 64;}}\n"
            f"server {{listen 127.0.0.1:{self.front_port}; location / {{proxy_pass http://b; proxy_http_version 1.1;"
            ' proxy_set_header Connection "";}}}\n'
        )


class Caddy(Proxy):
    name, executable = "Caddy, admin API", "caddy"

    async def start(self) -> None:
        self.admin = self.front_port + 1
        (self.folder / "caddy.json").write_text(json.dumps(self._config(0)))
        self.spawn("caddy", "run", "--config", "caddy.json")

    async def switch_to(self, backend: int) -> None:
        self.began = time.monotonic()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.admin}/load",
            json.dumps(self._config(backend)).encode(),
            {"Content-Type": "application/json"},
        )
        await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=10).read())

    def _config(self, to: int) -> dict[str, object]:
        proxy = {"handler": "reverse_proxy", "upstreams": [{"dial": f"127.0.0.1:{self.backend_ports[to]}"}]}
        server = {
            "listen": [f"127.0.0.1:{self.front_port}"],
            "routes": [{"handle": [proxy]}],
            "automatic_https": {"disable": True},
        }
        return {"admin": {"listen": f"127.0.0.1:{self.admin}"}, "apps": {"http": {"servers": {"s": server}}}}


PROXIES: tuple[type[Proxy], ...] = (AbreastProxy, HAProxy, Nginx, Caddy)


def run() -> str:
    """Return a table with a row for each installed proxy."""
    rows, missing, skew = [], [], ""
    with tempfile.TemporaryDirectory() as folder:
        for number, proxy_class in enumerate(PROXIES):
            if proxy_class.executable and not shutil.which(proxy_class.executable):
                missing.append(proxy_class.executable)
                continue
            home = Path(folder) / proxy_class.__name__
            home.mkdir()
            row, skews = asyncio.run(_measure(_create_proxy(proxy_class, home, 14000 + 10 * number)))
            rows.append(row)
            if skews:
                skew = f"Skew between the two services' switches in one deployment: p50 {_percentile(skews, 50):.1f} ms, p99 {_percentile(skews, 99):.1f} ms. Goal: p99 < 50 ms."
            print(row, flush=True)
    return "\n".join([
        "## Turn", "",
        f"{TURNS} traffic switches (turns), one every {SWITCH_INTERVAL} s, under POSTs on {CONNECTIONS} keep-alive connections, with the same two backends.",
        "Turn: time from the request to switch until a client sent the last request that the old version answered. Last answer:",
        "time until that answer arrived, which includes the proxy's own time per request under full load.",
        "Goals: 0 failed requests; turn p50 no worse than the best.", "",
        "| | requests | failed | turn p50 | turn p99 | last answer p50 |", "|---|---|---|---|---|---|", *rows, "", skew,
        *([f"Not measured, because not installed: {', '.join(missing)}."] if missing else []),
    ])  # fmt: skip


def _create_proxy(proxy_class: Callable[[Path, int, tuple[int, int]], Proxy], home: Path, front: int) -> Proxy:
    return proxy_class(home, front, (14100, 14101))


async def _measure(proxy: Proxy) -> tuple[str, list[float]]:
    backends = [_start_process("backend", str(port), str(number)) for number, port in enumerate(proxy.backend_ports)]
    fronts = [proxy.front_port, proxy.front_port + 1] if isinstance(proxy, AbreastProxy) else [proxy.front_port]
    try:
        for port in proxy.backend_ports:
            await wait_for_port(port)
        await proxy.start()
        await wait_for_port(proxy.front_port)
        load = _start_process("load", ",".join(map(str, fronts)), str(CONNECTIONS), str(TURNS * SWITCH_INTERVAL + 3))
        await asyncio.sleep(2)
        moments = []
        for number in range(TURNS):
            began = time.monotonic()
            await proxy.switch_to((number + 1) % 2)
            moments.append((proxy.began, (number + 1) % 2))  # type: ignore[attr-defined]
            await asyncio.sleep(max(0.0, SWITCH_INTERVAL - (time.monotonic() - began)))
        outcome = json.loads((await asyncio.to_thread(load.communicate))[0])
    finally:
        proxy.stop()
        for backend in backends:
            backend.kill()
            backend.wait()
    return _format_row(proxy.name, outcome, moments)


def _format_row(name: str, outcome: dict[str, Any], moments: list[tuple[float, int]]) -> tuple[str, list[float]]:
    """Return a proxy's row, and for each switch the skew in ms between the two services' last requests."""
    lasts = [[_last_old_request(seen, moments, number) for number in range(len(moments))] for seen in outcome["seen"]]
    by_turn = list(zip(*lasts, strict=True))
    sent = [max(0.0, *(last[0] for last in each)) for each in by_turn]
    answered = [max(0.0, *(last[1] for last in each)) for each in by_turn]
    skews = (
        [max(last[0] for last in each) - min(last[0] for last in each) for each in by_turn] if len(lasts) > 1 else []
    )
    counts = f"{outcome['sent']:,} | {outcome['failed']:,}"
    row = f"| {name} | {counts} | {_percentile(sent, 50):.1f} ms | {_percentile(sent, 99):.1f} ms | {_percentile(answered, 50):.1f} ms |"
    return row, skews


def _last_old_request(
    seen: list[list[list[float]]], moments: list[tuple[float, int]], number: int
) -> tuple[float, float]:
    """Return when the old version's last request was sent and answered, in ms after switch ``number``."""
    began, to = moments[number]
    until = moments[number + 1][0] if number + 1 < len(moments) else began + SWITCH_INTERVAL
    sent_times, answer_times = seen[1 - to]
    mine = slice(bisect.bisect_left(answer_times, began), bisect.bisect_left(answer_times, until))
    sent, answered = max(sent_times[mine], default=began), max(answer_times[mine], default=began)
    return (sent - began) * 1000, (answered - began) * 1000


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


async def wait_for_port(port: int, attempts: int = 500) -> None:
    for _ in range(attempts):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return
    raise RuntimeError(f"no server listens on port {port}")


def _start_process(role: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.http_load", role, *arguments], stdout=subprocess.PIPE, text=True
    )
