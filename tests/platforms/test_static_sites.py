"""A static site answers the same on `local` and at Netlify: every documented case, asked on both."""

import asyncio
import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from abreast.platforms.local.router.routing_table import Listener, RoutingTable, Site
from abreast.platforms.local.router.site_tables import PROXY_HEADER, proxy_cluster, proxy_origins
from abreast.platforms.local.router.static_site import install_site, read_rules
from envoy_router import envoy
from netlify_stage import netlify_stage
from random_sites import random_site
from sample_project import free_ports
from site_answers import answer_of
from static_site_cases import CASES, OTHER, Ask, SiteCase


class Answer(NamedTuple):
    """What a server answered, as far as cases tell."""

    status: int
    body: str
    location: str
    headers: Mapping[str, str]


class EchoHandler(BaseHTTPRequestHandler):
    """Answers with what it was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        body = f"other {self.command} {self.path}{f' {sent}' if sent else ''}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 (named by the standard library)

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


@contextmanager
def other_server() -> Iterator[str]:
    """Serve another site; its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), EchoHandler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def write_site(case: SiteCase, folder: Path, other: str) -> Path:
    for name, text in case.contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.replace(OTHER, other))
    return folder


def install_case(case: SiteCase, folder: Path, other: str) -> Site:
    artifact, into = write_site(case, folder / "built" / case.name, other), folder / case.name
    rules = read_rules(artifact)
    install_site(artifact, rules, "1", None, into)
    return Site(f"{case.name}-1", into, proxies=tuple(proxy_origins(rules.redirects)))


def ask_server(client: httpx2.Client, url: str, ask: Ask) -> Answer:
    content = "body" if ask.method == "POST" else None
    headers = {"Accept-Encoding": "identity", **ask.send}
    got = client.request(ask.method, f"{url}{ask.path}", headers=headers, content=content)
    wanted = {name: got.headers.get(name, "") for name in ask.headers}
    redirected = 300 <= got.status_code < 400
    return Answer(got.status_code, "" if redirected else got.text, got.headers.get("location", ""), wanted)


def expected(ask: Ask) -> Answer:
    return Answer(ask.status, ask.body, ask.location, ask.headers)


def differences(client: httpx2.Client, case: SiteCase, url: str) -> list[str]:
    """Return the requests of a case that a server answers otherwise."""
    found = ((ask, ask_server(client, url, ask)) for ask in case.asks)
    return [f"{case.name}: {ask.path}: {got}, expected {expected(ask)}" for ask, got in found if got != expected(ask)]


def test_the_router_answers_as_documented(tmp_path: Path) -> None:
    ports = free_ports(len(CASES))

    async def story(other: str, client: httpx2.Client) -> list[str]:
        async with envoy(tmp_path / "router") as (router, _):
            table = RoutingTable()
            for number, (case, port) in enumerate(zip(CASES, ports, strict=True)):
                site = install_case(replace(case, name=f"s{number}"), tmp_path, other)
                table = table.with_listener(f"s{number}", Listener(port)).with_candidate(f"s{number}", site)
            await router.change(lambda _: table)
            await router.change(
                lambda now: now.with_live({f"s{number}": f"s{number}-1" for number in range(len(CASES))})
            )
            return [
                difference
                for case, port in zip(CASES, ports, strict=True)
                for difference in await asyncio.to_thread(differences, client, case, f"http://127.0.0.1:{port}")
            ]

    with other_server() as other, httpx2.Client() as client:
        assert asyncio.run(story(other, client)) == []


FILES = (
    "index.html",
    "a.html",
    "b/index.html",
    "p.txt",
    "q",
    "t/a.html",
    "t/b/index.html",
    "plain.html",
    "404.html",
    "a.b",
)


@pytest.mark.exhaustive
def test_the_router_answers_as_the_rules_say_to_random_requests(tmp_path: Path) -> None:
    """The router's script and the rules of the core are two programs; Netlify's own matcher is beside the latter."""
    chance = random.Random(2)
    sites = [random_site(chance) for _ in range(80)]
    (port,) = free_ports(1)

    async def story(other: str, client: httpx2.Client) -> list[tuple[str, Answer, Answer]]:
        async with envoy(tmp_path / "router") as (router, _):
            cases = [
                SiteCase(f"s{number}", FILES, tuple(asks), rules["_redirects"], rules["_headers"])
                for number, (rules, asks) in enumerate(sites)
            ]
            table = RoutingTable()
            for case in cases:
                site = install_case(case, tmp_path, other)
                listener = Listener(port, f"{case.name}.localhost")
                table = table.with_listener(case.name, listener).with_candidate(case.name, site)
            await router.change(lambda _: table)
            await router.change(lambda now: now.with_live({case.name: f"{case.name}-1" for case in cases}))
            return await asyncio.to_thread(compare_with_core, client, cases, f"http://127.0.0.1:{port}", other)

    with other_server() as other, httpx2.Client() as client:
        assert asyncio.run(story(other, client)) == []


def compare_with_core(
    client: httpx2.Client, cases: Sequence[SiteCase], url: str, other: str
) -> list[tuple[str, Answer, Answer]]:
    """Return the requests that the router answers otherwise than the rules of the core."""
    found = []
    for case in cases:
        for ask in case.asks:
            wanted = answer_of(case, ask)
            asked = replace(ask, headers=wanted.headers, send={**ask.send, "Host": f"{case.name}.localhost"})
            got, told = ask_server(client, url, asked), expected(wanted)
            if got != told._replace(location=told.location.replace(OTHER, other)):
                found.append((f"{case.redirects}: {ask.path} {ask.send}", got, told))
    return found


def test_a_client_cannot_choose_the_server_that_a_request_is_passed_on_to(tmp_path: Path) -> None:
    (port,) = free_ports(1)

    async def story(other: str) -> None:
        async with envoy(tmp_path / "router") as (router, _):
            rules = f"/other {OTHER}/x 200\n/far https://far.invalid/x 200\n/:any/a https://:any.invalid/ 200\n"
            case = SiteCase("web", ("index.html",), (), rules)
            table = RoutingTable().with_listener("web", Listener(port))
            site = install_case(case, tmp_path, other)
            await router.change(lambda _: table.with_candidate("web", site).with_live({"web": "web-1"}))
            headers = {PROXY_HEADER: proxy_cluster(other)}
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
                assert (await client.get("/")).text == "index.html"
                assert (await client.get("/other")).text == "other GET /x"
                assert (await client.get("/far")).status_code == 503
                assert (await client.get("/some/a")).status_code == 503

    with other_server() as other:
        asyncio.run(story(other))


@pytest.mark.exhaustive
def test_the_emulator_answers_as_documented(tmp_path: Path) -> None:
    with other_server() as other, netlify_stage(tmp_path) as stage, httpx2.Client() as client:
        for number, case in enumerate(CASES):
            write_site(case, stage.folder / f"web-{number}", other)
            stage.turn(stage.stage(f"web-{number}", index_html="index.html"))
            assert differences(client, case, f"{stage.url}/s/shop") == []
        skipped = [text for text in stage.told if "skips" in text]
        assert len(skipped) == 5
        assert "netlify skips: _redirects, line 1: there is no destination" in skipped


def test_a_site_has_an_origin_of_its_own_in_the_emulator(tmp_path: Path) -> None:
    with netlify_stage(tmp_path) as stage:
        stage.turn(stage.stage("web-1", about_html="about"))
        for path, status, location in (("/about", 200, ""), ("/about/", 301, "/about"), ("/nothing", 404, "")):
            got = httpx2.get(f"{stage.url}{path}", headers={"Host": "shop.localhost"})
            assert (got.status_code, got.headers.get("location", "")) == (status, location)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_page_is_only_read(tmp_path: Path, method: str) -> None:
    with netlify_stage(tmp_path) as stage:
        stage.turn(stage.stage("web-1"))
        assert httpx2.request(method, f"{stage.url}/s/shop/").status_code == 405
