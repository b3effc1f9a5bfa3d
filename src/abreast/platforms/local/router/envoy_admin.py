"""Envoy's admin interface: acknowledged resources, requests in flight, runtime values."""

import asyncio
import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from abreast.core.frozen_dataclass import dataclass
from abreast.machine.unix_sockets import short_socket_path

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

    Methods raise OSError if Envoy does not answer, or does not say 200.
    """

    def __init__(self, home: Path) -> None:
        self._home = home

    def was_started(self) -> bool:
        """Return whether an Envoy has run here: its socket is left."""
        return (self._home / ADMIN_SOCKET).exists()

    async def is_ready(self) -> bool:
        """Return whether Envoy serves."""
        try:
            await self._request("GET /ready")
        except OSError:
            return False
        return True

    async def resource_status(self) -> ResourceStatus:
        """Return what Envoy has made of ``clusters``, ``listeners``, ``live`` and ``candidates``."""
        versions: dict[str, str] = {}
        rejections: Counter[str] = Counter()
        is_warming = True
        query = urlencode({"filter": RESOURCE_STATISTICS})
        for line in (await self._request(f"GET /stats?{query}")).splitlines():
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
        query = urlencode({"type": "Gauges", "filter": rf"^cluster\.({names})\.upstream_rq_active$"})
        answer = await self._request(f"GET /stats?{query}")
        return {line.split(".")[1]: int(line.partition(": ")[2]) for line in answer.splitlines()}

    async def modify_runtime(self, values: Mapping[str, str]) -> None:
        """Set runtime values, all at once. An empty value removes the key."""
        if values:
            await self._request(f"POST /runtime_modify?{urlencode(values)}")

    async def listening_ports(self) -> frozenset[int]:
        """Return the TCP ports that Envoy listens on."""
        answer = json.loads(await self._request("GET /listeners?format=json"))
        statuses: list[dict[str, Any]] = answer.get("listener_statuses", [])
        sockets = (status["local_address"].get("socket_address") for status in statuses)
        return frozenset(socket["port_value"] for socket in sockets if socket)

    async def _request(self, line: str) -> str:
        """Return the answer, which Envoy always sends in chunks.

        Uses no HTTP client, which takes longer than Envoy itself: the traffic switch waits for this, ten times.
        """
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_unix_connection(short_socket_path(self._home / ADMIN_SOCKET))
            with contextlib.closing(writer):
                writer.write(f"{line} HTTP/1.1\r\nHost: admin\r\nContent-Length: 0\r\n\r\n".encode())
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                    body = bytearray()
                    while size := int(await reader.readline(), 16):
                        body += (await reader.readexactly(size + 2))[:size]
                except (EOFError, ValueError) as error:
                    raise ConnectionError("Envoy's admin interface did not answer to the end") from error
        status = head.partition(b"\r\n")[0]
        if b" 200 " not in status:
            raise ConnectionError(f"Envoy's admin interface answered {status.decode(errors='replace')!r}")
        return body.decode()


def _resource_name(stat: str) -> str:
    if stat.startswith("cluster_manager"):
        return "clusters"
    if stat.startswith("listener_manager"):
        return "listeners"
    match = re.search(r"\.rds\.(\w+)\.", stat)
    return match[1] if match else stat
