"""Killed at every write of a release across clouds, it goes on: all services new, and nothing made twice."""

import signal
from collections import Counter
from collections.abc import Iterator

import pytest

import fork_server
from multi_cloud import MultiCloudProject, multi_cloud_project
from sample_project import SampleProject

GROUPS = 4
MOST = 120
"""More writes than any deployment here makes; the run that is not killed any more ends the search."""


@pytest.fixture
def world(project: SampleProject, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MultiCloudProject]:
    for service in project.config["services"].values():
        service["health"] = {"path": "/", "hold": "0s", "start": "20s"}
    with multi_cloud_project(project, tmp_path_factory.mktemp("running")) as made:
        yield made


@pytest.mark.timeout(280)
def test_one_release_killed_at_every_write_in_turn_goes_on(world: MultiCloudProject) -> None:
    world.deploy()
    commit = world.project.commit()
    code = 0
    for code in fork_server.run_crash_relay(world.project.folder, "deploy", "--yes", variables=world.variables):
        assert code in {0, -signal.SIGKILL}
    assert code == 0
    assert world.served_commits == world.all_at_commit(commit)
    assert len(fork_server.relay_writes(world.project.folder)) > 30
    _nothing_twice(world, commit)


@pytest.mark.exhaustive
@pytest.mark.timeout(280)
@pytest.mark.parametrize("group", range(GROUPS))
def test_killed_at_every_write_it_goes_on(world: MultiCloudProject, group: int) -> None:
    world.deploy()
    killed = 0
    for number in range(1 + group, MOST, GROUPS):
        moment = "before" if number // GROUPS % 2 else "after"
        commit = world.project.commit()
        done = fork_server.run_command(
            world.project.folder, "deploy", "--yes", variables=world.variables, killed_at=(number, moment)
        )
        if done.returncode == 0:
            assert number > 30
            break
        killed += 1
        if world.project.run("resume", code=None, variables=world.variables).returncode != 0:
            world.deploy()  # nothing had begun before the kill, or all was over
        assert world.served_commits == world.all_at_commit(commit)
        _nothing_twice(world, commit)
    else:
        pytest.fail("the deployment never ended by itself")
    assert killed


def _nothing_twice(world: MultiCloudProject, commit: str) -> None:
    drafts = Counter(deploy.title for deploy in world.netlify.deploys.values())
    assert set(drafts.values()) == {1}
    deploys = Counter(deploy.commit for deploy in world.render.services["srv-api"].deploys)
    assert deploys[commit] == 1
    space = world.huggingface.spaces["owner/worker"]
    commits = Counter(world.huggingface.repository.commits[id_].title for id_ in space.branches["main"])
    assert set(commits.values()) == {1}
    assert len(space.branches) <= 2
