"""The shop's API: products, orders, health. One process, many connections, one SQLite file."""

import json
import os
import signal
import socket
import sqlite3
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RELEASE = os.environ.get("ABREAST_RELEASE", "dev")
COMMIT = os.environ.get("ABREAST_COMMIT", "dev")
DATABASE = os.environ.get("DATABASE_URL", "sqlite:///shop.db").removeprefix("sqlite:///")


class Shop:
    def __init__(self) -> None:
        self.database = sqlite3.connect(DATABASE, timeout=10, isolation_level=None, check_same_thread=False)
        self.use_write_ahead_log()
        self.database.execute("PRAGMA synchronous=NORMAL")
        self.lock = threading.Lock()

    def use_write_ahead_log(self) -> None:
        """Switch the file's mode. SQLite does not wait if another instance does the same at that moment."""
        deadline = time.monotonic() + 10
        while True:
            try:
                self.database.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def products(self) -> list[dict]:
        with self.lock:
            rows = self.database.execute("SELECT id, name, price FROM products").fetchall()
        return [{"id": id_, "name": name, "price": price} for id_, name, price in rows]

    def order(self, wanted: dict) -> dict:
        with self.lock:
            done = self.database.execute(
                "INSERT INTO orders (product, at) VALUES (?, datetime('now'))", (int(wanted["product"]),)
            )
        return {"order": done.lastrowid, "release": RELEASE}

    def count(self) -> dict:
        with self.lock:
            return {"orders": self.database.execute("SELECT count(*) FROM orders").fetchone()[0]}

    def health(self) -> tuple[int, dict]:
        return 200, {"status": "ok", "release": RELEASE, "commit": COMMIT}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # one packet for head and body
    shop: Shop

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_GET(self) -> None:
        if self.path == "/api/health":
            self.answer(*self.shop.health())
        elif self.path == "/api/products":
            self.answer(200, self.shop.products())
        elif self.path == "/api/orders/count":
            self.answer(200, self.shop.count())
        else:
            self.answer(404, {"error": "there is no such page"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != "/api/orders":
            self.answer(404, {"error": "there is no such page"})
            return
        try:
            wanted = json.loads(body)
            self.answer(201, self.shop.order(wanted))
        except (ValueError, KeyError, TypeError):
            self.answer(400, {"error": "needed: {\"product\": 1}"})

    def answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Release", RELEASE)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Requests are counted by the router."""


class Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


def main() -> None:
    Handler.shop = Shop()
    server = Server(("127.0.0.1", int(os.environ.get("PORT", "8081"))), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"{RELEASE} listens on {server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
