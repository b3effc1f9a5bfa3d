"""What a killed deployment left running ends with the next command that ends the deployment."""

import os
import signal
from pathlib import Path

import pytest

from sample_project import SampleProject, eventually

ENDING = {"cancel": ("cancel", "--reason", "no"), "down": ("down", "--yes"), "resume": ("resume",)}


@pytest.mark.parametrize("command", ENDING.values(), ids=ENDING)
def test_a_build_ends_with_its_deployment(project: SampleProject, command: tuple[str, ...]) -> None:
    pids = project.folder.parent / "pids"
    sleep = f"echo $$ >> {pids}; (setsid true; sleep 300) & echo $! >> {pids}; "
    project.config["services"]["backend"]["build"] = f"[ -e {pids} ] || {{ {sleep} wait; }}"
    project.commit()
    deploying = project.start("deploy", "--yes")
    eventually(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    deploying.kill()
    started = [int(pid) for pid in pids.read_text().split()]
    assert all(map(runs, started))
    project.run(*command)
    eventually(lambda: not any(map(runs, started)))


def test_the_leader_is_gone_but_not_what_it_started(project: SampleProject) -> None:
    pids = project.folder.parent / "pids"
    project.config["services"]["backend"]["build"] = (
        f"[ -e {pids} ] || {{ sleep 300 & echo $! > {pids}.new; mv {pids}.new {pids}; wait; }}"
    )
    project.commit()
    deploying = project.start("deploy", "--yes")
    eventually(pids.exists)
    deploying.kill()
    (child,) = [int(pid) for pid in pids.read_text().split()]
    os.kill(int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
    assert runs(child)
    project.run("cancel", "--reason", "no")
    eventually(lambda: not runs(child))


def runs(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "(zombie)" not in status.read_text()


def test_outside_of_a_repository_it_is_said(project: SampleProject) -> None:
    (project.folder / ".git").rename(project.folder / "git")
    for command in (("deploy", "--yes"), ("plan",), ("deploy", "--yes", "--allow-dirty")):
        assert "not a git repository" in project.run(*command, code=2).stderr
