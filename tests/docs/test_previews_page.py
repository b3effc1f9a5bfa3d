"""The page about previews is followed: its file, its commands, and what they print."""

import json
import re
from pathlib import Path

import psycopg
import pytest
import yaml

import postgres_server
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


@pytest.mark.executes("docs/previews.md", 3)
@pytest.mark.exhaustive
def test_a_preview_starts_with_the_data_of_the_backup(project: SampleProject, examples: list[Example]) -> None:
    url = postgres_server.create_database()
    project.config = yaml.safe_load(examples[0].text)
    staging = project.config["environments"]["staging"]
    staging |= {"settle": "300ms", "backend": {"local": {"port": free_ports(1)[0]}}}
    files = {"app.py": APP_SOURCE, "migrations/001_orders.sql": "CREATE TABLE orders (id integer PRIMARY KEY);\n"}

    def deploy(environment: str) -> None:
        for name, text in files.items():
            (project.folder / "backend" / name).parent.mkdir(parents=True, exist_ok=True)
            (project.folder / "backend" / name).write_text(text)
        project.commit()
        project.deploy("--env", environment, variables={"DATABASE_URL": url})

    deploy("staging")
    with psycopg.connect(url) as db:
        db.execute("INSERT INTO orders VALUES (7)")
    project.run("db", "backup", "--env", "staging", variables={"DATABASE_URL": url})
    files["migrations/002_note.sql"] = "ALTER TABLE orders ADD COLUMN note text;\n"
    deploy("staging-pr-17")
    with psycopg.connect(f"{url}_preview-17") as copy, psycopg.connect(url) as db:
        assert copy.execute("SELECT id, note FROM orders").fetchall() == [(7, None)]
        assert db.execute("SELECT * FROM orders").fetchall() == [(7,)]
    project.run("down", "--env", "staging-pr-17", "--yes", variables={"DATABASE_URL": url})
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(f"{url}_preview-17")
