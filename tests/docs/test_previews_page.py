"""The page about previews is followed: its file, its commands, and what they print."""

import json
import re
from pathlib import Path

import pytest
import yaml

from page_examples import Example, page_examples
from sample_project import APP_SOURCE, SampleProject, free_ports, get_text

PAGE = Path(__file__).parents[2] / "docs" / "previews.md"
EXAMPLES = list(page_examples(PAGE))


@pytest.fixture
def reader(project: SampleProject) -> SampleProject:
    """The first abreast.yml of the page, deployed on this machine, then a change of the frontend."""
    config = yaml.safe_load(next(example.text for example in EXAMPLES if example.language == "yaml"))
    for service, port in zip(config["services"], free_ports(2), strict=True):
        config["environments"]["staging"][service] = {"local": {"port": port}}
    config["environments"]["staging"]["settle"] = "300ms"
    project.config = config
    for name, text in {"frontend/index.html": "one", "backend/app.py": APP_SOURCE}.items():
        (project.folder / name).parent.mkdir(exist_ok=True)
        (project.folder / name).write_text(text)
    project.commit()
    project.deploy("--env", "staging")
    (project.folder / "frontend" / "index.html").write_text("two")
    project.commit()
    return project


def consoles() -> list[Example]:
    return [example for example in EXAMPLES if example.language == "console"]


def masked(text: str) -> str:
    """Return a text without what is another one each time: commits, ports and the width of columns."""
    text = re.sub(r"\b[0-9a-f]{7}\b", "COMMIT", text)
    return re.sub(r"[ ]+", " ", re.sub(r"127\.0\.0\.1:\d+", "ADDRESS", text))


@pytest.mark.executes("docs/previews.md", 1, 2, 4)
@pytest.mark.exhaustive
def test_its_commands_print_what_it_says(reader: SampleProject) -> None:
    deployed, removed = consoles()
    for example in (deployed, removed):
        for command, lines in example.steps:
            printed = masked(reader.run(*command.split()[1:]).stdout)
            for line in lines:
                assert line == "..." or masked(line) in printed, line
        if example is deployed:
            status = json.loads(reader.run("status", "--json").stdout)["environments"]
            page = status["staging-pr-17"]["services"]["frontend"]["url"]
            assert get_text(page) == "two"
            assert json.loads(get_text(f"{page}/api/x"))["commit"] == status["staging"]["services"]["backend"]["commit"]
    assert "staging-pr-17" not in json.loads(reader.run("status", "--json").stdout)["environments"]
