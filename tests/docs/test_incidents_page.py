"""The commands of docs/incidents.md and docs/risk.md are typed, after a rollback and before a first deployment."""

import re

import pytest

from page_examples import Example
from sample_project import SampleProject


def masked(text: str) -> str:
    """Return a text without what is another one each time."""
    text = re.sub(r"\b[0-9A-Z]{26}\b", "ID", text)
    return re.sub(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\b", "TIME", text)


@pytest.mark.executes("docs/incidents.md", 1)
@pytest.mark.exhaustive
def test_an_incident_is_listed_reported_and_closed(project: SampleProject, examples: list[Example]) -> None:
    for text in ("One", "Two"):
        project.commit(text)
        project.deploy()
    project.run("rollback", "--yes", "--reason", "orders fail")
    id_ = project.latest_deployment()["id"]
    quoted = {'"critical bug: orders were lost"': "critical bug: orders were lost", '"fixed in v3"': "fixed in v3"}
    for command, shown in examples[0].steps:
        words = [quoted.get(word, word) for word in re.findall(r'"[^"]*"|\S+', command)]
        printed = project.run(*(id_ if re.fullmatch(r"[0-9A-Z]{26}", word) else word for word in words[1:])).stdout
        for line in shown:
            assert line == "..." or masked(line) in masked(printed).splitlines(), line


@pytest.mark.executes("docs/risk.md", 1)
def test_a_plan_says_how_risky_it_is(project: SampleProject, examples: list[Example]) -> None:
    (command,) = examples[0].commands
    printed = project.run(*command.split()[1:]).stdout.splitlines()
    for line in examples[0].output:
        if "risk:" in line:  # a weekend and a night count too
            assert any(re.fullmatch(r"  risk: \w+ \(\d+ points?\)", found) for found in printed)
        else:
            assert line == "..." or line in printed, line
