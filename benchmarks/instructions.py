"""How many instructions a proxy executes for a request, counted by valgrind: the same however busy the machine is."""

import asyncio
import re
import subprocess
import tempfile
from pathlib import Path

from benchmarks.traffic import Proxy, wait_for_port

COUNTER = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")
FEW, MANY = 500, 2500
"""Requests of two runs. Their difference is free of what it takes to start."""


def instructions_for_a_request(
    proxy_class: type[Proxy], front: int, servers: tuple[int, int], load: tuple[str, ...]
) -> float:
    """Return the instructions in user space for one request of h2load with the options ``load``."""
    few, many = (_instructions(proxy_class, front, servers, (*load, "-n", str(count))) for count in (FEW, MANY))
    return (many - few) / (MANY - FEW)


def _instructions(proxy_class: type[Proxy], front: int, servers: tuple[int, int], load: tuple[str, ...]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        proxy = proxy_class(Path(folder), front, servers)
        try:
            asyncio.run(_start(proxy))
            command = ["h2load", "-t1", "-c4", *load, f"http://127.0.0.1:{front}/"]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        finally:
            proxy.stop()
        assert " 0 failed, 0 errored" in told, told
        counted = re.search(r"I\s+refs:\s+([\d,]+)", (Path(folder) / "log").read_text())
        assert counted
        return int(counted[1].replace(",", ""))


async def _start(proxy: Proxy) -> None:
    await proxy.start()
    proxy.restart_under(*COUNTER)
    await wait_for_port(proxy.front_port, attempts=3000)
