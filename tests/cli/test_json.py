"""``--json``: every command that has it answers with one document on standard output, also when it fails."""

import json
from collections.abc import Iterator

import click
import pytest

from abreast.cli.main import abreast as commands
from sample_project import SampleProject


def with_json(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from with_json(command, *path, name)
        elif any("--json" in parameter.opts for parameter in command.params):
            yield (*path, name)


COMMANDS = [*with_json(commands)]
SITUATIONS = ["no project", "broken", "new", "deployed", "wrong option"]


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, SampleProject]]:
    made = {name: SampleProject(tmp_path_factory.mktemp("json") / "project") for name in SITUATIONS}
    (made["no project"].folder / "abreast.yml").unlink()
    (made["broken"].folder / "abreast.yml").write_text("services: [")
    made["deployed"].deploy()
    yield made
    made["deployed"].down()


def test_many_commands_have_it() -> None:
    assert len(COMMANDS) >= 16
    assert {("plan",), ("deploy",), ("status",), ("doctor",), ("db", "restore")} <= set(COMMANDS)


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_one_document(projects: dict[str, SampleProject], command: tuple[str, ...], situation: str) -> None:
    options = {"rollback": ["--reason", "x", "--yes"], "deploy": ["--yes"], "restore": ["--yes"], "migrate": ["--yes"]}
    given = ["--reason", "x"] if command[0] == "propose" else options.get(command[-1], [])
    wrong = ["--nope"] if situation == "wrong option" else []
    project = projects[situation]
    if situation == "new" and command == ("deploy",):
        project = projects["deployed"]  # or else it would be deployed
    done = project.run(*command, *given, "--json", *wrong, code=None)
    document = json.loads(done.stdout)
    if isinstance(document, dict) and "error" in document:
        assert set(document["error"]) == {"what", "need", "next", "exit_code"}
        assert document["error"]["exit_code"] == done.returncode
        assert document["error"]["what"].splitlines()[0] in done.stderr
    else:
        assert done.returncode in {0, 1}
    reads_ledger = {
        "doctor",
        "status",
        "history",
        "incident",
        "locks",
        "maintenance",
        "maintenance status",
        "proposals",
        "state show",
        "state verify",
        "audit verify",
        "audit export",
        "audit change",
    }
    needs_config = " ".join(command) not in reads_ledger
    if situation in {"wrong option", "no project"} or (situation == "broken" and needs_config):
        assert done.returncode == 2
        assert "error" in document


def test_following_a_deployment_with_json_is_one_document_too(projects: dict[str, SampleProject]) -> None:
    done = projects["deployed"].run("show", "--watch", "--json")
    assert json.loads(done.stdout)["state"] == "succeeded"
    done = projects["deployed"].run("status", "--watch", "--json", code=2)
    assert "--watch" in json.loads(done.stdout)["error"]["what"]
