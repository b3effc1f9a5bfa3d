"""Staging tries a release, production takes the same artifacts of it."""

import copy
import json
from collections.abc import Iterator

import pytest

from sample_project import SampleProject, eventually, free_ports, get_json

ADA = {"GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "1", "GITHUB_REPOSITORY": "octo/shop", "ABREAST_STATE": ".abreast",
       "GITHUB_ACTOR": "ada", "GITHUB_TOKEN": ""}  # fmt: skip


@pytest.fixture
def stages(project: SampleProject) -> Iterator[SampleProject]:
    """``local`` tries releases, ``production`` takes them: with ports and variables of its own."""
    environments = project.config["environments"]
    environments["production"] = copy.deepcopy(environments["local"]) | {"promotion": {"source": "local"}}
    for service, port in zip(("frontend", "backend"), free_ports(2), strict=True):
        environments["production"][service] = {"local": {"port": port}}
    project.commit("Two stages")
    yield project
    project.run("down", "--env", "production", "--yes", code=None)


def promote(project: SampleProject, *arguments: str, code: int | None = 0) -> str:
    done = project.run("promote", "--to", "production", "--yes", *arguments, code=code)
    return done.stdout + done.stderr


def in_production(project: SampleProject) -> dict[str, str]:
    described = project.config["environments"]["production"]
    return {name: get_json(described[name]["local"]["port"])["commit"] for name in ("frontend", "backend")}


@pytest.mark.smoke
def test_the_same_artifacts_go_to_production(stages: SampleProject) -> None:
    assert "nothing is live in local yet" in promote(stages, code=2)
    commit = stages.commit("First")
    stages.deploy()
    assert "takes releases that local has tried" in stages.deploy("--env", "production", code=3).stderr
    stages.commit("Not yet tried")
    promote(stages)
    assert in_production(stages) == dict.fromkeys(("frontend", "backend"), commit)
    assert len(stages.built_services(commit)) == 2, "nothing was built again"
    digests = [
        {name: found["artifact"] for name, found in _services(stages, environment).items()}
        for environment in ("local", "production")
    ]
    assert digests[0] == digests[1]
    assert "nothing to do" in promote(stages)


def test_a_release_in_two_environments_is_the_one_that_is_asked_for(stages: SampleProject) -> None:
    stages.deploy()
    promote(stages)
    for environment in ("local", "production"):
        record = json.loads(stages.run("audit", "change", "v1", "--env", environment, "--json").stdout)
        assert environment in json.dumps(record)
        assert record["id"] == _latest(stages, environment)
    latest = _latest(stages, "production")
    for command in (("audit", "change"), ("logs",), ("incident",)):
        refused = stages.run(*command, latest, "--env", "local", code=2).stderr
        assert f"deployment {latest} is one of production, not of local" in refused


def _latest(project: SampleProject, environment: str) -> str:
    return str(json.loads(project.run("history", "--env", environment, "--json").stdout)[0]["id"])


def _services(project: SampleProject, environment: str) -> dict[str, dict[str, str]]:
    told = json.loads(project.run("status", "--env", environment, "--json").stdout)
    return dict(told["environments"][environment]["services"])


def test_the_soak_time_belongs_to_the_release(stages: SampleProject) -> None:
    stages.config["environments"]["production"]["promotion"]["soak"] = "8s"
    first = stages.commit("First")
    stages.deploy()
    told = promote(stages, code=3)
    assert "v1 may be promoted in" in told
    assert "abreast promote --to production --release v1" in told, "what to type then"
    stages.commit("Second")
    stages.deploy()
    assert "v2 may be promoted in" in promote(stages, code=3)
    eventually(lambda: promote(stages, "--release", "v1", code=None) and in_production(stages)["backend"] == first)


def test_what_staging_took_back_or_never_had_stays_out(stages: SampleProject) -> None:
    stages.commit("First")
    stages.deploy()
    stages.commit("Second")
    stages.deploy()
    second = stages.latest_deployment()["id"]
    stages.run("rollback", "--env", "local", "--yes", "--reason", "critical bug")
    refused = promote(stages, "--deployment", second, code=3)
    assert "v2 was taken back in local: rolled back to v1" in refused
    assert "critical bug" in refused
    assert "there is no release 'v9'" in promote(stages, "--release", "v9", code=2)
    promote(stages)
    production = stages.latest_deployment()["id"]
    assert "is a deploy of production" in promote(stages, "--deployment", production, code=2)
    assert "is of v2, not of v1" in promote(stages, "--deployment", second, "--release", "v1", code=2)
    assert "come from local, not from production" in promote(stages, "--from", "production", code=2)


def test_what_is_sick_in_staging_stays_out(stages: SampleProject) -> None:
    mark = stages.folder.parent / "sick"
    sick_later = f"    return (503, {{}}) if os.path.exists({str(mark)!r}) else (200, {{}})\n"
    stages.commit("First", app_py=stages.app_source(sick_later))
    stages.deploy()
    mark.touch()
    try:
        assert "v1 is not healthy in local: backend: " in promote(stages, code=3)
    finally:
        mark.unlink()
    promote(stages)


def test_production_asks_people_and_runs_its_own_gates(stages: SampleProject) -> None:
    described = stages.config["environments"]["production"]
    described["approval"] = {"by": ["ada"], "not_author": True}
    stages.config["gates"] = {"lint": "test ! -e broken"}
    commit = stages.commit("First")
    stages.deploy()
    assert "approving" in promote(stages)
    waiting = stages.latest_deployment()
    assert waiting["release"] == "v1"
    stages.run("approve", waiting["id"], variables=ADA)
    promote(stages)
    assert stages.latest_deployment()["id"] == waiting["id"]
    assert in_production(stages)["frontend"] == commit
