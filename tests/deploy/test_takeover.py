"""A deployment whose machine is gone is taken over from another clone: all services new, or all as they were.

The other clone has another home folder, and no file of the first. The record is in a git ref of the project's remote, or
in PostgreSQL.
"""

import itertools
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

import fork_server
import postgres_server
from multi_cloud import MultiCloudProject, multi_cloud_project
from sample_project import SampleProject
from state_worlds import git

MOST = 200
NOTHING_TO_RESUME = 2


@dataclass
class Clones:
    """Two clones of a project on three clouds, whose record is kept elsewhere."""

    world: MultiCloudProject
    folders: tuple[Path, Path]
    state: str

    def commit(self) -> str:
        """Commit a change, and have it in both clones."""
        commit = self.world.project.commit()
        git(self.folders[0], "push", "--quiet", "origin", "HEAD:main")
        git(self.folders[1], "pull", "--quiet")
        return commit

    def run(
        self, clone: int, *arguments: str, killed_at: fork_server.KilledAt | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a clone, as on a machine of its own."""
        folder = self.folders[clone]
        home = folder.parent / f"home-{clone}"
        home.mkdir(exist_ok=True)
        variables = {
            **self.world.variables, "ABREAST_STATE": self.state, "HOME": str(home), "ABREAST_LEASE_EXPIRY": "5",
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
        }  # fmt: skip
        return fork_server.run_command(folder, *arguments, variables=variables, killed_at=killed_at)

    def run_at_once(self, *arguments: str) -> list[subprocess.CompletedProcess[str]]:
        """Run a command in both clones at the same time."""
        with ThreadPoolExecutor(2) as threads:
            return list(threads.map(lambda clone: self.run(clone, *arguments), (0, 1)))

    def states(self, clone: int = 1) -> list[str]:
        """Return the states of deployments, newest first, as a clone sees them."""
        return [line.split()[7] for line in self.run(clone, "history").stdout.splitlines()[1:]]


@pytest.fixture
def clones(
    request: pytest.FixtureRequest, project: SampleProject, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Clones]:
    for service in project.config["services"].values():
        service["health"] = {"path": "/", "hold": "0s", "start": "20s"}
    with multi_cloud_project(project, tmp_path_factory.mktemp("running")) as world:
        folder = project.folder.parent
        git(folder, "init", "--quiet", "--bare", "--initial-branch=main", "remote.git")
        git(project.folder, "remote", "add", "origin", str(folder / "remote.git"))
        git(project.folder, "push", "--quiet", "origin", "HEAD:main")
        git(folder, "clone", "--quiet", str(folder / "remote.git"), "other")
        state = "git" if request.param == "git" else postgres_server.create_database()
        yield Clones(world, (project.folder, folder / "other"), state)


@pytest.mark.timeout(280)
@pytest.mark.parametrize(("clones", "moment"), [("git", "before"), ("postgresql", "after")], indirect=["clones"])
def test_one_release_killed_at_every_write_and_taken_over_each_time(clones: Clones, moment: str) -> None:
    clones.commit()
    assert clones.run(0, "deploy", "--yes").returncode == 0
    world = clones.world
    old, commit = world.served_commits, clones.commit()
    writes = clones.folders[0].parent / "writes"
    done = clones.run(0, "deploy", "--yes", killed_at=(str(writes), moment, 1))
    for kills in itertools.count(1):
        if done.returncode != -signal.SIGKILL:
            break
        assert kills < MOST
        done = clones.run(kills % 2, "resume", killed_at=(str(writes), moment, 1))
        if done.returncode == NOTHING_TO_RESUME:
            done = clones.run(kills % 2, "deploy", "--yes", killed_at=(str(writes), moment, 1))
    assert len(writes.read_text().splitlines()) > 20
    assert world.served_commits in (old, world.all_at_commit(commit)), done.stdout + done.stderr
    ended = clones.states(0)[0]
    assert ended == clones.states(1)[0]
    assert ended == ("succeeded" if world.served_commits == world.all_at_commit(commit) else "turned-back")
    _nothing_twice(world)
    for clone in (0, 1):
        assert "the audit trail is intact" in clones.run(clone, "doctor").stdout


def _nothing_twice(world: MultiCloudProject) -> None:
    drafts = Counter(deploy.title for deploy in world.netlify.deploys.values())
    assert set(drafts.values()) == {1}
    assert len(world.huggingface.spaces["owner/worker"].branches) <= 2


@pytest.mark.timeout(280)
@pytest.mark.parametrize("clones", ["git", "postgresql"], indirect=True)
def test_what_one_clone_deployed_the_other_shows_and_takes_back_and_both_at_once_wait_for_each_other(
    clones: Clones,
) -> None:
    first = clones.commit()
    assert clones.run(0, "deploy", "--yes").returncode == 0
    clones.world.project.config["services"]["backend"]["build"] += "; echo built by $ABREAST_RELEASE"
    clones.commit()
    done = clones.run(1, "deploy", "--yes")
    assert done.returncode == 0, done.stderr
    assert "v2" in clones.run(0, "status").stdout
    printed = clones.run(1, "logs", "v2").stdout
    assert "built by v2" in printed
    assert "built by v2" in clones.run(0, "logs", "v2").stdout
    assert "artifacts are on this one only" in clones.run(1, "doctor").stdout
    done = clones.run(1, "rollback", "--yes", "--reason", "no")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"its artifact is not here, so commit {first[:7]} is built again" in done.stdout
    assert "`artifacts: {store: …}` keeps artifacts where every machine reads them" in done.stdout
    assert clones.world.served_commits == clones.world.all_at_commit(first)
    assert "v1" in clones.run(0, "status").stdout
    assert clones.run(1, "lock", "--reason", "tea").returncode == 0
    locked = clones.run(0, "deploy", "--yes", "--force")
    assert (locked.returncode, "tea" in locked.stderr) == (3, True)
    assert clones.run(1, "unlock").returncode == 0

    known = len(clones.states())
    older, newer = clones.commit(), clones.commit()
    git(clones.folders[0], "checkout", "--quiet", older)
    for done in clones.run_at_once("deploy", "--yes"):
        assert done.returncode == 0, done.stdout + done.stderr
    assert clones.world.served_commits == clones.world.all_at_commit(newer), "the older commit is not the last"
    assert clones.run(0, "deploy", "--yes", "--force").stdout.splitlines()[-1].startswith("superseded")
    states = clones.states()[:-known]
    assert states[0] == "superseded"
    assert set(states) == {"superseded", "succeeded"}
    assert clones.world.served_commits == clones.world.all_at_commit(newer)
