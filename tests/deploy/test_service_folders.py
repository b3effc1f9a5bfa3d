"""Two services, each in a folder of its own, deployed by commands that know nothing of the repository around them."""

import json
import sqlite3
from pathlib import Path

import pytest

from sample_project import APP_SOURCE, SampleProject, get_json

REPORT = '<testsuite tests="1"><testcase classname="a" name="b"/></testsuite>'


def write(project: SampleProject, name: str, text: str) -> None:
    file = project.folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.fixture
def in_folders(project: SampleProject) -> SampleProject:
    """A frontend in ``web`` and a backend in ``api``; nothing but abreast.yml is beside them."""
    (project.folder / "app.py").unlink()
    write(project, "web/page.json", "{}")
    write(project, "api/app.py", APP_SOURCE)
    write(project, "api/sql/001_shop.sql", "CREATE TABLE items (name TEXT);")
    write(project, "api/report.xml", REPORT)
    services = project.config["services"]
    services["frontend"] |= {"folder": "web"}
    services["frontend"]["build"]["run"] = (
        "mkdir dist && cp page.json dist/ && "
        'echo "{\\"commit\\": \\"$ABREAST_COMMIT\\", \\"release\\": \\"$ABREAST_RELEASE\\"}" > dist/index.html'
    )
    services["backend"] |= {
        "folder": "api",
        "build": "test -f app.py",
        "test": {"run": "cp report.xml out.xml", "reports": "out.xml"},
        "database": {"url": "sqlite:///shop.db", "migrations": "sql"},
    }
    write(project, ".gitignore", ".abreast\n")
    project.commit()
    return project


def test_build_test_migrations_and_run_are_in_the_folder(in_folders: SampleProject) -> None:
    in_folders.deploy()
    assert set(in_folders.served_commits().values()) == {in_folders.git("rev-parse", "HEAD").strip()}
    assert get_json(in_folders.frontend_port, "/page.json") == {}
    (database,) = (in_folders.folder / ".abreast").rglob("shop.db")
    with sqlite3.connect(database) as db:
        assert db.execute("SELECT COUNT(*) FROM items").fetchone() == (0,)
    told = [event["message"] for event in in_folders.latest_deployment()["events"]]
    assert any("test passed: 1 test" in text for text in told), told


def test_a_change_of_one_folder_deploys_one_service(in_folders: SampleProject) -> None:
    in_folders.deploy()
    write(in_folders, "web/page.json", '{"new": 1}')
    in_folders.commit()
    planned = json.loads(in_folders.run("plan", "--json").stdout)["services"]
    assert {name: part["action"] for name, part in planned.items()} == {"frontend": "deploy", "backend": "keep"}
    assert planned["frontend"]["changed"] == [{"file": "web/page.json", "pattern": "web/**"}]


def test_a_migration_command_runs_in_the_folder(in_folders: SampleProject, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    database = {"url": "sqlite:///shop.db", "command": f"test -f app.py && echo up >> {ran}"}
    in_folders.config["services"]["backend"]["database"] = database
    in_folders.commit()
    in_folders.deploy()
    assert "up" in ran.read_text()


def test_a_folder_that_is_not_in_the_commit_is_refused_by_the_plan_and_by_doctor(in_folders: SampleProject) -> None:
    in_folders.config["services"]["frontend"]["folder"] = "wbe"
    in_folders.commit()
    for command in ("plan", "doctor"):
        done = in_folders.run(command, code=None)
        assert done.returncode
        assert "services.frontend.folder: the commit has no folder 'wbe'" in done.stdout + done.stderr
