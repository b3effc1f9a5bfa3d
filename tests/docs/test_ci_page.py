"""The jobs of docs/ci.md are run, by act and by gitlab-ci-local: later steps get what a deployment left for them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from act_steps import run_workflow
from npm import install_packages
from page_examples import Example
from sample_project import SampleProject

SHOW = '#!/bin/sh\necho "npx $* tests $BASE_URL"\n'


@pytest.fixture
def shop(project: SampleProject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SampleProject:
    """The project with a remote and the environment that the page names; abreast and a stand-in for npx on the PATH."""
    project.config["environments"] = {"staging": project.config["environments"]["local"]}
    project.commit()
    project.git("init", "-q", "--bare", str(tmp_path / "remote"))
    project.git("remote", "add", "origin", str(tmp_path / "remote"))
    project.git("push", "-q", "-u", "origin", "main")
    (project.folder / ".git" / "info" / "exclude").write_text(".github\nhome\n.gitlab-ci-local\n")  # of the runners
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "npx").write_text(SHOW)
    (tmp_path / "bin" / "npx").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}")
    return project


@pytest.mark.executes("docs/ci.md", 1)
@pytest.mark.exhaustive
def test_the_next_step_at_github_gets_the_address(shop: SampleProject, examples: list[Example]) -> None:
    steps = yaml.safe_load(examples[0].text)
    said = run_workflow(shop.folder, *map(json.dumps, steps))
    assert "v1 is live in staging" in said
    assert f"npx playwright test tests http://127.0.0.1:{shop.frontend_port}" in said
    shop.run("down", "--yes", variables={"ABREAST_STATE": "git"})


@pytest.mark.executes("docs/ci.md", 2)
@pytest.mark.exhaustive
def test_the_next_job_at_gitlab_gets_the_variables(
    shop: SampleProject, examples: list[Example], tmp_path: Path
) -> None:
    names = ("RELEASE", "OUTCOME", "OUTCOME_BACKEND", "URL_BACKEND")
    show = {
        "needs": ["deploy"],
        "stage": "test",
        "script": [*(f'echo "{name}=[$ABREAST_{name}]"' for name in names)],
    }
    pipeline = {"stages": ["build", "test"], **yaml.safe_load(examples[0].text), "show": show}
    pipeline["deploy"]["stage"] = "build"
    (shop.folder / ".gitlab-ci.yml").write_text(yaml.safe_dump(pipeline))
    shop.commit()
    command = install_packages("gitlab-ci-local", "gitlab-ci-local@4.61.0") / "gitlab-ci-local"
    done = subprocess.run(
        [str(command), "--force-shell-executor", "--variable", "GITLAB_CI=true"], cwd=shop.folder, capture_output=True, text=True, check=False,
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = (
        "RELEASE=[v1]",
        "OUTCOME=[succeeded]",
        "OUTCOME_BACKEND=[deployed]",
        f"URL_BACKEND=[http://127.0.0.1:{shop.backend_port}]",
    )
    assert [line for line in found if line not in done.stdout] == [], done.stdout
