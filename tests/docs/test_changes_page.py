"""The example of docs/changes.md: what its patterns make of a change is what the page says that the plan says."""

import json
from pathlib import Path

import pytest
import yaml

from page_examples import page_examples
from sample_project import SampleProject

PAGE = Path(__file__).parents[2] / "docs" / "changes.md"


@pytest.mark.executes("docs/changes.md", 1, 2)
@pytest.mark.exhaustive
def test_the_plan_names_the_file_and_the_pattern(project: SampleProject) -> None:
    patterns, told = (example.text for example in page_examples(PAGE))
    expected = json.loads(told)["services"]
    for name, more in yaml.safe_load(patterns)["services"].items():
        project.config["services"][name] |= more
    project.commit()
    project.deploy()
    for service in expected.values():
        for change in service["changed"]:
            (project.folder / change["file"]).parent.mkdir()
            (project.folder / change["file"]).write_text("export {}\n")
    project.commit()
    planned = json.loads(project.run("plan", "--json").stdout)["services"]
    assert {name: {key: planned[name][key] for key in shown} for name, shown in expected.items()} == expected
