"""The examples of docs/github.md: what `init --github` prints, which push deploys where, and a workflow of one's own."""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from act_runner import SOURCE, ActionsWorld
from page_examples import Example
from sample_project import SampleProject

SERVICES = {
    "frontend": {"build": {"output": "public"}},
    "backend": {"run": "python -m app", "env": {"DATABASE_URL": "${DATABASE_URL}"}},
}
CLOUDS = {"frontend": {"netlify": {"site": "shop"}}, "backend": {"render": {"service": "srv-1"}}}


@pytest.mark.executes("docs/github.md", 1)
def test_it_prints_what_the_page_shows(project: SampleProject, examples: list[Example], tmp_path: Path) -> None:
    project.git("init", "-q", "--bare", str(tmp_path / "remote"))
    project.git("remote", "add", "origin", str(tmp_path / "remote"))
    project.git("push", "-q", "-u", "origin", "main")
    project.config |= {"services": SERVICES, "environments": {"staging": CLOUDS}}
    project.commit()
    (init, shown), (commit_and_push, _) = examples[0].steps
    told = project.run(*shlex.split(init.replace("OWNER/abreast@COMMIT", SOURCE))[1:])
    assert (told.stdout + told.stderr).splitlines() == [*shown]
    identity = {f"GIT_{who}_{what}": "t@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    subprocess.run(
        commit_and_push, shell=True, cwd=project.folder, env={**os.environ, **identity}, check=True, capture_output=True
    )
    pushed = project.git("ls-tree", "-r", "--name-only", "origin/main", ".github").split()
    assert shown[0] == f"written: {', '.join(pushed)}"


@pytest.mark.executes("docs/github.md", 2)
def test_a_push_deploys_the_environment_of_its_branch(project: SampleProject, examples: list[Example]) -> None:
    project.config |= {"services": {"frontend": SERVICES["frontend"]}, **yaml.safe_load(examples[0].text)}
    project.commit()
    project.run("init", "--github", "--action", SOURCE)
    deploy = yaml.load((project.folder / ".github/workflows/deploy.yml").read_text(), yaml.BaseLoader)
    assert deploy["on"]["push"] == {"branches": ["main"]}
    conditions = {name: job["if"] for name, job in deploy["jobs"].items()}
    assert conditions == {
        "staging": "github.event_name == 'push' || inputs.environment == 'staging'",
        "production": "inputs.environment == 'production'",
    }


@pytest.mark.executes("docs/github.md", 3)
@pytest.mark.exhaustive
@pytest.mark.timeout(300)
def test_a_workflow_of_ones_own_deploys(tmp_path: Path, examples: list[Example]) -> None:
    (step,) = yaml.safe_load(examples[0].text.replace("OWNER/abreast@COMMIT", SOURCE))
    with ActionsWorld(tmp_path / "w") as world:
        checkout = world.project.folder / ".github" / "workflows" / "deploy.yml"
        (first, *_) = re.findall(r"uses: (actions/checkout@\w+)", checkout.read_text())
        job = {"runs-on": "self-hosted", "steps": [{"uses": first}, step]}
        inputs = {"reason": {"description": "Why", "type": "string"}}
        own = {"on": {"workflow_dispatch": {"inputs": inputs}}, "jobs": {"deploy": job}}
        (world.project.folder / ".github" / "workflows" / "own.yml").write_text(yaml.safe_dump(own))
        commit = world.push("A workflow of our own")
        assert "v1 is live in staging" in world.run("own", "workflow_dispatch", {"reason": "$(touch owned)"})
        assert world.project.served_commits() == {"frontend": commit, "backend": commit}
