"""The workflows of `abreast init --github`, executed by a foreign runner against real deployments on this machine."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from act_runner import ActionsWorld, recording_program
from limits import scaled
from sample_project import eventually, free_ports, get_json, get_text
from state_worlds import git

HOSTILE = (
    '"; touch owned; #',
    "$(touch owned) `touch owned`",
    "a\nb --env=production\n::error::injected",
    "${{ secrets.GITHUB_TOKEN }}",
    "\x1b[2J\x1b]0;owned\x07",
    "--env=production",
    "'; touch owned; '",
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ActionsWorld]:
    with ActionsWorld(tmp_path / "w") as opened:
        yield opened


@pytest.mark.exhaustive
@pytest.mark.timeout(600)
def test_a_push_deploys_and_a_person_rolls_back(world: ActionsWorld) -> None:
    first = world.push("First")
    assert "v1 is live in staging" in world.run("deploy", "push")
    assert world.project.served_commits() == {"frontend": first, "backend": first}

    world.push_only("README.md", "# Shop\n")
    assert "nothing to do: everything is up to date" in world.run("deploy", "push")
    assert world.project.served_commits() == {"frontend": first, "backend": first}

    world.push("Break the tests", broken="")
    assert "exit code 1" in world.run("deploy", "push", succeeds=False)
    assert world.project.served_commits() == {"frontend": first, "backend": first}
    assert list((world.folder / "uploaded").rglob("backend.test*.log"))  # what a person reads

    (world.project.folder / "broken").unlink()
    second = world.push("Second")
    world.run("deploy", "push")
    assert world.project.served_commits() == {"frontend": second, "backend": second}

    said = world.run("deploy", "push", commit=first)  # it waited longer than the newer one, or was started again
    assert f"superseded, so nothing was deployed: {first[:7]} is older than {second[:7]}" in said
    assert world.project.served_commits() == {"frontend": second, "backend": second}

    details = HOSTILE[0] + HOSTILE[1]
    inputs = {"environment": "staging", "release": "", "service": "all", "reason": "critical bug", "details": details}
    world.run("rollback", "workflow_dispatch", inputs)
    assert world.project.served_commits() == {"frontend": first, "backend": first}
    assert not list(world.folder.rglob("owned"))
    world.project.folder = world.runner
    shown = json.loads(world.project.run("show", "--json", variables={"ABREAST_STATE": "git"}).stdout)
    assert shown["reason"] == f"critical bug: {details}"

    assert f"{second[:7]} is the commit of" in world.run("deploy", "push", commit=second)
    assert world.project.served_commits() == {"frontend": first, "backend": first}
    inputs = {"environment": "staging", "service": "all", "allow-older": "true", "reason": "it was not the cause"}
    world.run("deploy", "workflow_dispatch", inputs, commit=second)
    assert world.project.served_commits() == {"frontend": second, "backend": second}


@pytest.mark.exhaustive
@pytest.mark.timeout(600)
def test_a_running_deployment_is_turned_back_from_another_runner_and_a_cancelled_one_is_taken_over(
    world: ActionsWorld,
) -> None:
    staging = world.project.config["environments"]["staging"]
    first = world.push("First")
    world.deploy_here()
    staging["settle"] = "300s"
    second = world.push("Second")
    deploying = world.start("deploy", "push")
    eventually(lambda: world.project.served_commits() == {"frontend": second, "backend": second}, 90)
    git(world.folder, "clone", "-q", str(world.remote), "elsewhere")
    inputs = {"environment": "staging", "service": "all", "reason": "service outage"}
    world.run("rollback", "workflow_dispatch", inputs, world.folder / "elsewhere")
    assert deploying.wait(scaled(60)) != 0
    assert world.project.served_commits() == {"frontend": first, "backend": first}

    stubborn = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"  # turned back in no less than 10 s
    third = world.push("Third", app_py=stubborn + (world.project.folder / "app.py").read_text())
    running = world.start("deploy", "push")
    eventually(lambda: world.project.served_commits() == {"frontend": third, "backend": third}, 90)
    world.cancel(running)
    assert running.returncode != 0

    staging["settle"] = "300ms"
    fourth = world.push("Fourth")
    said = world.run("deploy", "push")
    assert "was interrupted; finishing it first" in said
    assert world.project.served_commits() == {"frontend": fourth, "backend": fourth}


@pytest.mark.exhaustive
@pytest.mark.timeout(300)
def test_no_input_is_read_by_a_shell(tmp_path: Path) -> None:
    with ActionsWorld(tmp_path / "w", recording_program(tmp_path)) as world:
        for release, details in zip(HOSTILE, HOSTILE[::-1], strict=True):
            inputs = {
                "environment": "staging",
                "release": release,
                "service": "all",
                "reason": "outage",
                "details": details,
            }
            said = world.run("rollback", "workflow_dispatch", inputs)
            arguments = json.loads((tmp_path / "arguments.json").read_text())
            to, reason = (re.sub(r"[\x00-\x1f\x7f]", " ", text) for text in (release, details))
            assert arguments == ["rollback", "--env=staging", f"--to={to}", f"--reason=outage: {reason}", "--yes"]
            assert not [line for line in said.splitlines() if "❗" in line]  # no workflow command among it
    assert not list(tmp_path.rglob("owned"))


@pytest.mark.exhaustive
@pytest.mark.timeout(600)
def test_a_pull_request_has_a_preview_until_it_is_closed(world: ActionsWorld) -> None:
    world.project.config["environments"]["staging"]["preview"] = True
    world.project.config["services"]["frontend"] |= {"folder": "site", "routes": {"/api": "backend"}}
    world.project.config["services"]["backend"]["watch"] = ["app.py"]
    (world.project.folder / "site").mkdir()
    (world.project.folder / "site" / "text").write_text("first")
    world.project.commit("Previews")
    world.project.run("init", "--github", "--yes")
    first = world.push("Workflows")
    world.deploy_here()
    world.project.git("checkout", "-qb", "topic")
    world.push_only("site/text", "of the pull request")
    world.project.git("push", "-q", "origin", "topic")
    head = world.project.git("rev-parse", "HEAD").strip()

    def pull_request(action: str, *, fork: bool = False) -> str:
        described = {"number": 17, "head": {"sha": head, "repo": {"fork": fork}}}
        payload = {"action": action, "number": 17, "pull_request": described}
        return world.run("preview", "pull_request", commit=head, payload=payload)

    said = pull_request("opened", fork=True)
    assert "live" not in said
    assert "removed" not in said
    assert "v2 is live in staging-pr-17" in pull_request("opened")
    assert "nothing to do" in pull_request("synchronize")
    status = json.loads(world.run_here("status", "--json"))["environments"]
    preview = status["staging-pr-17"]["services"]
    assert preview.keys() == {"frontend"}
    assert json.loads(get_text(preview["frontend"]["url"]))["commit"] == head
    assert json.loads(get_text(f"{preview['frontend']['url']}/api/x"))["commit"] == first
    assert "0 removed, 1 left" in world.run("preview", "schedule", payload={"schedule": "41 4 * * *"})
    assert "staging-pr-17 is removed" in pull_request("closed")
    assert "staging-pr-17" not in json.loads(world.run_here("status", "--json"))["environments"]
    with pytest.raises(OSError, match="refused"):
        get_text(preview["frontend"]["url"])
    assert world.project.served_commits() == {"frontend": first, "backend": first}
    assert "0 removed, 0 left" in world.run("preview", "schedule", payload={"schedule": "41 4 * * *"})


@pytest.mark.exhaustive
@pytest.mark.timeout(600)
def test_production_takes_what_staging_has_tried_and_goes_back_in_an_emergency(world: ActionsWorld) -> None:
    environments = world.project.config["environments"]
    ports = free_ports(2)
    environments["production"] = {
        "settle": "300ms", "promotion": {"source": "staging"}, "approval": {"by": ["ada", "nektos/act"], "not_author": False},
        **{name: {"local": {"port": port}} for name, port in zip(("frontend", "backend"), ports, strict=True)},
    }  # fmt: skip
    world.project.commit("Production")
    world.project.run("init", "--github", "--yes")
    commits = [world.push("First")]
    world.deploy_here()
    inputs = {"environment": "production", "release": "", "deployment": "", "reason": HOSTILE[0]}
    assert "approving" in world.run("promote", "workflow_dispatch", inputs)
    waiting = json.loads(world.run_here("show", "--json"))
    assert (waiting["environment"], waiting["state"], waiting["reason"]) == ("production", "approving", HOSTILE[0])
    ada = {"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "ada", "GITHUB_RUN_ID": "1", "GITHUB_REPOSITORY": "o/r"}
    world.run_here("approve", waiting["id"], variables=ada)
    assert "v1 is live in production" in world.run("promote", "workflow_dispatch", inputs)
    assert get_json(ports[1])["commit"] == commits[0]
    commits.append(world.push("Second", app_py=world.project.app_source('    return 200, {"new": 1}\n')))
    world.deploy_here()
    assert "refused" not in world.run("promote", "workflow_dispatch", {**inputs, "release": "v1"})
    for command in (["promote", "--to", "production", "--yes"], ["approve"], ["resume"]):
        world.run_here(*command, variables=ada)
    assert get_json(ports[1])["commit"] == commits[1]
    back = {"environment": "production", "reason": "critical bug", "service": "all", "emergency": "true"}
    world.run("rollback", "workflow_dispatch", back)
    assert get_json(ports[1])["commit"] == commits[0]
    assert not list(world.folder.rglob("owned"))
    world.run_here("down", "--env", "production", "--yes")
