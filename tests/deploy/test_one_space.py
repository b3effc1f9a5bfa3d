"""A backend in one Space, by the command line: what the plan says, and the way back."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from abreast.testing.platforms import huggingface
from abreast.testing.platforms.threaded_server import ThreadedServer
from multi_cloud import DOCKERFILE
from sample_project import SampleProject, get_text


@dataclass
class World:
    """The project, and the Space that its backend is in."""

    project: SampleProject
    hub: huggingface.HuggingFaceEmulator
    url: str

    def run(self, *arguments: str, code: int = 0) -> str:
        variables = {"HF_ENDPOINT": self.url, "HF_TOKEN": huggingface.TOKEN, "API_KEY": "s3cret-value"}
        done = self.project.run(*arguments, code=code, variables=variables)
        return done.stdout + done.stderr

    @property
    def space(self) -> huggingface.space_runtime.Space:
        return self.hub.spaces["owner/api"]


@pytest.fixture
def world(project: SampleProject, tmp_path: Path) -> Iterator[World]:
    hub = huggingface.HuggingFaceEmulator(tmp_path)
    hub.add_space("owner/api")
    del project.config["services"]["frontend"], project.config["environments"]["local"]["frontend"]
    project.config["services"]["backend"]["env"] = {"COLOUR": "red", "API_KEY": "${API_KEY}"}
    project.config["environments"]["local"]["backend"] = {"huggingface": {"space": "owner/api"}}
    with ThreadedServer(hub.app) as server:
        yield World(project, hub, server.url)
    hub.close()


@pytest.mark.exhaustive
def test_the_plan_says_what_restarts_and_the_way_back_needs_no_commit(world: World) -> None:
    first = world.project.commit("One", Dockerfile=DOCKERFILE)
    assert "its whole checkout (4 files) becomes public in the Space owner/api" in world.run("plan")
    world.run("deploy", "--yes")
    assert first in get_text(f"{world.url}/h/owner/api/")
    world.project.git("update-ref", "-d", "HEAD")
    world.project.config["services"]["backend"]["env"]["COLOUR"] = "blue"
    second = world.project.commit("Two", Dockerfile=f"{DOCKERFILE}EXPOSE 8000\n")
    world.project.git("reflog", "expire", "--expire=now", "--all")
    world.project.git("gc", "-q", "--prune=now")
    told = world.run("deploy", "--yes", "--allow-older", "--reason", "its history is another one")
    assert "the turn sets COLOUR; each write restarts the Space that users are on" in told
    assert "the turn sets API_KEY where the value has changed" in told
    assert "its Dockerfile exposes port 8000, and the Space owner/api sends requests to port 7860 (app_port)" in told
    assert "s3cret-value" not in told
    assert second in get_text(f"{world.url}/h/owner/api/")
    assert world.space.restart_count == 1
    world.run("rollback", "--yes", "--reason", "no")
    assert first in get_text(f"{world.url}/h/owner/api/")
    assert world.space.variables["COLOUR"].value == "red"


def test_a_space_gets_the_folder_of_its_service(world: World) -> None:
    """A repository of several services: the Dockerfile stands in the folder, and copies what is beside it."""
    project = world.project
    (project.folder / "api").mkdir()
    (project.folder / "app.py").rename(project.folder / "api" / "app.py")
    (project.folder / "api" / "Dockerfile").write_text(DOCKERFILE)
    (project.folder / "notes.txt").write_text("of nobody else's concern")
    project.config["services"]["backend"]["folder"] = "api"
    commit = project.commit()
    assert "its folder api (2 files) becomes public in the Space owner/api" in world.run("plan")
    world.run("deploy", "--yes")
    assert commit in get_text(f"{world.url}/h/owner/api/")
    sent = HfApi(endpoint=world.url, token=huggingface.TOKEN).list_repo_files("owner/api", repo_type="space")
    assert {*sent} == {"Dockerfile", "app.py", "abreast-release.json", "README.md"}  # which is the Space's own
    project.git("mv", "api/Dockerfile", "api/Containerfile")
    del project.config["services"]["backend"]["build"]
    project.commit()
    assert "the commit has no api/Dockerfile, so the Space owner/api cannot build it" in world.run("plan", code=1)


def test_a_commit_that_a_space_cannot_build_is_refused_in_the_plan(world: World) -> None:
    del world.project.config["services"]["backend"]["build"]
    world.project.commit("No Dockerfile")
    assert "the commit has no Dockerfile, so the Space owner/api cannot build it" in world.run("plan", code=1)
    told = world.run("doctor", code=1)
    assert re.search(r"fault +backend \(huggingface\) +the commit has no Dockerfile", told)
