"""A preview across three clouds: made beside what is live, and gone from all of them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from multi_cloud import MultiCloudProject, multi_cloud_project
from sample_project import NEVER_HEALTHY, SampleProject, get_text

PREVIEW = ("--env", "local-pr-17")


@pytest.fixture
def world(project: SampleProject, tmp_path: Path) -> Iterator[MultiCloudProject]:
    """Three clouds with a release, and a state in git, so that each command can come from another machine."""
    for service in project.config["services"].values():
        service["health"] = {"path": "/", "hold": "0s", "start": "5s"}
    services = project.config["services"]
    services["frontend"] |= {"watch": ["site.txt"], "routes": {"/api": "backend"}}
    project.config["environments"]["local"]["preview"] = True
    (tmp_path / "running").mkdir()
    with multi_cloud_project(project, tmp_path / "running") as made:
        services["worker"]["watch"] = services["backend"]["watch"] = ["app.py"]
        project.git("init", "-q", "--bare", str(tmp_path / "remote.git"))
        project.git("remote", "add", "origin", str(tmp_path / "remote.git"))
        project.commit(site_txt="one")
        project.git("push", "-q", "origin", "main")
        run(made, "deploy", "--yes")
        yield made
        for name in ("local", "local-pr-17"):
            run(made, "down", "--env", name, "--yes", code=None)


def run(world: MultiCloudProject, *arguments: str, code: int | None = 0) -> str:
    """Run a command as a new machine does, on which nothing is but the clone and the variables."""
    variables = {**world.variables, "ABREAST_STATE": "git"}
    world.project.git("clean", "-qffdx")
    done = world.project.run(*arguments, code=code, variables=variables)
    return done.stdout + done.stderr


def base_state(world: MultiCloudProject) -> object:
    """Return what users of the base reach, and what there is beside it."""
    return world.served_commits, sorted(world.render.services), sorted(world.huggingface.spaces)


def live(world: MultiCloudProject) -> dict[str, str]:
    """Return the URL of each service of the preview."""
    told = json.loads(run(world, "status", *PREVIEW, "--json").partition("\nas it")[0])
    return {name: str(found["url"]) for name, found in told["environments"]["local-pr-17"]["services"].items()}


@pytest.mark.timeout(280)
def test_a_preview_is_on_three_clouds_until_it_is_removed(world: MultiCloudProject) -> None:
    before = base_state(world)
    world.project.commit(site_txt="two")
    planned = run(world, "plan", *PREVIEW)
    assert "shared with local" in planned
    run(world, "deploy", "--yes", *PREVIEW)
    urls = live(world)
    assert urls.keys() == {"frontend"}
    assert base_state(world) == before

    both = world.project.commit("Everything", app_py=world.project.app_source('    return 200, {"new": 1}\n'))
    told = run(world, "plan", *PREVIEW)
    assert re.search("note: .*(cost|bill)", told)
    run(world, "deploy", "--yes", *PREVIEW)
    urls = live(world)
    assert urls.keys() == {"frontend", "backend", "worker"}
    assert {json.loads(get_text(urls[name]))["commit"] for name in ("backend", "worker")} == {both}
    assert world.served_commits == before[0]  # type: ignore[index]
    assert len(world.render.services) == 2
    assert len(world.huggingface.spaces) == 2

    world.huggingface.faults.planned = [InjectedFault("DELETE", "/api/repos", FaultKind.STATUS, times=100)]
    failed = run(world, "down", *PREVIEW, "--yes", code=1)
    assert "local-pr-17 is not wholly removed: worker: " in failed
    assert "abreast down --env local-pr-17" in failed
    world.clear_faults()
    assert "local-pr-17 is removed" in run(world, "down", *PREVIEW, "--yes")
    assert base_state(world) == before
    for url in urls.values():
        assert both not in get_text(url)


@pytest.mark.timeout(280)
def test_a_preview_of_which_one_cloud_fails_leaves_the_base_and_can_be_removed(world: MultiCloudProject) -> None:
    before = base_state(world)
    world.project.commit("Sick", app_py=world.project.app_source(NEVER_HEALTHY), site_txt="two")
    world.render.build_error = "no space left"
    run(world, "deploy", "--yes", *PREVIEW, code=1)
    assert live(world) == {}
    world.clear_faults()
    run(world, "down", *PREVIEW, "--yes")
    assert base_state(world) == before
