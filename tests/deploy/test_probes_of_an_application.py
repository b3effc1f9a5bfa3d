"""What an application sees of abreast's probes, and when it is given up."""

import pytest

from sample_project import HEALTHY, SampleProject, eventually

LOGGING_APP = """
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(STATUS)
        self.send_header("Content-Length", "0")
        self.end_headers()
        print(f"{self.command} {self.path} by {self.headers['User-Agent']}", flush=True)
    def log_message(self, *arguments):
        pass
if STATUS == 500:
    print("RuntimeError: no such table: products", flush=True)
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def logging_project(project: SampleProject) -> SampleProject:
    project.config["services"]["backend"]["health"] = {"path": "/health", "hold": "1s", "start": "12s"}
    return project


def test_every_probe_has_the_name_of_abreast(logging_project: SampleProject) -> None:
    logging_project.config["services"]["backend"]["instances"] = 2
    logging_project.commit(app_py=LOGGING_APP.replace("STATUS", "200"))
    logging_project.deploy()
    logging_project.run("status")
    requests = [line for line in _requests(logging_project) if "GET" in line]
    assert {line.rpartition(" by ")[2] for line in requests} == {"abreast-probe"}


def test_a_single_instance_is_left_alone_once_it_is_live(logging_project: SampleProject) -> None:
    logging_project.commit(app_py=LOGGING_APP.replace("STATUS", "200"))
    logging_project.deploy()
    table = logging_project.folder / ".abreast" / "local" / "local" / "router" / "clusters.json"
    assert "http_health_check" not in table.read_text()
    logging_project.config["services"]["backend"]["instances"] = 2
    logging_project.commit()
    logging_project.deploy()
    assert "http_health_check" in table.read_text()


def test_a_candidate_that_answers_500_from_the_start_fails_early_with_its_output(
    logging_project: SampleProject,
) -> None:
    logging_project.commit(app_py=LOGGING_APP.replace("STATUS", "500"))
    logging_project.deploy(code=1)
    latest = logging_project.latest_deployment()
    (failure,) = (event for event in latest["events"] if event["kind"] == "failed")
    assert failure["message"].startswith("nothing but status 500 for 3 s: GET http://127.0.0.1:")
    assert any("no such table: products" in line or "GET /health" in line for line in failure["data"]["log"])
    (check,) = (row for row in latest["durations"] if row["chapter"] == "check" and row["service"] == "backend")
    assert 3.0 <= check["seconds"] < 12.0, "health.start is 12 s"
    told = logging_project.run("logs", latest["id"]).stdout
    assert "no such table: products" in told
    assert told.count("GET /health") < 40


@pytest.mark.exhaustive
def test_an_application_that_answers_503_has_its_whole_start(logging_project: SampleProject) -> None:
    warm_up = "import time; STARTED = time.monotonic()\n" + LOGGING_APP.replace(
        "send_response(STATUS)", "send_response(503 if time.monotonic() - STARTED < 5 else 200)"
    ).replace("STATUS", "503")
    logging_project.commit(app_py=warm_up)
    logging_project.deploy()
    assert logging_project.status()["release"] == "v1"


def _requests(project: SampleProject) -> list[str]:
    found: list[str] = []

    def are_there() -> bool:
        found[:] = [line.partition(" | ")[2] for line in project.run("logs", "--lines", "500").stdout.splitlines()]
        return any("GET" in line for line in found)

    eventually(are_there)
    return found


@pytest.mark.exhaustive
def test_an_api_without_a_page_is_healthy_unless_a_path_is_asked(project: SampleProject) -> None:
    del project.config["services"]["frontend"], project.config["environments"]["local"]["frontend"]
    backend = project.config["services"]["backend"]
    backend |= {"instances": 2, "health": {"hold": "200ms", "start": "3s"}}
    api = project.app_source(HEALTHY).replace("else (200, {})", "else (404, {})")
    project.commit(app_py=api)
    project.deploy()
    assert project.status()["services"]["backend"]["health"] == "healthy"
    backend["health"]["path"] = "/"
    project.commit()
    assert "status 404" in project.deploy(code=1).stdout
    del backend["health"]["path"]
    project.commit(app_py=api.replace("(404", "(500"))
    assert "status 500" in project.deploy(code=1).stdout
