"""Another user of the machine tries to get the requests of a service whose instance has crashed."""

import os
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import IncompleteRead
from pathlib import Path
from urllib.error import HTTPError

import pytest

from abreast.testing.process_tree import processes_of
from sample_project import SampleProject, eventually
from users import users

THIEF = """
import os, socket, sys
if os.getuid() == 0:
    os.setuid(65534)
port = int(sys.argv[1])
print("trying", flush=True)
while True:
    thief = socket.socket()
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        thief.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        thief.bind(("127.0.0.1", port))
        thief.listen()
        break
    except OSError:
        thief.close()
while True:
    connection, _ = thief.accept()
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 6\\r\\n\\r\\nstolen")
    connection.close()
"""


@contextmanager
def users_of(port: int) -> Iterator[Counter[str]]:
    """Send requests until the block ends; count the answers, and failures by their kind."""
    answers = Counter[str]()

    def send() -> None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
                answers["stolen" if b"stolen" in answer.read() else "ok"] += 1
        except IncompleteRead:
            answers["cut off"] += 1
        except HTTPError as error:
            with error:
                answers[str(error)] += 1
        except OSError as error:
            answers[str(error)] += 1

    with users(4, send):
        yield answers


@contextmanager
def thief_at(port: int) -> Iterator[None]:
    """Another user tries to listen on a port until the block ends."""
    command = [sys.executable, "-S", "-E", "-c", THIEF, str(port)]
    with subprocess.Popen(command, cwd="/", stdout=subprocess.PIPE, text=True) as thief:
        assert thief.stdout
        try:
            assert thief.stdout.readline() == "trying\n"
            yield
        finally:
            thief.kill()


def instances(folder: Path) -> dict[int, int]:
    """Return the ports of the backend's instances by pid."""
    found = [pid for pid, command in processes_of(folder) if command.startswith(sys.executable) and "app.py" in command]
    ports = {}
    for pid in found:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        ports[pid] = int(next(line for line in variables if line.startswith(b"PORT=")).partition(b"=")[2])
    return ports


def published_ports(project: SampleProject) -> set[int]:
    """Return the ports of instances to which Envoy may send users."""
    clusters = (project.folder / ".abreast/local/local/router/clusters.json").read_text()
    return {port for port in range(20000, 30000) if f'"port_value": {port}' in clusters}


def kill_one(project: SampleProject, answers: Counter[str]) -> None:
    """Kill one of two instances, while another user waits for its port; return when there are two again."""
    eventually(
        lambda: (
            len(published_ports(project)) == 2 and published_ports(project) == set(instances(project.folder).values())
        )
    )
    pid, port = next(iter(instances(project.folder).items()))
    with thief_at(port):
        seen = answers.total()
        os.kill(pid, 9)
        eventually(lambda: answers.total() > seen + 50)
        eventually(lambda: len(published_ports(project) - {port}) == 2)


@pytest.mark.smoke
def test_nobody_gets_the_requests_of_a_killed_instance_and_the_other_loses_none(project: SampleProject) -> None:
    project.config["services"]["backend"]["instances"] = 2
    project.commit()
    project.deploy()
    with users_of(project.backend_port) as answers:
        for _ in range(5):
            kill_one(project, answers)
    assert set(answers) <= {"ok", "cut off"}, answers
    assert answers["cut off"] <= 5, "an answer that had begun cannot be sent again: at most one of each killed process"


def test_nobody_gets_the_requests_of_a_service_that_is_down(project: SampleProject) -> None:
    project.deploy()
    (before,) = instances(project.folder).items()
    pid, port = before
    with users_of(project.backend_port) as answers, thief_at(port):
        os.kill(pid, 9)
        eventually(lambda: answers.total() > answers["ok"], timeout=10)
        eventually(lambda: published_ports(project) and port not in published_ports(project))
        seen = answers["ok"]
        eventually(lambda: answers["ok"] > seen + 50)
    assert not answers["stolen"], answers
