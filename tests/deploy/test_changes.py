"""What a deployment takes: the net difference, by the patterns that a service watches and what it is made from."""

import json
from typing import Any

import pytest

from sample_project import APP_SOURCE, NEVER_HEALTHY, SampleProject


@pytest.fixture
def watching(project: SampleProject) -> SampleProject:
    """A frontend in ``web/``, made with the package ``ui/`` of its workspace; a backend in ``app.py``."""
    services = project.config["services"]
    services["frontend"] |= {"watch": ["web/**", "!**/*.md"]}
    services["frontend"]["build"]["run"] = services["frontend"]["build"]["run"].replace("$ABREAST_RELEASE", "-")
    services["backend"] |= {"watch": ["app.py", "!**/*.md"], "uses": ["shared/**"]}
    write(project, "package.json", json.dumps({"name": "shop", "workspaces": ["web", "ui"]}))
    write(project, "web/package.json", json.dumps({"name": "web", "dependencies": {"ui": "*"}}))
    write(project, "ui/package.json", json.dumps({"name": "ui"}))
    write(project, "web/old.js")
    write(project, ".gitignore", ".abreast\n")
    project.commit()
    project.deploy()
    return project


def write(project: SampleProject, name: str, text: str = "") -> None:
    file = project.folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def planned(project: SampleProject, *arguments: str) -> dict[str, dict[str, Any]]:
    """What the plan says of each service that would be deployed."""
    told = json.loads(project.run("plan", "--json", *arguments).stdout)
    return {name: part for name, part in told["services"].items() if part["action"] == "deploy"}


@pytest.mark.parametrize(
    ("file", "reached"),
    [
        ("docs/intro.md", {}), ("web/README.md", {}), ("shared/notes.md", {}),
        ("web/.env", {"frontend": "web/**"}), ("ui/button.js", {"frontend": "ui/**"}),
        ("package.json", {"frontend": "package.json", "backend": "package.json"}),
        ("package-lock.json", {"frontend": "package-lock.json", "backend": "package-lock.json"}),
        ("shared/a/b.py", {"backend": "shared/**"}),
    ],
)  # fmt: skip
def test_the_plan_names_the_file_and_the_pattern(watching: SampleProject, file: str, reached: dict[str, str]) -> None:
    write(watching, file, '{"workspaces": ["web", "ui"], "private": true}')
    watching.commit()
    expected = {name: [{"file": file, "pattern": pattern}] for name, pattern in reached.items()}
    assert {name: part["changed"] for name, part in planned(watching).items()} == expected


def test_docs_alone_deploy_nothing(watching: SampleProject) -> None:
    before = watching.served_commits()
    write(watching, "web/README.md", "more")
    watching.commit()
    assert "nothing to do" in watching.deploy().stdout
    assert watching.served_commits() == before
    assert set(planned(watching, "--force")) == {"frontend", "backend"}
    commit = watching.commit()
    told = watching.deploy("--force", "--service", "backend").stdout
    assert "nothing changed; forced" in told
    assert watching.served_commits() == {**before, "backend": commit}


def test_a_failed_deployment_does_not_lose_a_change(watching: SampleProject) -> None:
    watching.commit(app_py=watching.app_source(NEVER_HEALTHY))
    watching.config["services"]["backend"]["health"]["start"] = "1s"
    (watching.folder / "web" / "new.js").write_text("")
    built = watching.commit()
    watching.deploy(code=1)
    watching.commit("Mend", app_py=APP_SOURCE)
    write(watching, "README.md")
    watching.commit("Only docs since the last push")
    assert [change["file"] for change in planned(watching)["frontend"]["changed"]] == ["web/new.js"]
    watching.deploy()
    assert watching.served_commits()["frontend"] == built, "what was built then is the same still"


def test_a_change_that_was_taken_back_is_none(watching: SampleProject) -> None:
    write(watching, "web/new.js")
    watching.commit()
    (watching.folder / "web" / "new.js").unlink()
    watching.commit()
    assert planned(watching) == {}
    watching.git("mv", "web/old.js", "moved.js")
    watching.commit()
    assert planned(watching)["frontend"]["changed"] == [{"file": "web/old.js", "pattern": "web/**"}]
