"""The commands of docs/state.md are typed: the record moves to git, and a damaged home is made again from a copy."""

import re
import subprocess
from pathlib import Path

import pytest

from answered_command import run_answering
from page_examples import Example
from sample_project import SampleProject
from state_worlds import GitWorld


def masked(line: str) -> str:
    """Return a line with its numbers as one word."""
    return re.sub(r"\d+", "N", line)


@pytest.mark.executes("docs/state.md", 1, 2)
@pytest.mark.exhaustive
def test_the_record_moves_and_comes_back_from_a_copy(
    project: SampleProject, examples: list[Example], tmp_path: Path
) -> None:
    move, recover = examples
    world = GitWorld(tmp_path / "world")
    project.git("remote", "add", "origin", str(world.remote))
    project.deploy()
    ((command, shown),) = move.steps
    told = run_answering(project.folder, *command.split()[1:], answer="y")
    assert [masked(line) for line in told.splitlines()] == [masked(line) for line in shown]
    variables = {"ABREAST_STATE": "git"}  # as it says next
    assert "intact" in project.run("state", "verify", variables=variables).stdout

    project.run("lock", "--reason", "the home is copied", variables=variables)
    project.run("unlock", variables=variables)
    history = project.run("history", variables=variables).stdout
    world.cut_off()
    project.commit()
    assert "it has lost what was recorded" in project.deploy(code=1, variables=variables).stderr
    (copy,) = re.findall(r"\.abreast/mirrors/\w+", project.run("state", "show", variables=variables).stdout)
    export, verify, push, move_again = (
        command.replace(".abreast/mirrors/5d41402abc4b2a76", copy).replace("PROJECT", "shop")
        for command in recover.commands
    )
    variables = dict([export.removeprefix("export ").split("=")])
    assert variables == {"ABREAST_STATE": copy}
    assert "intact" in project.run(*verify.split()[1:], variables=variables).stdout
    subprocess.run(push.split(), cwd=project.folder, check=True, capture_output=True)
    run_answering(project.folder, *move_again.split()[1:], answer="y", variables=variables)
    variables = {"ABREAST_STATE": "git"}
    assert project.run("history", variables=variables).stdout == history
    project.deploy(variables=variables)
    project.run("down", "--yes", variables=variables)
