"""A site on `local` passes requests on to an https server: TLS with its name, its certificate verified, its Host."""

import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from abreast.core.site_rules.rules import SiteRules
from abreast.machine.tls import trusted_certificates
from abreast.platforms.local.router.router import Router
from abreast.platforms.local.router.routing_table import Listener, Site
from abreast.platforms.local.router.site_tables import proxy_origins
from abreast.platforms.local.router.static_site import install_site
from abreast.platforms.service_routes import route_rules
from envoy_router import drive, staged, turned
from sample_project import free_ports, require_programs


@dataclass
class Authority:
    """A certificate authority of openssl's own making, whose certificates only those who are told trust."""

    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self._openssl("req", "-x509", *self._new_key("ca"), "-out", "ca.pem", "-subj", "/CN=a private authority")

    @property
    def file(self) -> Path:
        return self.folder / "ca.pem"

    def certificate(self, name: str, days: int = 2) -> ssl.SSLContext:
        """Return the context of a server that shows a certificate of this name."""
        self._openssl("req", *self._new_key(name), "-out", "request.pem", "-subj", f"/CN={name}")
        (self.folder / "names").write_text(f"subjectAltName=DNS:{name}")
        signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-days", str(days), "-extfile", "names", "-out", f"{name}.pem")
        self._openssl("x509", "-req", "-in", "request.pem", *signed)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return context

    @staticmethod
    def _new_key(name: str) -> tuple[str, ...]:
        return ("-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key")

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)


@dataclass
class SecureServer:
    """A server that tells what it was asked, and under which name."""

    port: int
    names: list[str | None] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@contextmanager
def secure_server(context: ssl.SSLContext) -> Iterator[SecureServer]:
    (port,) = free_ports(1)
    told = SecureServer(port)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            told.paths.append(self.path)
            sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
            body = json.dumps({"host": self.headers["Host"], "path": self.path, "sent": sent}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *arguments: object) -> None:
            pass  # a client that does not trust it

    context.sni_callback = lambda _, name, __: told.names.append(name)
    server = Server(("127.0.0.1", port), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    yield told
    server.shutdown()
    serving.join()
    server.server_close()


def answer(folder: Path, port: int) -> httpx2.Response:
    """Return what users get from a site with a route to ``https://localhost:PORT``."""
    (front,) = free_ports(1)
    got: list[httpx2.Response] = []
    artifact = folder / "built"
    artifact.mkdir()
    rules = SiteRules(redirects=tuple(route_rules({"/api": "api"}, {"api": f"https://localhost:{port}"})))
    install_site(artifact, rules, "v1", None, folder / "web-1")
    site = Site("web-1", folder / "web-1", {}, tuple(proxy_origins(rules.redirects)))

    async def story(router: Router, _: subprocess.Popen[bytes]) -> None:
        await router.change(staged("web", Listener(front), site))
        await router.change(turned("web", "web-1"))
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{front}", timeout=30) as client:
            got.append(await client.post("/api/orders?a=1", content=b"an order"))

    drive(folder / "router", story)
    return got[0]


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    require_programs("openssl")
    made = Authority(tmp_path / "authority")
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made


def test_the_server_is_asked_by_its_own_name_under_tls(authority: Authority, tmp_path: Path) -> None:
    with secure_server(authority.certificate("localhost")) as server:
        got = answer(tmp_path, server.port)
    assert got.json() == {"host": f"localhost:{server.port}", "path": "/api/orders?a=1", "sent": "an order"}
    assert set(server.names) == {"localhost"}


@pytest.mark.parametrize("wrong", ["name", "authority", "expired"])
def test_a_wrong_certificate_gets_no_request_and_users_a_503(authority: Authority, tmp_path: Path, wrong: str) -> None:
    issuer = Authority(tmp_path / "another") if wrong == "authority" else authority
    context = issuer.certificate("api.example" if wrong == "name" else "localhost", -1 if wrong == "expired" else 2)
    with secure_server(context) as server:
        got = answer(tmp_path, server.port)
    assert got.status_code == 503
    assert server.paths == []


def test_a_trust_store_is_found_where_systems_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    found = trusted_certificates()
    assert found
    assert ssl.create_default_context(cafile=found).cert_store_stats()["x509_ca"] > 10
