"""``abreast maintenance``: all named services or none, recorded, and with a way out after a kill anywhere."""

import json
import signal
import subprocess
import urllib.error
import urllib.request
from typing import Any

import pytest

import fork_server
from abreast.ledger.sqlite import SqliteLedger
from sample_project import SampleProject

ON = ("maintenance", "on", "--reason", "a new disk")
OFF = ("maintenance", "off")


@pytest.fixture
def deployed(project: SampleProject) -> SampleProject:
    """A project whose two services are live."""
    project.deploy()
    return project


def statuses(project: SampleProject, **headers: str) -> dict[str, int]:
    """Return with which status users of each service are answered."""
    return {
        "frontend": status(project.frontend_port, **headers),
        "backend": status(project.backend_port, **headers),
    }


def status(port: int, **headers: str) -> int:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/", headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def shown(project: SampleProject) -> dict[str, Any]:
    """Return what ``maintenance status`` says of the environment."""
    document = json.loads(project.run("maintenance", "status", "--json").stdout)
    return dict(document["environments"].get("local", {}))


PAGE, REACHED = {"frontend": 503, "backend": 503}, {"frontend": 200, "backend": 200}


@pytest.mark.smoke
def test_users_get_the_page_until_it_is_off(deployed: SampleProject) -> None:
    said = deployed.run(*ON, "--allow", "203.0.113.0/24", "--retry-after", "10m", "--message", "Back at five").stdout
    assert "users of backend, frontend get the maintenance page" in said
    assert statuses(deployed) == PAGE
    assert statuses(deployed, x_forwarded_for="203.0.113.9") == REACHED
    assert set(shown(deployed)) == {"backend", "frontend"}
    assert shown(deployed)["backend"].items() >= {
        "state": "on", "reason": "a new disk", "message": "Back at five", "retry_after": 600,
        "allow": ["203.0.113.0/24"], "deployment": None,
    }.items()  # fmt: skip
    listed = deployed.run("maintenance").stdout
    assert "local: backend is in maintenance since" in listed
    assert ": a new disk" in listed
    services = deployed.status()["services"]
    assert services["backend"]["maintenance"]["reason"] == "a new disk"
    assert services["backend"]["health"] == "unknown"
    text = deployed.run("status").stdout
    assert "in maintenance, begun" in text
    assert "backend        maintenance" in text
    assert "users reach backend, frontend" in deployed.run(*OFF).stdout
    assert statuses(deployed) == REACHED
    assert shown(deployed) == {}
    assert deployed.status()["services"]["backend"]["health"] == "healthy"
    assert "no service is in maintenance" in deployed.run("maintenance").stdout


def test_it_is_of_one_service_or_all_whatever_else_is_done_meanwhile(deployed: SampleProject) -> None:
    it_is_in_the_audit_trail_with_who_and_why(deployed)
    one_service_alone_and_off_again_and_again(deployed)
    an_environment_that_is_locked_can_be_in_maintenance(deployed)
    a_deployment_meanwhile_goes_on_behind_the_page(deployed)
    what_is_down_is_not_in_maintenance_any_more(deployed)
    a_page_of_the_projects_own(deployed)


def one_service_alone_and_off_again_and_again(deployed: SampleProject) -> None:
    deployed.run(*ON, "--service", "backend")
    assert statuses(deployed) == {"frontend": 200, "backend": 503}
    since = shown(deployed)["backend"]["since"]
    deployed.run(*ON, "--service", "backend", "--message", "still")
    assert (shown(deployed)["backend"]["since"], shown(deployed)["backend"]["message"]) == (since, "still")
    deployed.run(*ON, "--service", "frontend")
    deployed.run(*OFF, "--service", "backend")
    assert statuses(deployed) == {"frontend": 503, "backend": 200}
    for _ in range(2):
        deployed.run(*OFF)
    assert statuses(deployed) == REACHED


def it_is_in_the_audit_trail_with_who_and_why(deployed: SampleProject) -> None:
    deployed.run(*ON, "--service", "backend")
    deployed.run(*OFF, "--reason", "it is in")
    acts = [json.loads(line) for line in deployed.run("audit", "export").stdout.splitlines()]
    switched = [act for act in acts if act["what"].startswith("maintenance ")]
    assert [(act["what"], act["outcome"], act["why"], act["detail"]) for act in switched] == [
        ("maintenance on", "begun", "a new disk", "in maintenance: backend"),
        ("maintenance on", "done", "a new disk", "in maintenance: backend"),
        ("maintenance off", "begun", "it is in", "in maintenance: backend"),
        ("maintenance off", "done", "it is in", "in maintenance: none"),
    ]
    assert {act["environment"] for act in switched} == {"local"}
    assert {act["who"] for act in switched} == {act["who"] for act in acts if act["what"] == "deploy"}


def a_page_of_the_projects_own(deployed: SampleProject) -> None:
    environment = deployed.config["environments"]["local"]
    environment["maintenance"] = {"page": "away.html"}
    deployed.commit()
    assert "away.html cannot be read" in deployed.run(*ON, code=2).stderr
    (deployed.folder / "away.html").write_text("x" * 70_000)
    assert "70000 bytes" in deployed.run(*ON, code=2).stderr
    (deployed.folder / "away.html").unlink()
    (deployed.folder / "away.html").symlink_to("/etc/passwd")
    refused = deployed.run(*ON, code=2).stderr
    assert "away.html is not in the project" in refused
    assert "next:   mend it, or take it out of `maintenance` of local" in refused
    assert statuses(deployed) == REACHED
    (deployed.folder / "away.html").unlink()
    (deployed.folder / "away.html").write_text("<h1>ours</h1>")
    deployed.run(*ON)
    with pytest.raises(urllib.error.HTTPError) as answered:
        urllib.request.urlopen(f"http://127.0.0.1:{deployed.frontend_port}/", timeout=10)
    with answered.value as page:
        assert page.read() == b"<h1>ours</h1>"
    deployed.run(*OFF)


def test_what_is_refused_changes_nothing(project: SampleProject) -> None:
    assert "nothing is live in local" in project.run(*ON, code=2).stderr
    project.config["services"]["jobs"] = {"type": "worker", "run": "exec sleep 1000"}
    project.commit()
    project.deploy()
    refused = project.run(*ON, "--service", "jobs", "--service", "backend", code=2).stderr
    assert "jobs: a worker has no users" in refused
    assert "next:   abreast maintenance on --env local --service backend" in refused
    assert "other is not live" in project.run(*ON, "--service", "other", code=2).stderr
    assert "no reason given" in project.run("maintenance", "on", code=2).stderr
    assert "'10.0.0.0/99' is neither" in project.run(*ON, "--allow", "10.0.0.0/99", code=2).stderr
    for command in (ON, OFF):
        agent = project.run(*command, code=3, variables={"ABREAST_AGENT": "helper"}).stderr
        assert "is an agent, and may not" in agent
    assert project.run("maintenance", "status", variables={"ABREAST_AGENT": "helper"}).returncode == 0
    assert statuses(project) == REACHED


def a_deployment_meanwhile_goes_on_behind_the_page(deployed: SampleProject) -> None:
    deployed.run(*ON, "--allow", "203.0.113.9")
    commit = deployed.commit()
    deployed.deploy()
    assert statuses(deployed) == PAGE
    assert statuses(deployed, x_forwarded_for="203.0.113.9") == REACHED
    deployed.run(*OFF)
    assert deployed.served_commits() == {"frontend": commit, "backend": commit}


def what_is_down_is_not_in_maintenance_any_more(deployed: SampleProject) -> None:
    deployed.run(*ON)
    deployed.run("down", "--yes")
    assert shown(deployed) == {}
    deployed.deploy()
    assert statuses(deployed) == REACHED


@pytest.mark.timeout(240)
def test_killed_at_each_write_it_is_led_out(deployed: SampleProject) -> None:
    for moment in ("before", "after"):
        killed_at_each_write_the_same_command_leads_out(deployed, moment)
    killed_before_it_is_recorded_as_done_off_leads_out(deployed)
    killed_between_envoy_and_the_table_off_leads_out(deployed)


def killed_at_each_write_the_same_command_leads_out(deployed: SampleProject, moment: str) -> None:
    for command, end in ((ON, PAGE), (OFF, REACHED)):
        for write in (1, 2, 3, 4):
            killed = crash(deployed, write, moment, *command)
            assert killed.returncode in (0, -signal.SIGKILL)
            assert len(set(statuses(deployed).values())) == 1, "one service is in maintenance and the other is not"
            if killed.returncode == 0:
                break
        deployed.run(*command)
        assert statuses(deployed) == end
        assert {mode["state"] for mode in shown(deployed).values()} == ({"on"} if end == PAGE else set())
    with SqliteLedger.open(deployed.folder / ".abreast") as ledger:
        assert ledger.find_damage() == ""


def killed_before_it_is_recorded_as_done_off_leads_out(deployed: SampleProject) -> None:
    assert crash(deployed, 2, "before", *ON).returncode == -signal.SIGKILL
    assert statuses(deployed) == PAGE
    assert "interrupted while it was starting" in deployed.run("maintenance").stdout
    assert "maintenance was interrupted" in deployed.run("status").stdout
    deployed.run(*OFF)
    assert statuses(deployed) == REACHED
    assert shown(deployed) == {}


def killed_between_envoy_and_the_table_off_leads_out(deployed: SampleProject) -> None:
    home = deployed.folder / ".abreast" / "local" / "local" / "router"
    tables = [home / "table.json", home / "table-copy.json"]
    before = [table.read_text() for table in tables]
    assert crash(deployed, 2, "before", *ON).returncode == -signal.SIGKILL
    for table, text in zip(tables, before, strict=True):
        table.write_text(text)
    assert statuses(deployed) == PAGE
    deployed.run(*OFF)
    assert statuses(deployed) == REACHED


def an_environment_that_is_locked_can_be_in_maintenance(deployed: SampleProject) -> None:
    deployed.run("lock", "--reason", "nobody deploys")
    deployed.run(*ON)
    assert statuses(deployed) == PAGE
    deployed.run(*OFF)
    assert statuses(deployed) == REACHED
    deployed.run("unlock")


def crash(project: SampleProject, write: int, moment: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command that is killed at one of its writes."""
    return fork_server.run_command(project.folder, *arguments, killed_at=(None, moment, write))
