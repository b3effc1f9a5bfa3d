"""What was built is built once, known, kept for a while, and refused where it is not what it was."""

import json
import os
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from sample_project import APP_SOURCE, NEVER_HEALTHY, SampleProject
from sbom_validator import sbom_faults


def notes(project: SampleProject) -> dict[str, dict[str, Any]]:
    """What is known of each service's latest artifact."""
    found = [json.loads(file.read_text()) for file in (project.folder / ".abreast" / "artifacts").glob("*.json")]
    return {note["service"]: note for note in sorted(found, key=lambda note: str(note["built"]))}


def folder(project: SampleProject, digest: str) -> Path:
    return project.folder / ".abreast" / "artifacts" / digest.removeprefix("sha256:")


@pytest.mark.smoke
def test_an_artifact_with_one_byte_changed_is_refused(project: SampleProject) -> None:
    project.commit()
    project.deploy()
    project.commit()
    project.deploy()
    before = project.served_commits()
    release = project.run("history", "--json").stdout
    first = json.loads(release)[-1]["release"]
    for note in (project.folder / ".abreast" / "artifacts").glob("*.json"):
        known = json.loads(note.read_text())
        if known["service"] == "backend" and known["release"] == first:
            page = folder(project, known["digest"]) / "app.py"
            page.write_bytes(page.read_bytes()[:-1] + b" ")
    rollback = ("rollback", "--yes", "--reason", "x", "--to", first)
    assert "is not what was built" in project.run(*rollback, code=1).stderr, "before anything is begun"
    assert "is not what was built" in project.run(*rollback, "--emergency", code=1).stdout, "by what takes it"
    assert project.served_commits() == before


def test_what_is_known_of_an_artifact(project: SampleProject) -> None:
    project.config["gates"] = {"lint": "true"}
    (project.folder / "requirements.txt").write_text("Shop_Lib==1.2\n")
    commit = project.commit()
    project.deploy()
    known = notes(project)["backend"]
    assert (known["commit"], known["release"], known["environment"]) == (commit, "v1", "local")
    assert known["builder"]["abreast"]
    assert known["results"] == [{"gate": "lint", "verdict": "passed", "why": "", "figures": {}}]
    assert [component["purl"] for component in known["sbom"]["components"]] == ["pkg:pypi/shop-lib@1.2"]
    assert sbom_faults(json.dumps(known["sbom"])) is None


def test_what_was_built_of_a_commit_that_was_rewritten_is_built_again(project: SampleProject) -> None:
    project.config["services"]["frontend"]["watch"] = ["page/**"]
    project.config["services"]["backend"]["health"] = {"path": "/health", "start": "1s", "hold": "0s"}
    first = project.commit(app_py=project.app_source(NEVER_HEALTHY))
    project.deploy(code=1)
    (project.folder / "app.py").write_text(APP_SOURCE)
    project.git("-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qa", "--amend", "-m", "Written anew")
    second = project.git("rev-parse", "HEAD").strip()
    assert second != first
    project.deploy()
    assert project.served_commits() == {"frontend": second, "backend": second}
    assert sorted(project.built_services(second)) == ["backend", "frontend"]


def test_what_is_the_same_is_not_built_again_after_a_failure(project: SampleProject) -> None:
    frontend = project.config["services"]["frontend"]
    frontend["watch"] = ["page/**"]
    frontend["build"]["run"] = frontend["build"]["run"].replace("$ABREAST_RELEASE", "-")
    project.config["services"]["backend"] |= {
        "watch": ["app.py"],
        "health": {"path": "/health", "start": "1s", "hold": "0s"},
    }
    first = project.commit(app_py=project.app_source(NEVER_HEALTHY))
    project.deploy(code=1)
    second = project.commit("Mend", app_py=APP_SOURCE)
    told = project.deploy().stdout
    assert "frontend     build     " in told
    assert f"reused from v1 ({first[:7]})" in told
    assert project.built_services(second) == ["backend"]
    assert project.served_commits() == {"frontend": first, "backend": second}
    assert {name: one["commit"] for name, one in project.status()["services"].items()} == {
        "frontend": first,
        "backend": second,
    }
    project.deploy("--force", "--service", "frontend")
    assert project.built_services(second) == ["backend", "frontend"]


@pytest.mark.parametrize("mentioned_in", ["command", "file"])
def test_an_artifact_names_the_release_that_it_is_part_of(project: SampleProject, mentioned_in: str) -> None:
    frontend = project.config["services"]["frontend"]
    frontend["watch"] = ["page/**"]
    if mentioned_in == "file":
        (project.folder / "page").mkdir()
        (project.folder / "page" / "build.sh").write_text(frontend["build"]["run"])
        frontend["build"]["run"] = "sh page/build.sh"
    project.config["services"]["backend"]["health"] |= {"start": "1s"}
    project.commit(app_py=project.app_source(NEVER_HEALTHY))
    project.deploy(code=1)
    project.commit("Mend", app_py=APP_SOURCE)
    project.deploy()
    with urllib.request.urlopen(f"http://127.0.0.1:{project.frontend_port}/") as answer:
        assert json.load(answer)["release"] == project.status()["services"]["frontend"]["release"] == "v2"


def test_what_differs_is_built_again(project: SampleProject) -> None:
    frontend = project.config["services"]["frontend"]
    frontend |= {"watch": ["page/**"], "env": {"COLOUR": "red", "API_TOKEN": "${API_TOKEN}"}}
    project.config["services"]["backend"] |= {"health": {"path": "/health", "start": "500ms", "hold": "0s"}}
    project.commit(app_py=project.app_source(NEVER_HEALTHY))
    project.deploy(code=1, variables={"API_TOKEN": "value-one"})
    for change in ("file", "command", "variable", "secret"):
        if change == "file":
            (project.folder / "page").mkdir()
            (project.folder / "page" / "x").write_text("")
        elif change == "command":
            frontend["build"]["run"] += "; true"
        elif change == "variable":
            frontend["env"]["COLOUR"] = "blue"
        commit = project.commit()
        project.deploy(code=1, variables={"API_TOKEN": "value-two" if change == "secret" else "value-one"})
        assert "frontend" in project.built_services(commit), change


def test_old_artifacts_go_and_what_is_live_stays(project: SampleProject) -> None:
    project.config["artifacts"] = {"keep": 2, "within": "0s"}
    project.config["services"]["frontend"]["watch"] = ["page/**"]
    first = project.commit()
    for _ in range(4):
        for file in (project.folder / ".abreast" / "artifacts").glob("*.json"):
            os.utime(file, (0, 0))
        project.deploy()
        project.commit()
    kept = {
        json.loads(file.read_text())["release"] for file in (project.folder / ".abreast" / "artifacts").glob("*.json")
    }
    assert kept == {"v1", "v3", "v4"}, "the frontend is of v1 still"
    assert project.served_commits()["frontend"] == first
    second = json.loads(project.run("history", "--json").stdout)[-2]
    told = project.run("rollback", "--yes", "--reason", "x", "--to", "v2").stdout
    assert "reused from" not in told
    assert project.built_services(second["commit"]) == ["backend", "backend"], (
        "what is gone is built again of its commit"
    )


def test_a_store_beside_the_folder(project: SampleProject) -> None:
    store = project.folder.parent / "store"
    store.mkdir()
    project.config["artifacts"] = {"store": f"file://{store}"}
    project.commit()
    project.deploy()
    assert len(list(store.rglob("*.tar.zst"))) == 2
    second = project.commit()
    project.deploy()
    for place in (project.folder / ".abreast" / "artifacts").iterdir():
        if place.is_dir() and len(place.name) == 64:
            place.rename(project.folder.parent / place.name)
    project.run("rollback", "--yes", "--reason", "x")
    assert project.served_commits()["backend"] != second


def test_a_release_is_tagged_where_that_is_asked_for(project: SampleProject) -> None:
    first = project.commit()
    project.deploy()
    assert project.git("tag") == ""
    project.config["environments"]["local"]["tag"] = True
    project.git("tag", "v3", first)
    second = project.commit()
    project.deploy()
    assert project.git("rev-parse", "v2^{commit}").strip() == second
    project.commit()
    assert f"the tag v3 already exists at {first[:7]}" in project.deploy().stdout
    project.run("rollback", "--yes", "--reason", "x")
    assert project.git("tag").split() == ["v2", "v3"]
