"""Whoever has to approve is shown what changes: commits, services, migrations, gates, variables, the way back."""

import getpass
import json
from pathlib import Path
from typing import Any

import pytest

from answered_command import run_answering
from approvers import KEY, as_person
from database_project import DatabaseProject
from sample_project import SampleProject, eventually
from terminal import Terminal, print_screen_on_failure

ME = getpass.getuser()


def ask(project: SampleProject, **rule: object) -> None:
    """Let this user, or ada, approve what comes next."""
    project.config["environments"]["local"]["approval"] = {"by": [ME, "ada"], "not_author": False, **rule}


def approval(project: SampleProject) -> dict[str, Any]:
    return dict(project.latest_deployment()["approval"])


def shown_sections(text: str) -> dict[str, list[str]]:
    """Return the lines of each section that a command shows."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            found[line[:-1]] = []
        elif found and line.startswith("  "):
            found[[*found][-1]].append(line.strip())
    return found


@pytest.mark.smoke
def test_what_is_shown_and_asked(project: SampleProject, tmp_path: Path) -> None:
    project.config["services"]["backend"]["env"] = {
        "REGION": "eu-1", "OLD": "gone", "API_TOKEN": "${API_TOKEN}", "MAIL_TOKEN": "${MAIL_TOKEN}",
    }  # fmt: skip
    live = {"API_TOKEN": "first-token-of-mine", "MAIL_TOKEN": "mail-token-of-mine"}
    project.commit()
    project.deploy(variables=live)
    project.config["services"]["backend"]["env"] = {
        "REGION": "us-2", "NEW": "yes", "LONG": "x" * 5000, "API_TOKEN": "${API_TOKEN}", "MAIL_TOKEN": "${MAIL_TOKEN}", "KEY_TOKEN": "${API_TOKEN}",
    }  # fmt: skip
    project.config["gates"] = {"lint": "true"}
    project.commit("Move to the US")
    ask(project)
    project.commit("Ask people\n\nbecause")
    next_values = {**live, "API_TOKEN": "second-token-of-mine"}
    summary = tmp_path / "summary.md"
    project.deploy(variables={**as_person("eve"), **next_values, "GITHUB_STEP_SUMMARY": str(summary)})
    told = summary.read_text()
    assert "**Variables**" in told
    assert "backend: REGION = us-2 (was eu-1)" in told
    id_ = project.latest_deployment()["id"]
    shown = project.run("show", id_).stdout
    sections = shown_sections(shown)
    assert sections["Approval"][0].startswith(f"1 of {ME}, ada, until 20")
    assert [line.partition(" ")[2] for line in sections["Commits"]] == [
        "commits since what is live", "Ask people (t)", "Move to the US (t)",
    ]  # fmt: skip
    frontend, backend = sections["Services"]
    assert frontend.startswith("frontend: deploy on local, v1 is live: abreast.yml changed")
    assert backend == "backend: deploy on local, v1 is live: its definition in abreast.yml changed: env, secrets"
    assert sections["Gates"] == ["lint passed"]
    assert sections["Variables"] == [
        "backend: KEY_TOKEN (a secret) is new", f"backend: LONG = {'x' * 183}…", "backend: NEW = yes (new)", "backend: OLD is removed",
        "backend: REGION = us-2 (was eu-1)", "backend: API_TOKEN (a secret) has another value",
    ]  # fmt: skip
    assert sections["Duration"][0].startswith("about ")
    command, *services = sections["Way back"]
    assert command == "abreast rollback --env local --to v1 --reason …"
    assert [line.partition(", artifact sha256:")[0] for line in services] == [
        "frontend: back to v1", "backend: back to v1",
    ]  # fmt: skip
    assert sections["Risk"][0].endswith(" point)") or sections["Risk"][0].endswith(" points)")
    assert "token-of-mine" not in shown
    document = approval(project)
    assert max(len(change["after"] or "") for change in document["changes"]["variables"]) == 300
    assert (document["missing"], document["changes"]["commits"]["count"]) == (1, 2)
    with_no = Terminal(project, "approve", id_, columns=160)
    try:
        with print_screen_on_failure(with_no):
            eventually(lambda: with_no.shows(f"Approve v2 for local, as {ME}?"))
            with_no.type("n\n")
            eventually(lambda: with_no.process.poll() is not None)
    finally:
        with_no.close()
    assert approval(project)["approved"] == [], "a no is no vote"
    screen = run_answering(project.folder, "approve", id_, answer="y")
    assert shown_sections(screen)["Variables"] == sections["Variables"]
    assert f"{ME} approved v2 for local" in screen
    assert approval(project)["approved"] == [ME]
    project.run("resume", id_, variables=next_values)
    assert "approval" not in project.latest_deployment()


def test_a_migration_that_cannot_be_reversed_limits_the_way_back(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.deploy()
    shop.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN price integer;\n")
    shop.write_migration("003_note.sql", "-- irreversible: nobody reads it\nALTER TABLE orders DROP COLUMN note;\n")
    ask(project)
    project.commit("Prices")
    shop.deploy()
    sections = shown_sections(project.run("show").stdout)
    risks, steps = sections["Migrations"][:-2], sections["Migrations"][-2:]
    assert any("003_note.sql" in risk and risk.startswith("backend: RISK: ") for risk in risks)
    assert steps == ["backend: apply 002_price.sql", "backend: apply 003_note.sql"]
    assert sections["Way back"][0] == "abreast rollback --env local --to v1 --reason …"
    stays = "stays: no safe down step reverses it; abreast rollback --restore-data restores the backup"
    assert sections["Way back"][-2:] == [
        f"database of backend: {name} {stays}" for name in ("002_price.sql", "003_note.sql")
    ]
    project.run("reject", "--reason", "not that", variables=shop.variables)


def test_a_first_deployment_and_a_rollback(project: SampleProject) -> None:
    ask(project)
    project.commit("First of all")
    project.deploy()
    sections = shown_sections(project.run("show").stdout)
    assert sections["Commits"][0].endswith("commits in all")
    assert sections["Way back"] == [
        "frontend: none: nothing of it was live before", "backend: none: nothing of it was live before",
    ]  # fmt: skip
    assert "Duration" not in sections
    project.run("approve", "--yes")
    project.run("resume")
    project.commit("A mistake")
    project.deploy()
    project.run("approve", "--yes")
    project.run("resume")
    project.run("rollback", "--yes", "--reason", "it was one")
    sections = shown_sections(project.run("show").stdout)
    assert sections["Commits"][0] == "1 commit taken back"
    assert sections["Commits"][1].endswith("A mistake (t)")
    assert sections["Way back"][0] == (
        "abreast unlock --env local --release v2, then: abreast rollback --env local --to v2 --reason …"
    )
    told = json.loads(project.run("approve", "--yes", "--json").stdout)
    assert told["state"] == "granted"


def test_values_of_secrets_are_compared_where_all_machines_have_the_key(project: SampleProject, tmp_path: Path) -> None:
    project.config["services"]["backend"]["env"] = {"API_TOKEN": "${API_TOKEN}"}
    project.commit()
    first, second = {"API_TOKEN": "first-token-of-mine"}, {"API_TOKEN": "second-token-of-mine"}
    project.deploy(variables=first)
    project.git("clone", "-q", "--bare", str(project.folder), str(tmp_path / "shop.git"))
    project.git("remote", "add", "origin", str(tmp_path / "shop.git"))
    project.run("state", "move", "--to", "git", "--yes")
    in_git = {"ABREAST_STATE": "git"}
    project.run("unlock", variables=in_git)
    ask(project)
    for subject, variables in (("No key", {}), ("A key", KEY)):
        project.commit(subject)
        project.deploy(variables={**first, **in_git, **variables})
        (line,) = shown_sections(project.run("show", variables=in_git).stdout)["Not known"]
        assert line.startswith("backend: whether API_TOKEN differ from what is live cannot be told"), line
    project.run("approve", "--yes", variables=in_git)
    project.run("resume", variables={**first, **in_git, **KEY})
    project.commit("The same")
    project.deploy(variables={**first, **in_git, **KEY})
    sections = shown_sections(project.run("show", variables=in_git).stdout)
    assert not {"Not known", "Variables"} & sections.keys()
    project.commit("Another")
    project.deploy(variables={**second, **in_git, **KEY})
    sections = shown_sections(project.run("show", variables=in_git).stdout)
    assert sections["Variables"] == ["backend: API_TOKEN (a secret) has another value"]
    project.run("down", "--yes", variables=in_git)
