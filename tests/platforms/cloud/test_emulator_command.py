"""The emulators as a command: what they serve, and the faults that are asked for."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import httpx2
import pytest

from sample_project import free_ports

TOKEN = {"Authorization": "Bearer netlify-token"}


@contextlib.contextmanager
def emulator(*arguments: str) -> Iterator[httpx2.Client]:
    """Netlify's emulator with a site, and a client of it."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "abreast.testing.platforms", "--netlify", f"{port}", "--site", "shop", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert f"NETLIFY_API_URL=http://127.0.0.1:{port}" in process.stdout.readline()
            assert "is served at" in process.stdout.readline()
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}/api/v1", headers=TOKEN) as client:
                yield client
        finally:
            process.terminate()


def statuses(client: httpx2.Client, count: int) -> list[int]:
    return [client.get("/sites").status_code for _ in range(count)]


@pytest.mark.exhaustive
def test_faults_hit_as_many_requests_as_asked_for() -> None:
    with emulator("--fault", "netlify GET /sites$ 503 x2 skip1", "--fault", "netlify POST /x 500") as client:
        assert statuses(client, 4) == [200, 503, 503, 200]
        assert client.post("/x").status_code == 500


@pytest.mark.exhaustive
def test_an_outage_ends_after_its_time() -> None:
    with emulator("--fault", "netlify .* .* 502 for1.5") as client:
        assert statuses(client, 3) == [502] * 3
        while statuses(client, 1) == [502]:
            pass
        assert statuses(client, 5) == [200] * 5


@pytest.mark.exhaustive
@pytest.mark.parametrize("fault", ["lost", "dropped"])
def test_connections_break(fault: str) -> None:
    with emulator("--fault", f"netlify GET /sites$ {fault}") as client:
        with pytest.raises(httpx2.TransportError):
            client.get("/sites")
        assert statuses(client, 1) == [200]


@pytest.mark.exhaustive
def test_answers_are_late() -> None:
    with emulator("--fault", "netlify GET /sites$ slow2") as client:
        with pytest.raises(httpx2.ReadTimeout):
            client.get("/sites", timeout=0.2)
        assert statuses(client, 1) == [200]


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("netlify GET /sites$ 999", "is not PLATFORM METHOD PATH FAULT"),
        ("netlify GET ( 503", "is not a regular expression"),
        ("render GET / 503", "needed: one of netlify"),
    ],
)
def test_what_is_no_fault_is_refused(fault: str, why: str) -> None:
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "abreast.testing.platforms", "--netlify", f"{port}", "--fault", fault]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert why in done.stderr
