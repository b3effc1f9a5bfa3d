"""The value of a secret reaches the child's environment, and nothing else."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from abreast.cli.main import abreast
from abreast.cli.options import RecordedText
from abreast.platforms.local.supervisor.client import SupervisorClient
from sample_project import SampleProject, eventually, get_json

SENTINEL = "xq7-sentinel-value-41c9"
PRINTS = (
    "    import os, sys\n"
    "    value = os.environ['API_TOKEN']\n"
    "    print('whole', value, flush=True)\n"
    "    sys.stdout.write('in parts ' + value[:9]); sys.stdout.flush(); time.sleep(0.2); print(value[9:], flush=True)\n"
    "    return 200, {'secret': value == 'xq7-sentinel-' + 'value-41c9'}\n"
)


@pytest.mark.smoke
def test_a_secret_appears_nowhere_but_in_the_environment_of_the_child(project: SampleProject) -> None:
    backend = project.config["services"]["backend"]
    backend["env"] = {"API_TOKEN": "${API_TOKEN}", "PLAIN": {"value": "${HIDDEN}", "secret": True}}
    backend["build"] = "printenv API_TOKEN; env"
    project.commit(app_py=project.app_source(PRINTS))
    variables = {"API_TOKEN": SENTINEL, "HIDDEN": SENTINEL}
    said = [project.deploy(variables=variables)]
    assert get_json(project.backend_port, "/health")["secret"] is True
    processes = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert SENTINEL not in processes

    project.commit("Print and fail", app_py=project.app_source(PRINTS.replace("return 200", "return 503")))
    backend["health"]["start"] = "1s"
    project.commit("Impatient")
    said.append(project.deploy(code=1, variables=variables))
    backend["build"] = "echo dying with $(printenv API_TOKEN); exit 3"
    project.commit("Fail to build")
    said.append(project.deploy(code=1, variables=variables))
    assert "dying with ••••" in said[-1].stdout

    commands = (["show", "--json"], ["history", "--json"], ["logs"], ["status", "--json"], ["plan", "--json"], ["show"])
    said += [project.run(*command, variables=variables) for command in commands]
    eventually(lambda: "in parts" in project.run("logs").stdout)
    for done in said:
        assert SENTINEL not in done.stdout + done.stderr
    assert _files_with(project.folder / ".abreast", SENTINEL) == []
    assert "whole ••••" in project.run("logs").stdout


def test_a_restarted_service_still_has_its_secret_after_its_keeper_was_killed(project: SampleProject) -> None:
    project.config["services"]["backend"]["env"] = {"API_TOKEN": "${API_TOKEN}"}
    project.commit(
        app_py=project.app_source("    import os\n    return 200, {'length': len(os.environ['API_TOKEN'])}\n")
    )
    project.deploy(variables={"API_TOKEN": SENTINEL})
    home = project.folder / ".abreast" / "local" / "local"
    keeper = subprocess.run(
        ["pgrep", "-f", f"supervisor.process_manager {home} "], capture_output=True, text=True, check=True
    )
    os.kill(int(keeper.stdout), 9)
    assert SupervisorClient(home).instances()  # the next keeper has taken them up
    record = next((home / "instances").glob("backend-*.json"))
    os.kill(json.loads(record.read_text())["identity"]["pid"], 9)
    eventually(lambda: get_json(project.backend_port, "/health")["length"] == len(SENTINEL))
    assert _files_with(home, SENTINEL) == []


def test_a_missing_secret_is_told_before_anything_is_touched(project: SampleProject) -> None:
    project.config["services"]["backend"]["env"] = {"API_TOKEN": "${ABSENT_TOKEN}"}
    project.commit()
    refused = project.deploy(code=2)
    assert "${ABSENT_TOKEN} is not set" in refused.stderr
    assert "abreast.yml:" in refused.stderr


def test_what_is_printed_without_an_end_of_line_is_shown_at_once(project: SampleProject) -> None:
    project.config["services"]["backend"]["build"] = "printf 'Continue? '; sleep 30"
    project.commit()
    deploying = project.start("deploy", "--yes")
    logs = project.folder / ".abreast" / "logs" / "deployments"
    eventually(lambda: any("Continue? " in log.read_text() for log in logs.glob("*/backend.build.log")))
    deploying.kill()


def test_in_github_actions_the_runner_is_told_each_secret(project: SampleProject) -> None:
    project.config["services"]["backend"]["env"] = {"API_TOKEN": "${API_TOKEN}"}
    project.commit()
    variables = {"API_TOKEN": f"{SENTINEL}\n100% more", "GITHUB_ACTIONS": "true", "ABREAST_STATE": ".abreast"}
    done = project.deploy(variables=variables)
    assert f"::add-mask::{SENTINEL}\n" in done.stderr
    assert "::add-mask::100%25 more\n" in done.stderr
    assert SENTINEL not in done.stdout
    assert "::add-mask::" not in project.deploy("--force", variables={"API_TOKEN": "other-value"}).stderr


def test_errors_are_told_without_what_is_secret_around(project: SampleProject) -> None:
    done = project.run("rollback", "--yes", "--reason", "x", "--to", SENTINEL, code=2, variables={"MY_TOKEN": SENTINEL})
    assert "there is no release '••••'" in done.stderr


def test_what_a_platform_says_before_anything_begins_is_told_without_secrets(project: SampleProject) -> None:
    project.config["services"]["backend"]["env"] = {"PLAIN": {"value": "${HIDDEN}", "secret": True}}
    project.config["environments"]["local"]["backend"] = {"render": {"service": "srv-xq7sentinel41c9"}}
    project.commit()
    variables = {"HIDDEN": "srv-xq7sentinel41c9", "RENDER_API_KEY": "x" * 20, "RENDER_API_URL": "http://127.0.0.1:9"}
    error = project.run("plan", code=1, variables=variables).stderr
    assert "GET /services/••••: All connection attempts failed" in error


def _files_with(folder: Path, text: str) -> list[str]:
    return [str(path) for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_a_secret_that_a_person_types_is_not_recorded(project: SampleProject) -> None:
    typed = f"{SENTINEL} ghp_{'a1B2' * 9}"
    for number in (1, 2):
        project.commit(f"Release {number}")
        project.deploy()
    commands: list[tuple[str, ...]] = [
        ("lock", "--reason", typed),
        ("unlock",),
        ("confirm", "v2", "--reason", typed),
        ("maintenance", "on", "--reason", typed, "--message", typed),
        ("maintenance", "off", "--reason", typed),
        ("propose", "rollback", "--reason", typed),
        ("rollback", "--yes", "--reason", f"critical bug: {typed}"),
        ("incident", "--note", typed),
        ("incident", "--close", "--reason", typed),
        ("deploy", "--yes", "--force", "--allow-older", "--reason", typed),
    ]
    for command in commands:
        done = project.run(*command, variables={"API_TOKEN": SENTINEL})
        assert SENTINEL not in done.stdout + done.stderr
    for secret in typed.split():
        assert _files_with(project.folder / ".abreast", secret) == []
    assert "critical bug: •••• ••••" in project.run("history").stdout


def test_every_option_for_the_words_of_a_person_keeps_secrets_out() -> None:
    words = [
        (command.name, option.name)
        for command in _commands(abreast)
        for option in command.params
        if option.name in {"reason", "note", "message"} and not isinstance(option.type, RecordedText)
    ]
    assert words == []


def _commands(command: click.Command) -> Iterator[click.Command]:
    yield command
    for each in command.commands.values() if isinstance(command, click.Group) else ():
        yield from _commands(each)
