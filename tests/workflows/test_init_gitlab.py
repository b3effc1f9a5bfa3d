"""`abreast init --gitlab`: a pipeline that GitLab's schema accepts, executed by a runner that others made."""

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

import npm
from abreast.wiring.audit_key import KEY_VARIABLE
from act_runner import recording_program
from workflow_projects import PROJECTS, SOURCE, init, program, run, write_project

KEYED = ("staging", "production")
HOSTILE = "\"; touch owned; #$(touch owned)`touch owned`a\nb --env=production'; touch owned; '"


@pytest.mark.exhaustive
def test_the_schema_of_gitlab_accepts_it(tmp_path: Path) -> None:
    folders = [write_project(tmp_path / name, config) for name, config in PROJECTS.items()]
    for folder in folders:
        assert "written: .gitlab-ci.yml" in init(folder, "--gitlab", "--action", SOURCE)
    files = [str(folder / ".gitlab-ci.yml") for folder in folders]
    run(program("check-jsonschema"), "--builtin-schema", "vendor.gitlab-ci", *files)
    for folder in folders:
        assert "nothing to do" in init(folder, "--gitlab")


def test_the_key_of_the_record_is_a_variable_of_the_environments_that_deploy(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "shop", PROJECTS["clouds"])
    said = init(folder, "--gitlab", "--action", SOURCE)
    assert f"set the secret {KEY_VARIABLE} of staging, production" in said
    text = (folder / ".gitlab-ci.yml").read_text()
    assert f"# {KEY_VARIABLE} signs the record: make it a masked and protected variable of staging, production" in text
    jobs = yaml.safe_load(text)
    assert KEY_VARIABLE not in str(jobs), "what the file sets, a fork's pipeline has too"
    with_it = {name for name, job in jobs.items() if isinstance(job, dict) and job.get("environment") in KEYED}
    assert with_it == {f"{job}-{name}" for name in KEYED for job in ("deploy", "rollback", "backup")}


def test_gitlab_vouches_for_each_job_that_acts(tmp_path: Path) -> None:
    for name, files in PROJECTS.items():
        folder = write_project(tmp_path / name, files)
        init(folder, "--gitlab", "--action", SOURCE)
        jobs = yaml.safe_load((folder / ".gitlab-ci.yml").read_text())
        assert jobs[".acting"]["id_tokens"] == {"ABREAST_ID_TOKEN": {"aud": "abreast"}}
        acting = {name for name, job in jobs.items() if isinstance(job, dict) and job.get("extends") == ".acting"}
        assert acting == {name for name, job in jobs.items() if isinstance(job, dict) and "script" in job} - {"gates"}


@pytest.mark.exhaustive
@pytest.mark.timeout(300)
def test_jobs_run_abreast_and_no_variable_is_read_by_a_shell(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "shop", PROJECTS["a machine of its own"])
    init(folder, "--gitlab", "--action", SOURCE)
    runner = GitLabRunner(tmp_path, folder)
    assert runner.run("deploy-production") == ["deploy", "--env", "production", "--yes"]
    assert runner.run("rollback-production", REASON=HOSTILE, RELEASE=HOSTILE, SERVICE=HOSTILE) == [
        "rollback", "--env", "production", "--yes", f"--to={HOSTILE}", f"--service={HOSTILE}", f"--reason={HOSTILE}"
    ]  # fmt: skip
    assert runner.run("rollback-production", REASON="outage")[4:] == ["--reason=outage"]
    assert not list(tmp_path.rglob("owned"))


class GitLabRunner:
    """`gitlab-ci-local`, with programs that do nothing in place of what installs abreast."""

    def __init__(self, folder: Path, project: Path) -> None:
        self.folder, self.project = folder, project
        self.programs = recording_program(folder) / "bin"
        for name in ("pip", "uv"):
            (self.programs / name).write_text("#!/bin/sh\n")
            (self.programs / name).chmod(0o755)
        subprocess.run(["git", "remote", "add", "origin", "https://gitlab.com/acme/shop.git"], cwd=project, check=True)
        self.command = npm.install_packages("gitlab-ci-local", "gitlab-ci-local@4.61.0") / "gitlab-ci-local"

    def run(self, job: str, **variables: str) -> list[str]:
        """Run a job, and return the arguments that abreast got."""
        given = [part for name, value in variables.items() for part in ("--variable", f"{name}={value}")]
        (self.folder / "arguments.json").unlink(missing_ok=True)
        done = subprocess.run(
            [str(self.command), "--force-shell-executor", job, *given],
            cwd=self.project, capture_output=True, text=True, check=False,
            env={"HOME": str(self.folder), "PATH": f"{self.programs}:{os.environ['PATH']}"},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return list(json.loads((self.folder / "arguments.json").read_text()))
