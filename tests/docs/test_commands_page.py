"""The commands that docs/commands.md begins with are typed, in a project with the environment that they name."""

import pytest

from answered_command import run_answering
from page_examples import Example
from sample_project import SampleProject


@pytest.mark.executes("docs/commands.md", 1)
@pytest.mark.exhaustive
def test_they_lead_from_a_plan_to_a_rollback(project: SampleProject, examples: list[Example]) -> None:
    plan, deploy, status, rollback = examples[0].commands
    project.config["environments"] = {"local": {}, "staging": project.config["environments"]["local"]}
    first = project.commit()
    project.deploy("--env", "staging")
    (project.folder / "app.py").write_text(project.app_source("    return 200, {'new': True}\n"))
    second = project.commit()
    assert "app.py changed" in project.run(*plan.split()[1:]).stdout
    assert "v2 is live in staging" in run_answering(project.folder, *deploy.split()[1:], answer="y")
    assert project.served_commits()["backend"] == second
    assert "v2" in project.run(*status.split()[1:]).stdout
    assert rollback == 'abreast rollback --env staging --reason "critical bug: orders fail"'
    run_answering(project.folder, *rollback.split()[1:4], "--reason", "critical bug: orders fail", answer="y")
    assert project.served_commits()["backend"] == first
    assert "orders fail" in project.run("history", "--env", "staging").stdout
    project.run("down", "--env", "staging", "--yes")
