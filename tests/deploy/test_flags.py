"""Feature flags: what code gets, what a plan says, and what goes back with a release."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from sample_project import SampleProject, free_ports, get_json

SHOWS_FLAGS = '    return 200, {"flag": os.environ["FLAG_NEW_CHECKOUT"], "all": os.environ["ABREAST_FLAGS"]}\n'
SHOWS_ONE = '    return 200, {"flag": os.environ["FLAG_NEW_CHECKOUT"], "all": "{}"}\n'
ON = {"new_checkout": True, "rate": 0.25}
OFF = {"new_checkout": False, "rate": 0.25}


@pytest.fixture
def flagged(project: SampleProject) -> Iterator[SampleProject]:
    """A frontend whose build writes flags into its page, a backend that answers with those that it runs with."""
    project.config["flags"] = dict(OFF)
    project.config["services"]["frontend"]["build"]["run"] = (
        f"echo frontend $ABREAST_COMMIT >> {project.build_log}; mkdir dist; echo "
        '"{\\"commit\\": \\"$ABREAST_COMMIT\\", \\"flag\\": \\"$FLAG_NEW_CHECKOUT\\"}" > dist/index.html'
    )
    environments = project.config["environments"]
    environments["production"] = copy.deepcopy(environments["local"])
    for service, port in zip(("frontend", "backend"), free_ports(2), strict=True):
        environments["production"][service] = {"local": {"port": port}}
    yield project
    project.run("down", "--env", "production", "--yes", code=None)


def seen(project: SampleProject, environment: str = "local") -> tuple[str, str, dict[str, Any]]:
    """Return the flag that the page was built with, the one that the backend has, and all that it has."""
    ports = [project.config["environments"][environment][name]["local"]["port"] for name in ("frontend", "backend")]
    backend = get_json(ports[1], "/health")
    return get_json(ports[0])["flag"], backend["flag"], json.loads(backend["all"])


def artifacts(project: SampleProject, environment: str = "local") -> dict[str, str]:
    told = json.loads(project.run("status", "--env", environment, "--json").stdout)
    return {name: found["artifact"] for name, found in told["environments"][environment]["services"].items()}


@pytest.mark.smoke
def test_a_flag_reaches_code_and_goes_back_with_its_release(flagged: SampleProject) -> None:
    project = flagged
    commit = project.commit("Flags", app_py=project.app_source(SHOWS_FLAGS))
    project.deploy("--env", "local")
    assert seen(project) == ("false", "false", OFF)
    before = artifacts(project)

    project.config["environments"]["local"]["flags"] = {"new_checkout": True}
    later = project.commit("Turn it on")
    plan = project.run("plan", "--env", "local").stdout
    assert "flags: new_checkout off → on\n" in plan
    told = json.loads(project.run("plan", "--env", "local", "--json").stdout)
    assert told["flags"] == [
        {"name": "new_checkout", "before": False, "after": True, "services": ["frontend", "backend"]}
    ]
    summary = project.folder.parent / "summary.md"
    in_ci = {
        "GITHUB_ACTIONS": "true",
        "GITHUB_RUN_ID": "1",
        "GITHUB_REPOSITORY": "octo/shop",
        "ABREAST_STATE": ".abreast",
    }
    project.run("plan", "--env", "local", variables={**in_ci, "GITHUB_TOKEN": "", "GITHUB_STEP_SUMMARY": str(summary)})
    assert "**Flags**\n\n- ` new_checkout off → on `" in summary.read_text()
    project.deploy("--env", "local")
    assert seen(project) == ("true", "true", ON)

    back = project.run("rollback", "--env", "local", "--yes", "--reason", "not yet").stdout
    assert "flags: new_checkout on → off" in back
    assert seen(project) == ("false", "false", OFF)
    assert artifacts(project) == before
    assert sorted(project.built_services(commit)) == ["backend", "frontend"], "nothing was built again"
    assert "frontend" in project.built_services(later)


def test_the_build_of_a_backend_does_not_depend_on_flags(flagged: SampleProject) -> None:
    project = flagged
    project.config["services"]["backend"]["build"] = "env > built.txt"
    project.commit("Flags", app_py=project.app_source(SHOWS_FLAGS))
    project.deploy("--env", "local")
    before = artifacts(project)
    project.config["environments"]["local"]["flags"] = {"new_checkout": True}
    (project.folder / "abreast.yml").write_text(
        json.dumps(project.config)
    )  # the files of the services stay as they are
    project.git("-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qam", "Turn it on")
    project.deploy("--env", "local")
    assert seen(project) == ("true", "true", ON)
    after = artifacts(project)
    assert after["frontend"] != before["frontend"]
    built = (project.folder / ".abreast" / "artifacts").rglob("built.txt")
    assert "FLAG" not in "".join(file.read_text() for file in built)


def test_a_promotion_keeps_the_bytes_and_says_which_flags_are_in_them(flagged: SampleProject) -> None:
    project = flagged
    project.config["environments"]["production"]["promotion"] = {"source": "local"}
    project.config["environments"]["local"]["flags"] = {"new_checkout": True, "rate": 1}
    project.commit("Flags", app_py=project.app_source(SHOWS_ONE))
    project.deploy("--env", "local")
    promoted = project.run("promote", "--to", "production", "--yes").stdout
    note = (
        "it was built with the flag new_checkout on, and is not built again: "
        "it does not become off, which is what production has"
    )
    assert note in promoted
    assert "the flag rate" not in promoted, "no code reads that one"
    assert artifacts(project, "production") == artifacts(project, "local")
    assert seen(project, "production") == ("true", "false", {})
    found = project.run("doctor", code=None).stdout
    assert "new_checkout is on in local and off in production: frontend is built with on" in found


def test_an_environment_that_extends_another_shows_flags_in_config(flagged: SampleProject) -> None:
    project = flagged
    project.config["environments"]["local"]["flags"] = {"new_checkout": True}
    project.commit("Flags")
    differing = project.run("config", "diff", "local", "production").stdout
    assert "flags.new_checkout" in differing
    assert "flags.rate" not in differing
