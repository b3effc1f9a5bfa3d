"""The demo tells its whole story, and leaves nothing behind."""

import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from abreast.demo.load import Load
from abreast.demo.versions import STEPS, write_version


@pytest.mark.timeout(200)
def test_the_whole_story_under_load(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    done = subprocess.run(
        [sys.executable, "-m", "abreast", "demo", "--folder", str(folder)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (total,) = re.findall(r"│ all +│ +│ +[\d.]+ s │ +│ +│ +([\d,]+) │ +(\d+) │", done.stdout)
    assert int(total[0].replace(",", "")) > 1000
    assert total[1] == "0"
    left = subprocess.run(["pgrep", "-f", str(folder)], capture_output=True, text=True, check=False)
    assert left.stdout == ""


def test_each_version_is_an_edit_of_the_one_before(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "storefront"
    subprocess.run(["cp", "-r", str(example), str(tmp_path / "shop")], check=True)
    subjects = [write_version(tmp_path / "shop", number) for number in STEPS]
    assert len(set(subjects)) == 5
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
                    if answer == "cut":
                        break
                    connection.sendall(f"HTTP/1.1 {answer} x\r\nContent-Length: 2\r\nX-Release: v1\r\n\r\nok".encode())
                if not todo:
                    over.set()
                    load._over.set()

    load = Load(server.getsockname()[1], "/", b"{}", connections=1, rate=200)
    thread = threading.Thread(target=serve)
    thread.start()
    load.start()
    over.wait(20)
    tally = load.stop()
    thread.join()
    server.close()
    assert (tally.sent, tally.failed) == (len(answers.split()), failed)
    assert sum(tally.by_release.values()) == answers.count("201") + answers.count("500")
