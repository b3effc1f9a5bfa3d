"""Killed at every write of a release across clouds, it goes on: all services new, and nothing made twice.

Two deployments, one after the other, are each killed at every second write. In ``test_takeover.py`` one is killed at
every write in turn.
"""

import signal
from collections import Counter
from collections.abc import Iterator

import pytest

import fork_server
from multi_cloud import MultiCloudProject, multi_cloud_project
from sample_project import SampleProject


@pytest.fixture
def world(project: SampleProject, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MultiCloudProject]:
    for service in project.config["services"].values():
        service["health"] = {"path": "/", "hold": "0s", "start": "20s"}
    with multi_cloud_project(project, tmp_path_factory.mktemp("running")) as made:
        yield made


@pytest.mark.timeout(280)
def test_one_release_killed_at_every_write_in_turn_goes_on(world: MultiCloudProject) -> None:
    world.deploy()
    for first in (1, 2):
        commit = world.project.commit()
        relay = fork_server.run_crash_relay(
            world.project.folder, "deploy", "--yes", moment="both", first=first, every=2, variables=world.variables
        )
        codes = list(relay)
        assert set(codes[:-1]) == {-signal.SIGKILL}
        assert codes[-1] == 0
        assert world.served_commits == world.all_at_commit(commit)
        assert len(fork_server.relay_writes(world.project.folder)) > 30
        _nothing_twice(world, commit)
        fork_server.forget_relay(world.project.folder)


def _nothing_twice(world: MultiCloudProject, commit: str) -> None:
    drafts = Counter(deploy.title for deploy in world.netlify.deploys.values())
    assert set(drafts.values()) == {1}
    deploys = Counter(deploy.commit for deploy in world.render.services["srv-api"].deploys)
    assert deploys[commit] == 1
    space = world.huggingface.spaces["owner/worker"]
    commits = Counter(world.huggingface.repository.commits[id_].title for id_ in space.branches["main"])
    assert set(commits.values()) == {1}
    assert len(space.branches) <= 2
