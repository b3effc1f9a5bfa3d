"""The page about maintenance is followed: its commands as they are, its examples on this machine's ports."""

import re
import urllib.error
import urllib.request

import pytest
import yaml

from database_project import DatabaseProject, app_source
from page_examples import Example
from sample_project import SampleProject


def answer(port: int) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as got:
            return got.status, got.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def masked(text: str) -> str:
    """Return a text without when and who."""
    return re.sub(r"since \S+ by \S+:", "since T by N:", text)


@pytest.mark.executes("docs/maintenance.md", 1)
@pytest.mark.exhaustive
def test_it_goes_on_and_off_as_shown(project: SampleProject, examples: list[Example]) -> None:
    project.deploy()
    printed = ""
    for command in examples[0].commands:
        arguments = re.findall(r'"[^"]*"|\S+', command)[1:]
        printed += project.run(*(argument.strip('"') for argument in arguments)).stdout
        if " on " in command:
            assert answer(project.frontend_port)[0] == answer(project.backend_port)[0] == 503
    assert masked(printed).splitlines() == [masked(line) for line in examples[0].output]
    assert answer(project.backend_port)[0] == 200


@pytest.mark.executes("docs/maintenance.md", 2)
@pytest.mark.exhaustive
def test_an_own_page(project: SampleProject, examples: list[Example]) -> None:
    shown = yaml.safe_load(examples[0].text)["environments"]["production"]
    project.config["environments"]["local"] |= shown
    (project.folder / "maintenance.html").write_text("<h1>ours</h1>")
    project.commit()
    project.deploy()
    project.run("maintenance", "on", "--reason", "r")
    assert answer(project.frontend_port) == (503, "<h1>ours</h1>")


@pytest.mark.executes("docs/reference.md", 12)
@pytest.mark.executes("docs/maintenance.md", 3, 4)
@pytest.mark.exhaustive
def test_a_migration_behind_the_page(project: SampleProject, examples: list[Example]) -> None:
    policy, plan, reference = examples
    shown = yaml.safe_load(reference.text)["environments"]["production"]
    assert yaml.safe_load(policy.text)["environments"]["production"].items() <= shown.items()
    project.config["services"]["frontend"]["routes"] = {"/api": "backend"}
    project.config["environments"]["local"] |= shown
    project.config["environments"] = {"production": project.config["environments"]["local"]}
    (project.folder / "maintenance.html").write_text("<h1>ours</h1>")
    shop = DatabaseProject(project)
    shop.deploy()
    shop.write_migration("002_title.sql", "-- irreversible: gone\nALTER TABLE orders RENAME COLUMN product TO title;\n")
    project.commit(app_py=app_source('db.execute("SELECT title FROM orders")'))
    assert plan.commands == ["abreast plan --env production"]
    printed = shop.run("plan", "--env", "production").stdout.splitlines()
    assert [line for line in plan.output if line != "..." and line not in printed] == []
    assert "users reach backend, frontend again" in shop.deploy()
    assert answer(project.backend_port)[0] == 200
    shop.run("down", "--env", "production", "--yes")
