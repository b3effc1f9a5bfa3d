"""What ``status`` says is what is; a reader that leaves ends nothing; ``down`` says what it could not stop."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from abreast.cli import live_health
from sample_project import SampleProject, eventually, wait_for_exit


class Pages(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A web server of its own, and the settings with which a site is published to it."""
    folder = tmp_path / "www"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Pages, directory=str(folder / "current")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield {"to": str(folder), "url": f"http://127.0.0.1:{server.server_port}"}
    server.shutdown()
    thread.join()
    server.server_close()


def environment(project: SampleProject) -> dict[str, Any]:
    return dict(json.loads(project.run("status", "--json").stdout)["environments"]["local"])


@pytest.mark.parametrize("base", ["", "/", "/shop", "/shop/"])
def test_a_service_whose_url_has_a_path_is_probed_below_it(tmp_path: Path, base: str) -> None:
    (tmp_path / "shop").mkdir()
    for folder in (tmp_path, tmp_path / "shop"):
        (folder / "health").write_text("well")
    asked: list[str] = []

    class Recorded(Pages):
        def do_GET(self) -> None:
            asked.append(self.path)
            super().do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Recorded, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever).start()
    url = f"http://127.0.0.1:{server.server_port}{base}"
    live = live_health.LiveRow("web", "static-dir", "v1", "c", url, "", "", "/health", "400", "web-1", "web", "1", "")
    assert live_health.probe_health([live]) == {"web": "healthy"}
    server.shutdown()
    server.server_close()
    assert asked == [f"{base.rstrip('/')}/health"]


@pytest.mark.exhaustive
def test_why_it_failed_is_said_on_one_line(project: SampleProject) -> None:
    project.deploy()
    assert "why" not in project.run("status").stdout
    project.config["services"]["backend"]["health"] |= {"start": "1s"}
    project.commit(app_py=project.app_source("    return 500, {}\n"))
    project.deploy(code=1)
    told = project.run("status").stdout
    assert "  why: backend: check: not healthy within 1 s: GET http" in told
    assert "next" not in environment(project)["deployment"]["why"]
    project.commit(app_py=project.app_source("    return 200, {}\n"))
    project.deploy()
    assert "why" not in project.run("status").stdout


@pytest.mark.exhaustive
def test_a_running_deployment_is_not_interrupted_by_an_operators_lock(project: SampleProject) -> None:
    project.config["environments"]["local"]["settle"] = "60s"
    project.commit()
    deploying = project.start("deploy", "--yes")
    eventually(lambda: (project.folder / ".abreast" / "ledger.db").exists() and "watch" in project.run("status").stdout)
    project.run("lock", "--reason", "a sale \x1b]0;begins\x07")
    told = project.run("status").stdout
    assert "locked by" in told
    assert "\x1b" not in told
    assert "interrupted" not in environment(project)["deployment"]
    deploying.send_signal(signal.SIGKILL)
    wait_for_exit(deploying)
    assert environment(project)["deployment"]["interrupted"]
    project.run("unlock")


@pytest.mark.exhaustive
def test_a_reader_that_leaves_sees_no_traceback(project: SampleProject) -> None:
    project.deploy()
    reading, writing = os.pipe()
    os.close(reading)
    for command in ("status", "history", "show", "plan", "--help", "docs"):
        done = subprocess.run(
            project.command_line(command),
            cwd=project.folder,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), command
    os.close(writing)


@pytest.mark.exhaustive
def test_a_deployment_goes_on_without_its_reader(project: SampleProject) -> None:
    reading, writing = os.pipe()
    deploying = subprocess.Popen(
        project.command_line("deploy", "--yes"), cwd=project.folder, stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert os.read(reading, 10)
    os.close(reading)
    errors = deploying.communicate()[1]
    assert (deploying.returncode, errors) == (0, b"")
    assert project.latest_deployment()["state"] == "succeeded"


@pytest.mark.exhaustive
def test_what_an_operator_locked_is_left_alone(project: SampleProject) -> None:
    project.config["services"]["backend"]["database"] = {"url": "sqlite:///shop.db", "migrations": "migrations"}
    (project.folder / "migrations").mkdir()
    (project.folder / "migrations" / "001_orders.sql").write_text("CREATE TABLE orders (id INTEGER PRIMARY KEY);\n")
    project.commit()
    project.deploy()
    project.run("lock", "--reason", "a sale")
    for command in (["down", "--yes"], ["db", "baseline", "--yes"]):
        assert "local is locked by" in project.run(*command, code=3).stderr
        assert project.served_commits()
    project.run("unlock")


@pytest.mark.exhaustive
def test_down_stops_what_runs_here_and_names_what_stays(project: SampleProject, site: dict[str, str]) -> None:
    project.config["environments"]["local"]["frontend"] = {"static-dir": site}
    project.commit()
    project.deploy()
    told = project.run("down", "--yes").stdout
    assert f"still live, since only its platform can stop it: frontend on static-dir ({site['url']})" in told
    assert {name: service["health"] for name, service in environment(project)["services"].items()} == {
        "frontend": "healthy"
    }
    del project.config["services"]["backend"], project.config["environments"]["local"]["backend"]
    project.commit()
    project.deploy()
    assert "nothing of local runs on this machine" in project.run("down", "--yes", code=2).stderr
    assert list(environment(project)["services"]) == ["frontend"]


@pytest.mark.exhaustive
def test_what_somebody_published_by_hand_is_not_called_the_release(
    project: SampleProject, site: dict[str, str]
) -> None:
    project.config["environments"]["local"]["frontend"] = {"static-dir": site}
    project.config["services"]["frontend"]["watch"] = ["page/**"]
    project.commit()
    project.deploy()
    assert environment(project)["services"]["frontend"]["published"]["state"] == "recorded"
    current = Path(site["to"]) / "current"
    (current.parent / "releases" / "by-hand").mkdir()
    current.unlink()
    current.symlink_to("releases/by-hand")
    frontend = environment(project)["services"]["frontend"]
    assert frontend["published"] == {"state": "other", "version": "frontend-by-hand", "why": ""}
    assert frontend["release"] is frontend["commit"] is frontend["artifact"] is None
    told = project.run("status").stdout
    assert "static-dir: users reach frontend-by-hand, which abreast did not deploy" in told
    assert "users reach a version that abreast did not deploy" in project.run("plan").stdout
    command = next(line for line in told.splitlines() if "next: abreast deploy" in line).partition("abreast ")[2]
    project.run(*command.split(), "--yes")
    assert environment(project)["services"]["frontend"]["release"] == "v1"
    current.unlink()
    frontend = environment(project)["services"]["frontend"]
    assert (frontend["published"]["state"], frontend["release"]) == ("nothing", None)
    project.deploy()
    assert environment(project)["services"]["frontend"]["published"]["state"] == "recorded"


def test_a_service_without_an_address_is_unknown_whatever_listens_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a connection to nowhere")

    monkeypatch.setattr("socket.create_connection", refuse)
    worker = live_health.LiveRow(
        "worker", "render", "v1", "1" * 40, "", "2026-01-01T00:00:00Z", "", "/", "400", "worker-1", "worker", "1", ""
    )
    assert live_health.probe_health([worker]) == {"worker": "unknown"}


@pytest.mark.exhaustive
def test_an_instance_that_hung_and_was_started_again_is_shown(project: SampleProject) -> None:
    hangs = project.app_source("    time.sleep(1000 if ANSWERED else 0)\n    return 200, {}\n")
    project.config["environments"]["local"]["backend"]["local"]["response_timeout"] = "1s"
    one_at_a_time = hangs.replace("ThreadingHTTPServer", "HTTPServer").replace('"HTTP/1.1"', '"HTTP/1.0"')
    project.commit(app_py=one_at_a_time)
    project.deploy()
    assert "restarted" not in environment(project)["services"]["backend"]
    assert project.served_commits()
    eventually(lambda: "restarted" in environment(project)["services"]["backend"])
    (restarted,) = environment(project)["services"]["backend"]["restarted"]
    assert restarted["last_exit"] == "answered nothing for 1 s"
    told = project.run("status").stdout
    assert f"    {restarted['instance']} was started again once; the last time: answered nothing for 1 s\n" in told
    assert f"{restarted['instance']} answered nothing for 1 s; it is started again" in project.run("logs").stdout
