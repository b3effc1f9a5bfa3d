"""A service that gets another name stays where it is on its platform, and with it all users."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from abreast.testing.platforms.fault_injection import FaultKind, InjectedFault
from multi_cloud import MultiCloudProject, multi_cloud_project
from sample_project import APP_SOURCE, HEALTHY, UNHEALTHY_AFTER_REQUESTS, SampleProject, get_json
from users import users

NAMES = (("frontend", "site"), ("backend", "api"), ("worker", "jobs"))


def rename(world: MultiCloudProject) -> str:
    """Rename all services, and return the commit."""
    services, environment = world.project.config["services"], world.project.config["environments"]["local"]
    for old, new in NAMES:
        services[new], environment[new] = services.pop(old), environment.pop(old)
    return world.project.commit("Renamed")


@pytest.mark.timeout(280)
def test_renamed_services_take_the_places_of_the_old_ones(project: SampleProject, tmp_path: Path) -> None:
    for service in project.config["services"].values():
        service["health"] = {"path": "/", "hold": "0s", "start": "5s"}
    project.config["environments"]["local"]["preview"] = True
    (tmp_path / "running").mkdir()
    with multi_cloud_project(project, tmp_path / "running") as world:
        base = project.commit()
        world.deploy("--env", "local")
        project.commit(app_py=project.app_source('    return 200, {"new": 1}\n'))
        world.deploy("--env", "local-pr-17")
        commit = rename(world)
        places_are_taken(world, "local-pr-17")
        assert world.served_commits == world.all_at_commit(base)
        project.run("down", "--env", "local-pr-17", "--yes", variables=world.variables)
        assert (len(world.render.services), len(world.huggingface.spaces)) == (1, 1)

        places_are_taken(world, "local")
        assert world.served_commits == world.all_at_commit(commit)


def places_are_taken(world: MultiCloudProject, environment: str) -> None:
    """Deploy the renamed services: once in vain, then for good."""
    places = sorted(world.render.services), sorted(world.huggingface.spaces)
    planned = world.project.run("plan", "--env", environment, variables=world.variables).stdout
    assert "its place at render is taken by api" in planned
    world.render.faults.planned = [InjectedFault("POST", "/deploys$", FaultKind.STATUS, status=400, times=9)]
    world.deploy("--env", environment, code=1)
    world.clear_faults()
    assert not any(service.is_suspended for service in world.render.services.values())

    world.deploy("--env", environment)
    assert (sorted(world.render.services), sorted(world.huggingface.spaces)) == places
    assert not any(service.is_suspended for service in world.render.services.values())


@contextmanager
def users_of(port: int) -> Iterator[list[tuple[str, str]]]:
    """Send requests until the block ends; yield the release and commit of each answer, in order, or what failed."""
    answers = list[tuple[str, str]]()

    def send() -> None:
        try:
            found = get_json(port)
            answers.append((found["release"], found["commit"]))
        except (OSError, ValueError) as error:
            answers.append(("failed", str(error)))

    with users(2, send):
        yield answers


def test_a_service_that_keeps_the_port_of_its_old_name_takes_it_at_the_switch(project: SampleProject) -> None:
    first = project.commit()
    project.deploy()
    services, environment = project.config["services"], project.config["environments"]["local"]
    for old, new in (("frontend", "site"), ("backend", "api")):
        services[new], environment[new] = services.pop(old), environment.pop(old)
    broken = project.commit("Renamed and broken", app_py=APP_SOURCE.replace(HEALTHY, UNHEALTHY_AFTER_REQUESTS))
    data = project.folder / ".abreast" / "local" / "local" / "data" / "backend"
    assert "its data stay" not in project.run("plan").stdout
    (data / "shop.db").write_text("orders")
    assert f"its data stay in {data}: no service of another name gets them" in project.run("plan").stdout
    told = f"port {project.frontend_port} is that of frontend, which is live: it goes to site when traffic switches"
    assert told in project.run("doctor", code=None).stdout
    with users_of(project.backend_port) as at_backend:
        project.deploy(code=1)
    assert {commit for _, commit in at_backend} == {first, broken}, "it is turned back under users, and none is lost"
    renamed = project.commit("Renamed", app_py=APP_SOURCE)
    with users_of(project.backend_port) as at_backend, users_of(project.frontend_port) as at_frontend:
        project.deploy()
        project.run("rollback", "--yes", "--emergency", "--reason", "critical bug: it was better")
    for answers in (at_backend, at_frontend):
        assert {commit for _, commit in answers} == {first, renamed}, "nobody got anything else"
    assert project.served_commits() == {"frontend": first, "backend": first}
    assert project.status()["services"].keys() == {"frontend", "backend"}


def test_two_names_at_one_port_are_refused_where_the_old_one_stays(project: SampleProject) -> None:
    project.commit()
    project.deploy()
    services, environment = project.config["services"], project.config["environments"]["local"]
    services["site"], environment["site"] = services.pop("frontend"), environment.pop("frontend")
    project.commit("Renamed")
    told = project.deploy("--service", "site", code=1).stderr
    assert f"site: port {project.frontend_port} is that of frontend, which stays live" in told
    assert "next:   abreast deploy --env local" in told
    assert project.status()["services"]["frontend"]["release"] == "v1"
