"""A service whose code listens on a port of its own: its versions take turns, and say so."""

import urllib.error
from dataclasses import dataclass

import pytest

from sample_project import HEALTHY, NEVER_HEALTHY, SampleProject, free_ports, get_json


@dataclass
class World:
    """The sample project with a backend that does not read ``$PORT``."""

    project: SampleProject
    port: int

    def commit(self, health: str = HEALTHY) -> str:
        source = self.project.app_source(health).replace('int(os.environ["PORT"])', str(self.port))
        return self.project.commit(app_py=source)

    def served(self) -> str:
        return str(get_json(self.project.backend_port)["commit"])


@pytest.fixture
def world(project: SampleProject) -> World:
    (port,) = free_ports(1)
    del project.config["services"]["frontend"], project.config["environments"]["local"]["frontend"]
    project.config["environments"]["local"]["backend"]["local"]["app_port"] = port
    project.config["services"]["backend"]["health"]["start"] = "3s"
    return World(project, port)


@pytest.mark.exhaustive
def test_versions_take_turns_and_a_bad_one_gives_the_port_back(world: World) -> None:
    world.project.config["services"]["backend"]["instances"] = 2
    first = world.commit()
    said = world.project.deploy()
    assert f"its code listens on port {world.port}, so two versions cannot run side by side" in said.stdout
    assert world.served() == first
    second = world.commit()
    world.project.deploy()
    assert world.served() == second
    assert get_json(world.port)["commit"] == second
    world.commit(NEVER_HEALTHY)
    world.project.deploy(code=1)
    assert world.served() == second
    assert world.project.status()["services"]["backend"]["health"] == "healthy"


@pytest.mark.exhaustive
def test_code_that_begins_to_read_its_port_gets_candidates(world: World) -> None:
    world.commit()
    world.project.deploy()
    del world.project.config["environments"]["local"]["backend"]["local"]["app_port"]
    commit = world.project.commit(app_py=world.project.app_source(HEALTHY))
    said = world.project.deploy()
    assert "two versions cannot run" not in said.stdout
    assert world.served() == commit
    with pytest.raises(urllib.error.URLError):
        get_json(world.port)


@pytest.mark.parametrize("instances", [1, pytest.param(2, marks=pytest.mark.exhaustive)])
def test_a_port_that_nobody_declared_is_named(world: World, instances: int) -> None:
    del world.project.config["environments"]["local"]["backend"]["local"]["app_port"]
    world.project.config["services"]["backend"]["instances"] = instances
    world.commit()
    said = world.project.deploy(code=1)
    assert f"listens on port {world.port}, not on $PORT" in said.stdout + said.stderr
    assert f"`local: {{app_port: {world.port}}}`" in said.stdout + said.stderr
