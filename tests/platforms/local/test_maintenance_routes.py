"""Maintenance at a real Envoy: the page, who is let through, and that switching it fails no request."""

import asyncio
import json
import re
import signal
import subprocess
from collections import Counter
from pathlib import Path

import httpx2
import pytest

from abreast.core.maintenance import MaintenanceMode, MaintenancePage, address_range
from abreast.platforms.local.router.router import Router
from abreast.platforms.local.router.routing_table import Listener, Site
from abreast.platforms.local.router.static_site import install_site, read_rules
from envoy_router import backend, drive, staged, started, turned, upstream
from html_checks import faults_of_page
from sample_project import free_ports

MODE = MaintenanceMode(
    "a new disk", "ada", "2026-11-27T00:00:00.000Z", message="Back at 5 & later: 100%", retry_after=120
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "router"


def allowing(*addresses: str) -> MaintenanceMode:
    return MaintenanceMode("a new disk", "ada", "", allow=tuple(map(address_range, addresses)))


async def serve(home: Path, router: Router, front: int, port: int, address: str = "127.0.0.1") -> None:
    """Have one version of the service web live."""
    await router.change(staged("web", Listener(front, address=address), upstream(home, "web-1", port)))
    await router.change(turned("web", "web-1"))


async def switch(router: Router, mode: MaintenanceMode | None, *services: str) -> None:
    await router.change(lambda table: table.with_maintenance(dict.fromkeys(services or ("web",), mode)))


def test_browsers_get_a_page_and_programs_get_json(home: Path) -> None:
    front, port = free_ports(2)

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        with backend(port, "v1"):
            await serve(home, router, front, port)
            await switch(router, MODE)
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{front}") as client:
                page = await client.get("/any/path", headers={"accept": "text/html,application/json;q=0.9"})
                data = await client.post("/api", content=b"x" * 100_000, headers={"accept": "application/json"})
                problem = await client.get("/api", headers={"accept": "application/problem+json"})
                head = await client.head("/")
        assert {answer.status_code for answer in (page, data, problem, head)} == {503}
        for answer in (page, data, problem, head):
            assert answer.headers["retry-after"] == "120"
            assert answer.headers["cache-control"] == "no-store"
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "Back at 5 &amp; later: 100%" in page.text
        assert faults_of_page(page.text) == []
        assert data.headers["content-type"] == problem.headers["content-type"] == "application/json"
        assert data.json() == {"error": "maintenance", "message": "Back at 5 & later: 100%", "retry_after": 120}
        assert head.content == b""

    drive(home, story)


def test_a_page_of_the_projects_own_may_be_as_large_as_is_allowed(home: Path) -> None:
    front, port = free_ports(2)
    own = "<title>ours</title>" + "é" * 32_000

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        with backend(port, "v1"):
            await serve(home, router, front, port)
            await switch(router, MaintenanceMode("r", "ada", "", page=MaintenancePage(own)))
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{front}") as client:
                assert (await client.get("/")).text == own

    drive(home, story)


@pytest.mark.parametrize(
    ("listens", "peer", "forwarded", "admitted"),
    [
        ("127.0.0.1", "127.0.0.9", None, True),
        ("127.0.0.1", "127.0.0.1", None, False),
        ("127.0.0.1", "127.0.0.1", "203.0.113.77", True),
        ("127.0.0.1", "127.0.0.1", "203.0.114.1", False),
        ("127.0.0.1", "127.0.0.1", "203.0.113.77, 198.51.100.1", False),
        ("127.0.0.1", "127.0.0.1", "198.51.100.1, 203.0.113.77", True),
        ("127.0.0.1", "127.0.0.1", "2001:db8:0:0:1::7", True),
        ("127.0.0.1", "127.0.0.1", "2001:db9::7", False),
        ("127.0.0.1", "127.0.0.9", "198.51.100.1", False),
        ("::1", "::1", None, True),
        ("::1", "::1", "203.0.114.1", False),
    ],
)
def test_who_is_let_through(home: Path, listens: str, peer: str, forwarded: str | None, admitted: bool) -> None:
    front, port = free_ports(2)

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        with backend(port, "v1"):
            await serve(home, router, front, port, listens)
            await switch(router, allowing("127.0.0.9", "203.0.113.5/24", "2001:DB8::/32", "::1"))
            transport = httpx2.AsyncHTTPTransport(local_address=peer)
            host = f"[{listens}]" if ":" in listens else listens
            async with httpx2.AsyncClient(transport=transport, base_url=f"http://{host}:{front}") as client:
                answer = await client.get("/", headers={"x-forwarded-for": forwarded} if forwarded else {})
                assert answer.status_code == (200 if admitted else 503)
                assert not admitted or answer.text.startswith("v1")

    drive(home, story)


def test_no_request_fails_while_it_goes_on_and_off(home: Path) -> None:
    front, port = free_ports(2)

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        with backend(port, "v1"):
            await serve(home, router, front, port)
            seen, done = Counter[str](), asyncio.Event()

            async def ask(client: httpx2.AsyncClient) -> None:
                while not done.is_set():
                    answer = await client.get("/", headers={"accept": "application/json"})
                    is_page = answer.status_code == 503 and answer.json()["error"] == "maintenance"
                    seen["page" if is_page else answer.text.split()[0]] += 1

            client = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{front}", timeout=30)
            async with client, asyncio.TaskGroup() as group:
                for _number in range(8):
                    group.create_task(ask(client))
                for _number in range(6):
                    await switch(router, MODE)
                    await router.drain(["web-1"], 5.0)
                    before = seen["v1"]
                    await asyncio.sleep(0.1)
                    assert seen["v1"] == before
                    await switch(router, None)
                    await asyncio.sleep(0.3)
                    assert seen["v1"] > before
                done.set()
            assert seen.keys() == {"page", "v1"}
            assert seen.total() > 500

    drive(home, story)


def test_a_turn_goes_on_behind_it_and_a_restart_of_envoy_keeps_it(home: Path) -> None:
    front, port, new = free_ports(3)

    async def story(router: Router, process: subprocess.Popen[bytes]) -> None:
        with backend(port, "v1"), backend(new, "v2"):
            await serve(home, router, front, port)
            await switch(router, allowing("203.0.113.7"))
            await router.change(staged("web", Listener(front), upstream(home, "web-2", new)))
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{front}") as client:
                us = {"x-forwarded-for": "203.0.113.7"}
                assert (await client.get("/", headers=us)).text.startswith("v1")
                await router.change(turned("web", "web-2"))
                assert (await client.get("/", headers=us)).text.startswith("v2")
                assert (await client.get("/")).status_code == 503
            process.send_signal(signal.SIGKILL)
            process.wait()
            with started(router.argv(), home) as again:
                try:
                    await router.wait_until_ready()
                    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{front}") as client:
                        assert (await client.get("/")).status_code == 503
                        assert (await client.get("/", headers=us)).text.startswith("v2")
                        await switch(router, None)
                        assert (await client.get("/")).text.startswith("v2")
                finally:
                    again.kill()

    drive(home, story)


def test_a_site_in_maintenance_still_serves_its_files_to_whom_it_lets_through(home: Path, tmp_path: Path) -> None:
    front, port = free_ports(2)
    (built := tmp_path / "built").mkdir()
    (built / "index.html").write_text("the site")
    install_site(built, read_rules(built), "etag", None, folder := tmp_path / "site")

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        us = {"x-forwarded-for": "203.0.113.7"}
        with backend(port, "v1"):
            await router.change(staged("api", Listener(port + 1), upstream(home, "api-1", port)))
            await router.change(turned("api", "api-1"))
            await router.change(staged("web", Listener(front), Site("web-1", folder, {"/api": "api"})))
            await router.change(turned("web", "web-1"))
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{front}") as client:

                async def answers(path: str) -> list[int]:
                    return [(await client.get(path, headers=headers)).status_code for headers in ({}, us)]

                await switch(router, allowing("203.0.113.7"), "web")
                assert (await answers("/"), await answers("/api/x")) == ([503, 200], [503, 200])
                assert (await client.get("/", headers=us)).text == "the site"
                assert (await answers("/missing")) == [503, 404]
                await switch(router, MODE, "api")
                assert (await answers("/"), await answers("/api/x")) == ([503, 200], [503, 503])
                await switch(router, None, "web")
                assert (await answers("/"), await answers("/api/x")) == ([200, 200], [503, 503])
                await switch(router, allowing("203.0.113.7"), "api")
                assert (await answers("/"), await answers("/api/x")) == ([200, 200], [503, 200])
                assert json.loads((await client.get("/api/x", headers={"accept": "application/json"})).text)

    drive(home, story)


def test_the_word_of_a_proxy_on_this_machine_is_passed_on(home: Path) -> None:
    front, port = free_ports(2)
    told: list[str] = []

    async def tell_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        async with await asyncio.start_server(tell_head, "127.0.0.1", port):
            await serve(home, router, front, port)
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{front}") as client:
                proxied = {"x-forwarded-proto": "https", "x-forwarded-for": "203.0.113.9", "x-request-id": "mine"}
                for headers in (proxied, {}):
                    assert (await client.get("/", headers=headers)).status_code == 200
        behind, direct = told
        assert "x-forwarded-proto: https\r\n" in behind
        assert re.search(r"x-forwarded-for: 203\.0\.113\.9,[0-9.]+\r\n", behind)
        assert "x-request-id: mine\r\n" in behind
        assert "x-envoy" not in behind + direct
        assert "x-forwarded-proto: http\r\n" in direct

    drive(home, story)
