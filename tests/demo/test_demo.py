"""The demo tells its whole story, and leaves nothing behind."""

import json
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import fork_server
from abreast.demo.load_generator import LoadGenerator
from abreast.demo.versions import VERSION_COMMITS, write_version
from limits import scaled
from sample_project import free_ports

HALF_THE_LOAD = """
import sys
from abreast.__main__ import main
from abreast.demo.load_generator import LoadGenerator
LoadGenerator.__init__.__defaults__ = (8, 200.0)  # connections, and requests a second
sys.exit(main())
"""


@pytest.mark.exhaustive
@pytest.mark.timeout(400)
def test_the_whole_story_under_load(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    done = subprocess.run(
        [sys.executable, "-c", HALF_THE_LOAD, "demo", "--folder", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (total,) = re.findall(r"│ all +│ +│ +[\d.]+ s │ +│ +│ +([\d,]+) │ +(\d+) │", done.stdout)
    assert int(total[0].replace(",", "")) > 1000
    assert total[1] == "0"
    left = subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, text=True, check=False)
    assert left.stdout == ""


def test_each_version_is_an_edit_of_the_one_before(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "storefront"
    subprocess.run(["cp", "-r", str(example), str(tmp_path / "shop")], check=True)
    subjects = [write_version(tmp_path / "shop", number) for number in VERSION_COMMITS]
    assert len(set(subjects)) == 6
    compile((tmp_path / "shop" / "backend" / "app.py").read_text(), "app.py", "exec")


@pytest.mark.parametrize(
    ("answers", "failed"), [("201 201 201", 0), ("201 500 201", 1), ("201 cut 201", 1), ("cut cut", 2)]
)
def test_the_load_counts_honestly(answers: str, failed: int) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    todo = answers.split()
    over = threading.Event()

    def serve() -> None:
        while todo:
            connection, _ = server.accept()
            with connection, connection.makefile("rb") as reader:
                while todo:
                    while reader.readline().strip():
                        pass
                    reader.read(2)
                    answer = todo.pop(0)
                    if not todo:
                        load._stop_event.set()  # the last one is in flight: after it nothing more is sent
                    if answer == "cut":
                        break
                    connection.sendall(f"HTTP/1.1 {answer} x\r\nContent-Length: 2\r\nX-Release: v1\r\n\r\nok".encode())
                if not todo:
                    over.set()

    load = LoadGenerator(server.getsockname()[1], "/", b"{}", connections=1, rate=200)
    thread = threading.Thread(target=serve)
    thread.start()
    load.start()
    over.wait(20)
    tally = load.stop()
    thread.join()
    server.close()
    assert (tally.sent, tally.failed) == (len(answers.split()), failed)
    assert sum(tally.responses_by_release.values()) == answers.count("201") + answers.count("500")


@pytest.mark.exhaustive  # what fails on real data is stopped in tests/deploy/test_database.py too
def test_a_migration_that_fails_on_real_data_only_is_stopped_at_the_rehearsal(tmp_path: Path) -> None:
    project = Example(tmp_path / "shop")
    project.commit("Open the shop")
    project.run("deploy", "--yes")
    project.order()
    project.order()
    before = project.tables()
    (project.folder / "backend" / "migrations" / "003_once.sql").write_text(
        "CREATE UNIQUE INDEX o ON orders (product);\n"
    )
    project.commit("Sell each product only once")
    told = project.run("deploy", "--yes", code=1)
    assert "backend      rehearse  FAILED 003_once.sql:1: UNIQUE constraint failed: orders.product" in told
    assert project.tables() == before
    assert project.count() == 2
    project.forget_orders()
    project.run("deploy", "--yes")
    assert project.tables() != before
    project.run("down", "--yes")


class Example:
    """The example, as a repository of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run(
            ["cp", "-r", str(Path(__file__).parents[2] / "examples" / "storefront"), str(folder)], check=True
        )
        front, self.port = free_ports(2)
        config = folder / "abreast.yml"
        text = config.read_text().replace("8080", str(front)).replace("8081", str(self.port)).replace("3s", "300ms")
        config.write_text(text)
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> None:
        who = ("-c", "user.name=t", "-c", "user.email=t@localhost")
        subprocess.run(["git", *who, *arguments], cwd=self.folder, check=True, capture_output=True)

    def commit(self, subject: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-qm", subject)

    def run(self, *arguments: str, code: int = 0) -> str:
        done = fork_server.run_command(self.folder, *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return str(done.stdout)

    def order(self) -> None:
        url = f"http://127.0.0.1:{self.port}/api/orders"
        urllib.request.urlopen(urllib.request.Request(url, b'{"product": 1}', method="POST"), timeout=scaled(5)).close()

    def count(self) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/orders/count", timeout=scaled(5)) as answer:
            return int(json.load(answer)["orders"])

    @property
    def database(self) -> Path:
        return self.folder / ".abreast" / "local" / "local" / "data" / "backend" / "shop.db"

    def forget_orders(self) -> None:
        with closing(sqlite3.connect(self.database)) as db, db:
            db.execute("DELETE FROM orders")

    def tables(self) -> list[Any]:
        with closing(sqlite3.connect(self.database)) as db:
            return db.execute(
                "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY name"
            ).fetchall()
