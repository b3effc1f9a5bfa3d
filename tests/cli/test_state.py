"""The record itself: shown, checked, moved to another home and read there by everybody."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import postgres_server
from abreast.ledger.entries import Entry, EntryKind
from abreast.ledger.homes.postgres import PostgresHome
from sample_project import SampleProject, eventually, wait_for_exit
from state_worlds import GitWorld, git


@pytest.fixture
def remote(project: SampleProject, tmp_path: Path) -> GitWorld:
    """A deployed project with a remote."""
    world = GitWorld(tmp_path / "world")
    git(project.folder, "remote", "add", "origin", str(world.remote))
    project.deploy()
    return world


def holders(url: str) -> dict[str, object]:
    """Return who holds each environment, by the record in a database."""
    with closing(PostgresHome(url, "shop")) as home:
        entries = [Entry.parse(link.entry) for link in home.read(0)]
    return {entry.subject: entry.data["holder"] for entry in entries if entry.kind is EntryKind.LEASE}


GIT = {"ABREAST_STATE": "git"}


def test_the_record_moves_and_nobody_goes_on_with_the_old_one(project: SampleProject, remote: GitWorld) -> None:
    before = project.run("history").stdout
    told = project.run("state", "move", "--to", "git", "--yes").stdout
    assert "next: set ABREAST_STATE=git" in told
    assert project.run("history", variables=GIT).stdout == before
    assert "the record moved to git" in project.deploy("--force", code=3).stderr
    commit = project.commit()
    project.deploy(variables=GIT)
    assert project.served_commits()["backend"] == commit
    assert "v2" in project.run("status", variables=GIT).stdout
    assert "v2" not in project.run("status").stdout
    told = project.run("state", "verify", variables=GIT).stdout
    assert "refs/abreast/shop/ledger of origin" in told
    assert "intact" in told
    there = json.loads(project.run("state", "show", "--json", variables=GIT).stdout)
    assert (there["pending"], there["trouble"]) == (0, "")
    refused = project.run("state", "move", "--to", "git", "--yes", code=3).stderr
    assert "the record moved to git" in refused
    project.run("down", "--yes", variables=GIT)


def test_it_moves_to_a_database_and_back_to_a_folder(project: SampleProject, remote: GitWorld, tmp_path: Path) -> None:
    project.config["environments"]["staging"] = {}
    project.commit()
    url = postgres_server.create_database()
    project.run("state", "move", "--to", "git", "--yes")
    told = project.run("state", "move", "--to", url, "--yes", variables=GIT).stdout
    assert postgres_server.QUOTED_PASSWORD not in told
    assert set(holders(url)) == {"local", "staging"}
    assert not any(holders(url).values()), "nobody waits for the command that moved it"
    locks = project.run("doctor", code=None, variables=GIT).stdout
    assert locks.count("the record moved to") == 2, "one for each environment"
    here = {"ABREAST_STATE": url}
    assert "v1" in project.run("status", variables=here).stdout
    folder = tmp_path / "elsewhere"
    refused = project.run("state", "move", "--to", str(folder), "--yes", variables=here, code=3).stderr
    assert "next:   abreast down --env local" in refused
    project.run("down", "--yes", variables=here)
    project.run("state", "move", "--to", str(folder), "--yes", variables=here)
    assert "v1" in project.run("history", variables={"ABREAST_STATE": str(folder)}).stdout
    assert postgres_server.QUOTED_PASSWORD not in project.run("state", "show", variables=here).stdout


def test_a_record_is_not_mixed_with_another(project: SampleProject, remote: GitWorld) -> None:
    project.commit()
    project.deploy(variables=GIT)
    told = project.run("state", "move", "--to", "git", "--yes", code=3).stderr
    assert "there is another record already" in told
    assert project.run("deploy", "--yes", "--force", code=0).returncode == 0, "nothing was locked"


def test_an_entry_that_was_changed_there_is_named(project: SampleProject, remote: GitWorld) -> None:
    project.run("state", "move", "--to", "git", "--yes")
    remote.change('"key": "v1"', '"key": "v7"')
    told = project.run("state", "verify", variables=GIT, code=1).stdout
    assert "entry 2 (release of shop" in told
    assert "entry 2 does not follow" in project.run("down", "--yes", variables=GIT).stderr


def test_a_damaged_home_is_made_again_from_a_copy(project: SampleProject, remote: GitWorld) -> None:
    project.run("state", "move", "--to", "git", "--yes")
    before = project.run("history", variables=GIT).stdout
    remote.change('"key": "v1"', '"key": "v7"')
    copy = {"ABREAST_STATE": json.loads(project.run("state", "show", "--json", variables=GIT).stdout)["folder"]}
    assert "intact" in project.run("state", "verify", variables=copy).stdout
    git(project.folder, "push", "--quiet", "origin", ":refs/abreast/shop/ledger")
    refused = project.run("state", "move", "--to", "git", "--yes", variables=copy)
    assert refused.returncode == 0, refused.stderr
    assert "intact" in project.run("state", "verify", variables=GIT).stdout
    assert project.run("history", variables=GIT).stdout == before
    project.commit()
    project.deploy(variables=GIT)
    project.run("down", "--yes", variables=GIT)


def test_a_row_that_was_changed_here_is_named(project: SampleProject, remote: GitWorld) -> None:
    assert "intact" in project.run("state", "verify").stdout
    with closing(sqlite3.connect(project.folder / ".abreast" / "ledger.db")) as database:
        database.execute("UPDATE deployments SET author = 'nobody'")
        database.commit()
    assert "was changed in the ledger" in project.run("state", "verify", code=1).stdout


def test_in_github_actions_the_record_is_in_the_remote(project: SampleProject, remote: GitWorld) -> None:
    project.run("state", "move", "--to", "git", "--yes")
    shown = json.loads(project.run("state", "show", "--json", variables={"GITHUB_ACTIONS": "true"}).stdout)
    assert shown["location"] == "refs/abreast/shop/ledger of origin"
    project.run("down", "--yes", variables=GIT)


def test_places_that_are_none(project: SampleProject, tmp_path: Path) -> None:
    project.deploy()
    told = project.run("state", "move", "--to", "mysql://x/y", "--yes", code=2).stderr
    assert "git, postgresql://…, or a folder" in told
    told = project.run("state", "move", "--to", "git", "--yes", code=2).stderr
    assert "a remote that is called origin" in told
    assert "is in .abreast already" in project.run("state", "move", "--to", ".abreast", "--yes", code=2).stderr
    for command in (["status"], ["deploy", "--yes"], ["history"]):
        assert "a remote that is called origin" in project.run(*command, code=2, variables=GIT).stderr


def test_a_home_that_is_away_is_said_and_what_is_known_is_shown(project: SampleProject, remote: GitWorld) -> None:
    project.run("state", "move", "--to", "git", "--yes")
    project.run("status", variables=GIT)
    remote.away()
    done = project.run("status", variables=GIT)
    assert "v1" in done.stdout
    assert "as it was last known here" in done.stderr
    assert "no answer" in project.run("state", "show", variables=GIT).stdout
    project.commit()
    told = project.deploy(code=1, variables=GIT).stderr
    assert "needed: an answer of the remote" in told
    remote.back()
    project.deploy(variables=GIT)
    project.run("down", "--yes", variables=GIT)


@pytest.mark.parametrize("command", [("confirm", "v1"), ("unlock", "--release", "v2")], ids=["confirm", "unlock"])
def test_what_a_person_decided_is_there_when_the_command_ends(
    project: SampleProject, remote: GitWorld, command: tuple[str, ...]
) -> None:
    project.commit()
    project.deploy()
    project.run("rollback", "--yes", "--reason", "critical bug: orders fail")
    project.run("state", "move", "--to", "git", "--yes")
    project.run("history", variables=GIT)
    remote.away()
    deciding = project.start(*command, variables=GIT)
    with pytest.raises(AssertionError):
        eventually(lambda: deciding.poll() is not None, 5)
    remote.back()
    assert wait_for_exit(deciding) == 0
    there = git(remote.remote, "cat-file", "blob", "refs/abreast/shop/ledger:entries.jsonl")
    entries = [json.loads(json.loads(line)[1]) for line in there.splitlines()]
    assert f"{command[0]}ed" in [entry["data"].get("kind") for entry in entries]
    project.run("down", "--yes", variables=GIT)
