"""The router moves users between real processes, through a real Envoy, and loses no request."""

import asyncio
import contextlib
import gzip
import os
import re
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abreast.core.errors import PlatformError
from abreast.demo.load_generator import LoadGenerator
from abreast.machine.unix_sockets import short_socket_path
from abreast.platforms.local.router.envoy_routes import live_routes, runtime_overrides
from abreast.platforms.local.router.files import EndpointPublisher
from abreast.platforms.local.router.router import Router
from abreast.platforms.local.router.routing_table import Listener, RoutingTable, Site, Upstream
from abreast.platforms.local.router.static_site import install_site, is_hashed, read_rules
from envoy_router import backend, drive, envoy, staged, turned, upstream, without
from sample_project import free_ports


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / ("long-name-" * 9) / "router"


@pytest.mark.exhaustive
def test_no_request_fails_over_many_turns_though_the_old_process_is_killed(home: Path) -> None:
    front, *ports = free_ports(9)
    load = LoadGenerator(front, "/", b"x" * 100, connections=16, rate=1500)

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        with contextlib.ExitStack() as processes:
            old: tuple[str, subprocess.Popen[bytes]] | None = None
            for number, port in enumerate(ports):
                name = f"v{number}"
                new = processes.enter_context(backend(port, name))
                target = upstream(home, f"web-{name}", port)
                await router.change(staged("web", Listener(front), target))
                await router.change(turned("web", target.id))
                if old is None:
                    load.start()
                else:
                    gone = old[0]
                    assert sum((await router.drain([gone], 10)).values()) == 0
                    await router.change(without(gone))
                    old[1].kill()
                await asyncio.sleep(0.2)
                old = (target.id, new)
            tally = await asyncio.to_thread(load.stop)
        assert tally.failure_samples == []
        assert tally.failed == 0
        assert tally.sent > 500
        assert len(tally.responses_by_release) == len(ports)

    drive(home, story)


@asynccontextmanager
async def two_instances(
    home: Path, router: Router, front: int
) -> AsyncIterator[tuple[httpx2.AsyncClient, subprocess.Popen[bytes], subprocess.Popen[bytes]]]:
    """A version with two instances, which have a second to begin each response, and a client of its users."""
    one, two = free_ports(2)
    with backend(one, "i1") as first, backend(two, "i2") as second:
        EndpointPublisher(home).record({"i1": one, "i2": two})
        target = Upstream("web-1", ("i1", "i2"), response_timeout="1s")
        await router.change(staged("web", Listener(front), target))
        await router.change(turned("web", "web-1"))
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{front}", timeout=30) as client:
            yield client, first, second


@pytest.mark.exhaustive
def test_an_instance_that_hangs_loses_no_get_and_gets_no_more_requests(home: Path) -> None:
    (front,) = free_ports(1)

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        async with two_instances(home, router, front) as (client, _one, two):
            two.send_signal(signal.SIGSTOP)
            answers = await asyncio.gather(*(client.get("/") for _ in range(40)))
            assert [answer.status_code for answer in answers] == [200] * 40
            assert {answer.headers["x-release"] for answer in answers} == {"i1"}
            posts = [0]
            while posts != [200] * 20:
                posts = [answer.status_code for answer in await asyncio.gather(*(client.post("/") for _ in range(20)))]
                assert set(posts) <= {200, 504}
            two.send_signal(signal.SIGCONT)
            while (await client.get("/")).headers["x-release"] != "i2":  # noqa: ASYNC110 (the router tells nobody)
                await asyncio.sleep(0.05)

    drive(home, story)


def test_a_request_that_no_instance_answers_ends_and_a_long_stream_does_not(home: Path) -> None:
    (front,) = free_ports(1)

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        async with two_instances(home, router, front) as (client, one, two):
            assert (await client.get("/stream")).text in {"i1" * 30, "i2" * 30}
            for process in (one, two):
                process.send_signal(signal.SIGSTOP)
            assert (await client.post("/", content=b"x")).status_code == 504

    drive(home, story)


@pytest.mark.exhaustive
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_instance_loses_no_get(home: Path, sent: signal.Signals) -> None:
    (front,) = free_ports(1)

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        async with two_instances(home, router, front) as (client, _one, two):
            asked = [asyncio.create_task(client.get("/")) for _ in range(100)]
            two.send_signal(sent)
            asked += [asyncio.create_task(client.get("/")) for _ in range(100)]
            assert {(await answer).status_code for answer in asked} == {200}

    drive(home, story)


def test_envoy_counts_nothing_that_nobody_reads(home: Path) -> None:
    """Each statistic is written in each request."""
    front, port = free_ports(2)

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        with backend(port, "v1"):
            await router.change(staged("web", Listener(front), upstream(home, "web-1", port)))
            await router.change(turned("web", "web-1"))
            async with httpx2.AsyncClient() as client:
                assert (await client.get(f"http://127.0.0.1:{front}/")).status_code == 200
            admin = httpx2.AsyncHTTPTransport(uds=short_socket_path(home / "admin.sock"))
            async with httpx2.AsyncClient(transport=admin) as client:
                told = (await client.get("http://admin/stats")).text
        counted = {line.partition(":")[0].rpartition(".")[2] for line in told.splitlines()}
        assert counted == {
            "version_text",
            "update_rejected",
            "update_failure",
            "upstream_rq_active",
            "warming_clusters",
        }

    drive(home, story)


@pytest.mark.exhaustive
def test_streams_and_websockets_finish_on_the_old_version(home: Path) -> None:
    front, one, two = free_ports(3)

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        with backend(one, "v1"), backend(two, "v2"):
            await router.change(
                lambda t: t.with_listener("web", Listener(front)).with_candidate("web", upstream(home, "web-1", one))
            )
            await router.change(lambda t: t.with_live({"web": "web-1"}))
            reader, writer = await asyncio.open_connection("127.0.0.1", front)
            writer.write(b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            assert b"101 Switching" in await reader.readuntil(b"\r\n\r\n")
            async with httpx2.AsyncClient() as client:
                async with client.stream("GET", f"http://127.0.0.1:{front}/stream", timeout=30) as stream:
                    parts = stream.aiter_text()
                    text = await anext(parts)
                    await router.change(staged("web", Listener(front), upstream(home, "web-2", two)))
                    await router.change(turned("web", "web-2"))
                    assert (await router.drain(["web-1"], 0.1))["web-1"] >= 1
                    assert (await client.get(f"http://127.0.0.1:{front}/")).text.startswith("v2")
                    text += "".join([part async for part in parts])
                assert text == "v1" * 30
            writer.write(b"still there?")
            assert await reader.read(100) == b"v1:still there?"
            writer.close()
            assert (await router.drain(["web-1"], 10))["web-1"] == 0

    drive(home, story)


def test_a_port_is_never_shared_silently(home: Path, tmp_path: Path) -> None:
    (front,) = free_ports(1)

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        change = lambda t: t.with_listener("web", Listener(front)).with_candidate("web", upstream(home, "web-1", 1))  # noqa: E731
        with (
            socket.create_server(("127.0.0.1", front)),
            pytest.raises(PlatformError, match=f"port {front}.*process {os.getpid()}"),
        ):
            await router.change(change)
        await router.change(change)
        async with envoy(tmp_path / "other") as (other, _):
            with pytest.raises(PlatformError, match=f"port {front}.*envoy"):
                await other.change(change)

    drive(home, story)


@pytest.mark.exhaustive
def test_a_killed_envoy_and_a_killed_writer_are_healed(home: Path) -> None:
    front, one = free_ports(2)

    async def story(router: Router, process: subprocess.Popen[bytes]) -> None:
        with backend(one, "v1"):
            await router.change(
                lambda t: t.with_listener("web", Listener(front)).with_candidate("web", upstream(home, "w-1", one))
            )
            async with httpx2.AsyncClient() as client:
                # As a writer leaves it that was killed after the turn and before anything was written.
                await router._admin.modify_runtime(
                    runtime_overrides(router.table(), router.table().with_live({"web": "w-1"}))
                )
                assert (await client.get(f"http://127.0.0.1:{front}/")).text.startswith("v1")
                await Router(home).change(lambda t: t)
                assert (await client.get(f"http://127.0.0.1:{front}/")).status_code == 503
                # As one that was killed after the resources and before the table.
                router._files.write("live", live_routes(router.table().with_live({"web": "w-1"})))
                await Router(home).change(turned("web", "w-1"))
                assert (await client.get(f"http://127.0.0.1:{front}/")).text.startswith("v1")
            process.send_signal(signal.SIGKILL)
            process.wait()
            async with envoy(home), httpx2.AsyncClient() as client:
                assert (await client.get(f"http://127.0.0.1:{front}/")).text.startswith("v1")

    drive(home, story)


def test_what_envoy_refuses_is_told_and_users_are_served_as_before(home: Path) -> None:
    front, one = free_ports(2)

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        with backend(one, "v1"):
            await router.change(
                lambda t: t.with_listener("web", Listener(front)).with_candidate("web", upstream(home, "w-1", one))
            )
            await router.change(lambda t: t.with_live({"web": "w-1"}))
            with pytest.raises(PlatformError, match="Envoy rejected"):
                await router.change(lambda t: t.with_candidate("web", upstream(home, "w-2", 99999)))
            async with httpx2.AsyncClient() as client:
                assert (await client.get(f"http://127.0.0.1:{front}/")).text.startswith("v1")
            await router.change(lambda t: t.with_candidate("web", upstream(home, "w-3", one)))

    drive(home, story)


def test_two_services_at_one_listener_are_never_both_live(home: Path) -> None:
    front, port = free_ports(2)

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        for name in ("old", "new"):
            await router.change(staged(name, Listener(front), upstream(home, f"{name}-v1", port)))
        await router.change(turned("old", "old-v1"))
        with pytest.raises(PlatformError, match=f"old and new would both be live at port {front}"):
            await router.change(turned("new", "new-v1"))
        assert router.table().live == {"old": "old-v1"}
        await router.change(lambda table: table.with_live({"old": None, "new": "new-v1"}))
        assert router.table().live == {"new": "new-v1"}

    drive(home, story)


@pytest.mark.exhaustive
def test_many_services_hosts_and_headers(home: Path) -> None:
    shared, one, *ports = free_ports(62)

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        with backend(one, "v1"):
            await asyncio.gather(
                *(
                    router.change(staged(f"s{n}", Listener(p), upstream(home, f"s{n}-1", one)))
                    for n, p in enumerate(ports)
                ),
                *(
                    router.change(staged(h, Listener(shared, f"{h}.localhost"), upstream(home, f"{h}-1", one)))
                    for h in ("shop", "api")
                ),
            )
            names = [*(f"s{n}" for n in range(len(ports))), "shop"]
            await router.change(lambda t: t.with_live({name: f"{name}-1" for name in names}))
            async with httpx2.AsyncClient() as client:
                answers = [(await client.get(f"http://127.0.0.1:{port}/")).text for port in ports]
                assert all(re.fullmatch(r"v1 x-forwarded-for: [0-9.]+", text.lower()) for text in answers)
                assert not any("place" in text for text in answers)
                at = f"http://127.0.0.1:{shared}/"
                assert (await client.get(at, headers={"Host": "shop.localhost"})).status_code == 200
                assert (await client.get(at, headers={"Host": f"shop.localhost:{shared}"})).status_code == 200
                assert (await client.get(at, headers={"Host": "api.localhost"})).status_code == 503  # nothing live
                spoofed = {"Host": "other", "x-abreast-place": f"{shared}/shop.localhost"}
                assert (await client.get(at, headers=spoofed)).status_code == 404

    drive(home, story)


# ── sites ──────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    made = tmp_path / "artifact"
    for name, text in {
        "index.html": "first page", "version.json": "{}", "docs/index.html": "docs", "LICENSE": "free", ".env": "hidden",
        "assets/app.3f2a9c1b.js": "let app", "a b.txt": "space", ".well-known/x.txt": "known", "data.bin": "01",
    }.items():  # fmt: skip
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(text)
    for name in ("index.html", "assets/app.3f2a9c1b.js"):
        (made / f"{name}.gz").write_bytes(gzip.compress((made / name).read_bytes()))
    (made / "assets/app.3f2a9c1b.js.br").write_bytes(b"not really brotli")
    (made / "passwd.txt").symlink_to("/etc/passwd")
    (made / "dotenv.txt").symlink_to(".env")
    return made


def test_a_site_is_served_as_browsers_and_caches_expect(home: Path, artifact: Path, tmp_path: Path) -> None:
    (front,) = free_ports(1)
    install_site(artifact, read_rules(artifact), "0123abcd", None, tmp_path / "site")
    immutable, check = "public, max-age=31536000, immutable", "no-cache"

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        site = Site("web-1", tmp_path / "site")
        await router.change(lambda t: t.with_listener("web", Listener(front)).with_candidate("web", site))
        transport = httpx2.AsyncHTTPTransport(uds=short_socket_path(router.candidate_socket))
        async with httpx2.AsyncClient(transport=transport) as checks:
            assert (await checks.get("http://web-1/version.json")).status_code == 200
        async with httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{front}", headers={"Accept-Encoding": "identity"}
        ) as client:
            assert (await client.get("/")).status_code == 503
            await router.change(lambda t: t.with_live({"web": "web-1"}))
            for path, status, body, kind, control in (
                ("/", 200, "first page", "text/html; charset=utf-8", check),
                ("/?query=1", 200, "first page", "text/html; charset=utf-8", check),
                ("/index.html", 200, "first page", "text/html; charset=utf-8", check),
                ("/deep/route", 404, "Not Found", "text/plain", "no-store"),
                ("/docs/", 200, "docs", "text/html; charset=utf-8", check),
                ("/LICENSE", 200, "free", "application/octet-stream", check),
                ("/version.json", 200, "{}", "application/json", check),
                ("/a%20b.txt", 200, "space", "text/plain; charset=utf-8", check),
                ("/.well-known/x.txt", 200, "known", "text/plain; charset=utf-8", check),
                ("/assets/app.3f2a9c1b.js", 200, "let app", "text/javascript; charset=utf-8", immutable),
                ("/assets/app.00000000.js", 404, "Not Found", "text/plain", "no-store"),
                ("/.env", 404, "Not Found", "text/plain", "no-store"),
                ("/passwd.txt", 404, "Not Found", "text/plain", "no-store"),
                ("/dotenv.txt", 404, "Not Found", "text/plain", "no-store"),
            ):
                answer = await client.get(path)
                told = (
                    answer.status_code,
                    answer.text,
                    answer.headers["content-type"],
                    answer.headers["cache-control"],
                )
                assert told == (status, body, kind, control), path
            for path in ("/", "/assets/app.3f2a9c1b.js"):
                answer = await client.get(path, headers={"Accept-Encoding": "deflate, gzip;q=0.5"})
                assert answer.headers["content-encoding"] == "gzip"
                assert answer.text in {"first page", "let app"}
                assert "accept-encoding" in answer.headers["vary"]
            assert (
                "content-encoding" not in (await client.get("/", headers={"Accept-Encoding": "gzip;q=0, br"})).headers
            )
            async with client.stream(
                "GET", "/assets/app.3f2a9c1b.js", headers={"Accept-Encoding": "gzip, br"}
            ) as answer:
                assert answer.headers["content-encoding"] == "br"
            etag = (await client.get("/")).headers["etag"]
            for sent in (etag, etag.removeprefix("W/"), f'"other", {etag}'):
                again = await client.get("/", headers={"If-None-Match": sent})
                assert (again.status_code, again.text, again.headers["etag"]) == (304, "", etag)
                assert "location" not in again.headers
            assert (await client.get("/", headers={"If-None-Match": '"other"'})).status_code == 200
            head = await client.head("/")
            assert (head.status_code, head.text, head.headers["content-length"]) == (200, "", "10")
            posted = await client.post("/")
            assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")

    drive(home, story)


def test_pages_that_are_open_keep_their_assets(artifact: Path, tmp_path: Path) -> None:
    rules = read_rules(artifact)
    install_site(artifact, rules, "1", None, tmp_path / "one")
    (artifact / "assets/app.3f2a9c1b.js").rename(artifact / "assets/app.99999999.js")
    install_site(artifact, rules, "2", tmp_path / "one", tmp_path / "two")
    install_site(artifact, rules, "2", tmp_path / "one", tmp_path / "two")
    names = {path.relative_to(tmp_path / "two").as_posix() for path in (tmp_path / "two").rglob("*") if path.is_file()}
    assert {"plain/assets/app.3f2a9c1b.js", "plain/assets/app.99999999.js", "gzip/assets/app.3f2a9c1b.js"} <= names
    assert not any("passwd" in name or ".env" in name for name in names)
    assert not os.path.lexists(tmp_path / ".two")


@pytest.mark.parametrize(
    ("name", "hashed"),
    [
        ("app.3f2a9c1b.js", True), ("index-BxY3k2_9.css", True), ("main.8c7a6f5e4d.js.map", True), ("logo-1a2b3c4d.svg", True),
        ("index.html", False), ("jquery-3.7.1.js", False), ("app.js", False), ("bootstrap.bundle.js", False),
        ("a-component.js", False), ("robots.txt", False),
    ],
)  # fmt: skip
def test_names_with_a_hash_are_known(name: str, hashed: bool) -> None:
    assert is_hashed(name) is hashed


# ── the table ──────────────────────────────────────────────────────────────────────────────────

IDS = st.sampled_from(["a1", "a2", "b1", "b2"])
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("candidate"), IDS),
        st.tuples(st.just("turn"), IDS),
        st.tuples(st.just("off"), IDS),
        st.tuples(st.just("without"), IDS),
    ),
    max_size=30,
)


@given(MOVES)
def test_users_and_checks_only_reach_what_is_there(moves: list[tuple[str, str]]) -> None:
    table = RoutingTable()
    for move, name in moves:
        service = name[0]
        if move == "candidate":
            table = table.with_listener(service, Listener(ord(service))).with_candidate(
                service, Upstream(name, (f"{name}-0",))
            )
        elif move == "turn" and name not in table.targets:
            with pytest.raises(KeyError):
                table.with_live({service: name})
        elif move in {"turn", "off"}:
            placed = table.with_listener(service, Listener(ord(service))) if move == "turn" else table
            table = placed.with_live({service: name if move == "turn" else None})
        else:
            table = table.without_targets([name])
        assert set(table.live.values()) | set(table.candidates.values()) <= set(table.targets)
        assert set(table.live) | set(table.candidates) <= set(table.listeners)
