"""What people mistype: names, numbers and text. Every command says so, and an environment that is gone can be ended."""

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime

import click
import pytest

from abreast.cli.main import abreast
from abreast.cli.run import run
from sample_project import SampleProject

NEEDED = {
    "confirm": ("v1",),
    "propose deploy": ("--reason", "x"),
    "propose rollback": ("--reason", "x"),
    "lock": ("--reason", "x"),
    "rollback": ("--reason", "x", "--yes"),
    "maintenance on": ("--reason", "x"),
    "db drop": ("copy",),
    "down": ("--yes",),
    "init": ("--render",),
}
"""What commands need besides an environment, before they look at its name."""


def commands() -> Iterator[str]:
    """Yield every command that takes an environment."""

    def below(command: click.Command, path: str) -> Iterator[str]:
        if any("--env" in option.opts for option in command.params):
            yield path
        for name, each in command.commands.items() if isinstance(command, click.Group) else ():
            yield from below(each, f"{path} {name}".strip())

    return below(abreast, "")


@pytest.mark.parametrize("command", list(commands()))
def test_a_misspelt_environment_is_told(project: SampleProject, command: str) -> None:
    project.commit()
    done = project.run(*command.split(), *NEEDED.get(command, ()), "--env", "locale", code=2)
    assert "there is no environment 'locale'" in done.stderr
    assert "local" in done.stderr.split("needed:")[1]


def test_what_was_done_to_an_environment_that_is_gone_can_be_ended(project: SampleProject) -> None:
    project.config["environments"] = {"local": {}, "staging": project.config["environments"].pop("local")}
    project.commit()
    project.run("deploy", "--env", "staging", "--yes")
    project.run("lock", "--env", "staging", "--reason", "x")
    project.run("maintenance", "on", "--env", "staging", "--reason", "x")
    staging = project.config["environments"].pop("staging")
    project.commit("No staging any more")
    assert "staging is unlocked" in project.run("unlock", "--env", "staging").stdout
    assert "users reach backend, frontend" in project.run("maintenance", "off", "--env", "staging").stdout
    for command in ("history", "logs", "incident", "maintenance", "audit export", "audit change"):
        project.run(*command.split(), "--env", "staging")
    project.run("down", "--env", "staging", "--yes")
    project.config["environments"]["staging"] = staging


@pytest.mark.parametrize(
    "command",
    [
        "lock --reason x --for 0s",
        "lock --reason x --for 99999999999d",
        "history --limit 0",
        "history --limit -5",
        "history --limit 99999999999999999999",
        "logs --lines 99999999999999999999",
        "audit export --until 9999-12-31",
        "audit export --since 0001-01-01T00:00:00+14:00",
        "maintenance on --reason x --retry-after 0s",
        "promote --to local --from locale",
        "promote --to local --from local",
    ],
)
def test_a_number_or_a_name_that_makes_no_sense_is_an_error_of_usage(project: SampleProject, command: str) -> None:
    project.commit()
    done = project.run(*command.split(), code=2)
    assert "internal error" not in done.stderr
    assert not project.run("locks").stdout.startswith("local")


def test_a_reason_is_one_line_of_utf_8(project: SampleProject) -> None:
    project.commit()
    other = os.fsdecode(b"caf\xe9")
    for command in (["lock", "--reason", other], ["history", "--env", other], ["confirm", other], ["show", other]):
        assert "'caf\ufffd' is not UTF-8" in project.run(*command, code=2).stderr
    project.run("lock", "--reason", "moving\nproduction: locked by ada\n  next: abreast down")
    assert project.run("locks").stdout.count("\n") == 2


def test_an_internal_error_has_one_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(abreast, "main", fail)
    assert run(["history", "--json"]) == json.loads(capsys.readouterr().out)["error"]["exit_code"] == 4


def test_until_a_day_means_to_its_end_however_it_is_written(project: SampleProject) -> None:
    project.commit()
    project.run("lock", "--reason", "x")
    today = datetime.now(UTC).date()
    for day in (today.isoformat(), today.strftime("%Y%m%d"), today.strftime("%G-W%V-%u")):
        assert '"lock"' in project.run("audit", "export", "--since", day, "--until", day).stdout
