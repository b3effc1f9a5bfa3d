"""A server that answers as npm's registry and as OSV do, when tools ask for known holes of packages."""

import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class AdvisoryDatabase:
    """Answers as npm's registry and as OSV do, of what it knows: known holes by package."""

    def __init__(self) -> None:
        self.npm: dict[str, dict[str, Any]] = {}
        self.python: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.status = 200

    def answer(self, path: str, said: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(path)
        if path.endswith("/advisories/bulk"):
            return {name: [self.npm[name]] for name in said if name in self.npm}
        ids = self.python.get(said["package"]["name"], [])
        return {"vulns": [_osv(id_, said["package"]["name"]) for id_ in ids]}


def _osv(id: str, package: str) -> dict[str, Any]:
    events = [{"introduced": "0"}, {"fixed": "9.9"}]
    affected = {"package": {"ecosystem": "PyPI", "name": package}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    return {
        "id": id,
        "summary": "a hole",
        "details": "a hole",
        "published": "2026-01-01T00:00:00Z",
        "affected": [affected],
    }


@contextmanager
def served(database: AdvisoryDatabase) -> Iterator[dict[str, str]]:
    """Serve it; gives the variables by which tools ask it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            content = json.dumps(database.answer(self.path, json.loads(body))).encode()
            self.send_response(database.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    yield {
        "npm_config_registry": url,
        "PIP_AUDIT_VULNERABILITY_SERVICE": "osv",
        "PIP_AUDIT_OSV_URL": f"{url}/v1/query",
    }
    server.shutdown()
    server.server_close()
