"""A site and the services that it routes to share one address, and switch together."""

import asyncio
import subprocess
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import httpx2
import pytest

from abreast.core.site_rules.rules import SiteRules
from abreast.machine.tls import ssl_context
from abreast.machine.unix_sockets import short_socket_path
from abreast.platforms.local.router.router import Router, TableChange
from abreast.platforms.local.router.routing_table import Listener, RoutingTable, Site
from abreast.platforms.local.router.static_site import install_site
from envoy_router import backend, drive, staged, turned, upstream
from sample_project import free_ports

ROUTES = {"/api": "api"}


def site(folder: Path, version: str, routes: dict[str, str] | None = None) -> Site:
    """Install a site whose page is its version, with files below the route, which nobody gets."""
    artifact = folder / "built" / version
    (artifact / "api").mkdir(parents=True)
    for name in ("index.html", "api/x", "apiary.txt"):
        (artifact / name).write_text(version)
    install_site(artifact, SiteRules(), version, None, folder / f"web-{version}")
    return Site(f"web-{version}", folder / f"web-{version}", ROUTES if routes is None else routes)


def both_staged(web: Listener, target: Site, api: Listener, home: Path, port: int, version: str) -> TableChange:
    instance = upstream(home, f"api-{version}", port)
    return lambda table: staged("web", web, target)(staged("api", api, instance)(table))


def both_turned(version: str) -> TableChange:
    return lambda table: table.with_live({"web": f"web-{version}", "api": f"api-{version}"})


def both_gone(ids: list[str]) -> TableChange:
    return lambda table: table.without_targets(ids)


@pytest.mark.exhaustive
def test_no_request_meets_a_site_and_a_service_of_different_releases(tmp_path: Path) -> None:
    """One connection asks for the page and the service in turn: neither answer is ever older than the one before."""
    home = tmp_path / "router"
    front, other, *ports = free_ports(9)
    seen: list[list[str]] = []

    async def ask(stop: asyncio.Event) -> None:
        answers: list[str] = []
        seen.append(answers)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{front}", verify=ssl_context()) as client:
            while not stop.is_set():
                for path in ("/", "/api/x", "/api"):
                    answer = await client.get(path)
                    assert answer.status_code == 200, (path, answer.text)
                    answers.append(answer.text.split()[0])

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        stop, asking = asyncio.Event(), list[asyncio.Task[None]]()
        with ExitStack() as processes:
            for number, port in enumerate(ports):
                version = f"v{number}"
                processes.enter_context(backend(port, version))
                await router.change(
                    both_staged(Listener(front), site(tmp_path, version), Listener(other), home, port, version)
                )
                await router.change(both_turned(version))
                asking = asking or [asyncio.create_task(ask(stop)) for _ in range(4)]
                while len(seen) < 4 or any(answers[-3:] != [version] * 3 for answers in seen):
                    await asyncio.sleep(0.01)
                    assert not any(task.done() for task in asking), [task.exception() for task in asking if task.done()]
                if number:
                    gone = [f"web-v{number - 1}", f"api-v{number - 1}"]
                    assert sum((await router.drain(gone, 10)).values()) == 0
                    await router.change(both_gone(gone))
            stop.set()
            await asyncio.gather(*asking)

    drive(home, story)
    for answers in seen:
        assert all(before <= after for before, after in pairwise(answers)), answers
        assert set(answers) == {f"v{number}" for number in range(len(ports))}


@pytest.mark.exhaustive
def test_each_service_switches_alone_and_back(tmp_path: Path) -> None:
    home = tmp_path / "router"
    front, other, one, two = free_ports(4)

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        async def answers() -> tuple[str, str, str]:
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{front}") as client:
                texts = [(await client.get(path)).text.split()[0] for path in ("/", "/api/x", "/apiary.txt")]
            return texts[0], texts[1], texts[2]

        async def checked(version: str) -> str:
            transport = httpx2.AsyncHTTPTransport(uds=short_socket_path(router.candidate_socket))
            async with httpx2.AsyncClient(transport=transport) as client:
                return (await client.get(f"http://{version}/api/x")).text.split()[0]

        with backend(one, "v1"), backend(two, "v2"):
            await router.change(staged("web", Listener(front), site(tmp_path, "v1")))
            await router.change(turned("web", "web-v1"))
            assert await answers() == ("v1", "no", "v1"), "no release of the service is live"
            await router.change(staged("api", Listener(other), upstream(home, "api-v1", one)))
            await router.change(turned("api", "api-v1"))
            assert await answers() == ("v1", "v1", "v1")
            await router.change(both_staged(Listener(front), site(tmp_path, "v2"), Listener(other), home, two, "v2"))
            assert await answers() == ("v1", "v1", "v1")
            assert (await checked("web-v2"), await checked("web-v1")) == ("v2", "v1"), "candidates are checked together"
            await router.change(turned("api", "api-v2"))
            assert await answers() == ("v1", "v2", "v1")
            await router.change(turned("api", "api-v1"))
            await router.change(turned("web", "web-v2"))
            assert await answers() == ("v2", "v1", "v2")
            await router.change(staged("web", Listener(front), site(tmp_path, "v3", {})))
            await router.change(turned("web", "web-v3"))
            assert await answers() == ("v3", "v3", "v3"), "this release routes nothing"

    drive(home, story)


@pytest.mark.exhaustive
def test_streams_websockets_and_bodies_pass_and_finish_on_the_old_version(tmp_path: Path) -> None:
    home = tmp_path / "router"
    front, other, one, two = free_ports(4)

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        with backend(one, "v1"), backend(two, "v2"):
            first = site(tmp_path, "v1", ROUTES | {"/stream": "api"})
            await router.change(staged("api", Listener(other), upstream(home, "api-v1", one)))
            await router.change(staged("web", Listener(front), first))
            await router.change(lambda table: table.with_live({"web": "web-v1", "api": "api-v1"}))
            reader, writer = await asyncio.open_connection("127.0.0.1", front)
            writer.write(b"GET /api/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            assert b"101 Switching" in await reader.readuntil(b"\r\n\r\n")
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{front}", timeout=30) as client:
                assert (await client.put("/api/x", content=b"x" * 100_000)).text.startswith("v1")
                async with client.stream("GET", "/stream") as stream:
                    parts = stream.aiter_text()
                    text = await anext(parts)
                    await router.change(staged("api", Listener(other), upstream(home, "api-v2", two)))
                    await router.change(turned("api", "api-v2"))
                    assert (await router.drain(["api-v1"], 0.1))["api-v1"] >= 1
                    assert (await client.get("/api/x")).text.startswith("v2")
                    text += "".join([part async for part in parts])
                assert text == "v1" * 30
            writer.write(b"still there?")
            assert await reader.read(100) == b"v1:still there?"
            writer.close()
            assert (await router.drain(["api-v1"], 10))["api-v1"] == 0

    drive(home, story)


def test_a_site_whose_files_are_lost_does_not_take_the_others_off(tmp_path: Path) -> None:
    home = tmp_path / "router"
    front, other = free_ports(2)

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        whole, lost = site(tmp_path, "v1", {}), Site("lost-1", tmp_path / "lost")
        table = RoutingTable().with_listener("web", Listener(front)).with_candidate("web", whole)
        table = table.with_listener("lost", Listener(other)).with_candidate("lost", lost)
        await router.change(lambda _: table.with_live({"web": "web-v1", "lost": "lost-1"}))
        async with httpx2.AsyncClient() as client:
            assert (await client.get(f"http://127.0.0.1:{front}/")).text == "v1"
            assert (await client.get(f"http://127.0.0.1:{other}/")).status_code == 500

    drive(home, story)
