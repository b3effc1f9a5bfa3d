"""Envoy's admin interface: acknowledged resources, requests in flight, runtime values."""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from abreast.core.frozen_dataclass import dataclass
from abreast.machine.lazy_modules import lazy_module
from abreast.machine.tls import ssl_context
from abreast.machine.unix_sockets import short_socket_path

if TYPE_CHECKING:
    import httpx2
else:
    httpx2 = lazy_module("httpx2")

ADMIN_SOCKET = "admin.sock"
"""The socket of the interface, in the folder of the router."""

TIMEOUT = 10.0

WARMING = "cluster_manager.warming_clusters"
RESOURCE_STATISTICS = f"version_text$|update_(rejected|failure)$|^{WARMING}$"


@dataclass(frozen=True, slots=True)
class ResourceStatus:
    """What Envoy has loaded: ``versions`` and the number of rejected updates, by resource.

    ``is_warming``: clusters wait for the first health check of their instances.
    """

    versions: Mapping[str, str]
    rejections: Mapping[str, int]
    is_warming: bool


class EnvoyAdmin:
    """The admin interface of the Envoy that runs in ``home``.

    Methods raise httpx2.TransportError or OSError if Envoy does not answer.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._client: httpx2.AsyncClient | None = None

    def was_started(self) -> bool:
        """Return whether an Envoy has run here: its socket is left."""
        return (self._home / ADMIN_SOCKET).exists()

    async def is_ready(self) -> bool:
        """Return whether Envoy serves."""
        try:
            answer = await self._get("/ready")
        except httpx2.TransportError:
            return False
        return answer.status_code == 200

    async def resource_status(self) -> ResourceStatus:
        """Return what Envoy has made of ``clusters``, ``listeners``, ``live`` and ``candidates``."""
        versions: dict[str, str] = {}
        rejections: Counter[str] = Counter()
        is_warming = True
        for line in (await self._get(f"/stats?filter={RESOURCE_STATISTICS}")).text.splitlines():
            name, _, value = line.partition(": ")
            if name == WARMING:
                is_warming = value != "0"
            elif name.endswith("version_text"):
                versions[_resource_name(name)] = value.strip('"')
            elif value.isdigit():
                rejections[_resource_name(name)] += int(value)
        return ResourceStatus(versions, rejections, is_warming)

    async def active_requests(self, clusters: Iterable[str]) -> Mapping[str, int]:
        """Return the number of requests in flight by cluster, including streams and websockets."""
        names = "|".join(map(re.escape, clusters))
        answer = await self._get(f"/stats?type=Gauges&filter=^cluster\\.({names})\\.upstream_rq_active$")
        return {line.split(".")[1]: int(line.partition(": ")[2]) for line in answer.text.splitlines()}

    async def modify_runtime(self, values: Mapping[str, str]) -> None:
        """Set runtime values, all at once. An empty value removes the key.

        Bypasses the HTTP client, which takes longer than Envoy itself: the traffic switch waits for this call.
        """
        if not values:
            return
        request = f"POST /runtime_modify?{urlencode(values)} HTTP/1.1\r\nHost: admin\r\nContent-Length: 0\r\n\r\n"
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_unix_connection(short_socket_path(self._home / ADMIN_SOCKET))
            with contextlib.closing(writer):
                writer.write(request.encode())
                status_line = await reader.readline()
        if b" 200 " not in status_line:
            raise ConnectionError(f"Envoy's admin interface answered {status_line.decode(errors='replace').strip()!r}")

    async def listening_ports(self) -> frozenset[int]:
        """Return the TCP ports that Envoy listens on."""
        answer = await self._get("/listeners?format=json")
        statuses: list[dict[str, Any]] = answer.json().get("listener_statuses", [])
        sockets = (status["local_address"].get("socket_address") for status in statuses)
        return frozenset(socket["port_value"] for socket in sockets if socket)

    async def _get(self, path: str) -> "httpx2.Response":
        if self._client is None:
            uds, limits = short_socket_path(self._home / ADMIN_SOCKET), httpx2.Limits(max_keepalive_connections=0)
            transport = httpx2.AsyncHTTPTransport(verify=ssl_context(), uds=uds, limits=limits)
            self._client = httpx2.AsyncClient(transport=transport, base_url="http://admin", timeout=TIMEOUT)
        return await self._client.get(path)


def _resource_name(stat: str) -> str:
    if stat.startswith("cluster_manager"):
        return "clusters"
    if stat.startswith("listener_manager"):
        return "listeners"
    match = re.search(r"\.rds\.(\w+)\.", stat)
    return match[1] if match else stat
