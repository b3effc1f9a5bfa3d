"""The page about rollbacks is followed, in its order."""

import re

import pytest

from page_examples import Example
from sample_project import SampleProject


def masked(text: str) -> str:
    """Return a text without what is another one each time: commits, times, this machine's user."""
    text = re.sub(r"\b20\d\d-\d\d-\d\dT[\d:.]+Z", "MOMENT", text)
    text = re.sub(r"\bcommit [0-9a-f]{7}\b", "COMMIT", text)
    return re.sub(r"^\w+ confirmed", "PERSON confirmed", text)


def check(project: SampleProject, example: Example, code: int = 0) -> None:
    """Give the command of an example, and compare what it prints."""
    (command,) = example.commands
    arguments = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', command)]
    done = project.run(*arguments[1:], code=code)
    printed = masked(done.stdout + done.stderr)
    for line in example.output:
        assert line == "..." or masked(line) in printed, line


@pytest.mark.executes("docs/rollback.md", 1, 2, 3, 4, 5)
def test_back_again_locks_emergency_confirmed(project: SampleProject, examples: list[Example]) -> None:
    back, again, locks, emergency, confirmed = examples
    local = project.config["environments"].pop("local")
    del project.config["services"]["frontend"], local["frontend"]
    project.config |= {"project": "storefront", "environments": {"production": local}}
    project.git("config", "user.name", "Ada")
    for number in range(3):
        project.commit(str(number))
        project.deploy()
    check(project, back)
    check(project, again, code=3)
    check(project, locks)
    check(project, emergency)
    check(project, confirmed)
    project.run("down", "--yes")
