"""A service that gets another name stays where it is on its platform, and with it all users."""

from pathlib import Path

import pytest

from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from multi_cloud import MultiCloudProject, multi_cloud_project
from sample_project import SampleProject

NAMES = (("frontend", "site"), ("backend", "api"), ("worker", "jobs"))


def rename(world: MultiCloudProject) -> str:
    """Rename all services, and return the commit."""
    services, environment = world.project.config["services"], world.project.config["environments"]["local"]
    for old, new in NAMES:
        services[new], environment[new] = services.pop(old), environment.pop(old)
    return world.project.commit("Renamed")


@pytest.mark.timeout(280)
@pytest.mark.parametrize("environment", ["local", "local-pr-17"])
def test_renamed_services_take_the_places_of_the_old_ones(
    project: SampleProject, tmp_path: Path, environment: str
) -> None:
    for service in project.config["services"].values():
        service["health"] = {"path": "/", "hold": "0s", "start": "5s"}
    project.config["environments"]["local"]["preview"] = True
    (tmp_path / "running").mkdir()
    with multi_cloud_project(project, tmp_path / "running") as world:
        base = project.commit()
        world.deploy("--env", "local")
        project.commit(app_py=project.app_source('    return 200, {"new": 1}\n'))
        world.deploy("--env", environment)
        places = sorted(world.render.services), sorted(world.huggingface.spaces)
        commit = rename(world)
        planned = project.run("plan", "--env", environment, variables=world.variables).stdout
        assert "its place at render is taken by api" in planned
        world.render.faults.planned = [InjectedFault("POST", "/deploys$", FaultKind.STATUS, status=400, times=9)]
        world.deploy("--env", environment, code=1)
        world.clear_faults()
        assert not any(service.is_suspended for service in world.render.services.values())

        world.deploy("--env", environment)
        assert (sorted(world.render.services), sorted(world.huggingface.spaces)) == places
        assert not any(service.is_suspended for service in world.render.services.values())
        assert world.served_commits == world.all_at_commit(commit if environment == "local" else base)
        if environment != "local":
            project.run("down", "--env", environment, "--yes", variables=world.variables)
            assert (len(world.render.services), len(world.huggingface.spaces)) == (1, 1)


def test_a_service_that_keeps_the_port_of_its_old_name_is_told_before_anything_is_built(project: SampleProject) -> None:
    first = project.commit()
    project.deploy()
    services, environment = project.config["services"], project.config["environments"]["local"]
    services["site"], environment["site"] = services.pop("frontend"), environment.pop("frontend")
    renamed = project.commit("Renamed")
    refused = project.deploy(code=1).stderr
    assert f"site: port {project.frontend_port} is that of frontend, which is live until traffic switches" in refused
    assert "next:   abreast down --env local, then the same command" in refused
    assert "which is live" in project.run("doctor", code=1).stdout
    project.run("down", "--env", "local", "--yes")
    project.deploy()
    assert project.status()["services"]["site"]["commit"] == renamed
    back = ("rollback", "--yes", "--reason", "critical bug: it was better")
    assert "port" in project.run(*back, code=1).stderr
    project.run("down", "--env", "local", "--yes")
    project.run(*back)
    assert project.status()["services"]["frontend"]["commit"] == first
