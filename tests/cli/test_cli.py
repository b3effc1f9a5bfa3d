"""The command line: what people see when they look, and when they err."""

import inspect
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import fork_server
from abreast.cli.lazy import LazyCommand, load
from abreast.cli.main import abreast as commands
from sample_project import SampleProject, eventually


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SampleProject]:
    made = SampleProject(tmp_path_factory.mktemp("cli") / "project")
    made.config["services"]["backend"]["run"] = f"echo ready; exec {sys.executable} -S app.py"
    made.config["services"]["backend"]["build"] = "echo made of oak"
    made.commit()
    made.deploy()
    yield made
    made.down()


@pytest.mark.exhaustive
def test_status_on_one_screen(deployed: SampleProject) -> None:
    told = deployed.run("status").stdout
    assert re.search(r"shop · local · v1", told)
    assert re.search(rf"backend +healthy +v1 +[0-9a-f]{{7}} +local +http://127.0.0.1:{deployed.backend_port}", told)


def test_history_and_show(deployed: SampleProject) -> None:
    (only,) = json.loads(deployed.run("history", "--json").stdout)
    assert (only["state"], only["release"], only["environment"], only["kind"]) == ("succeeded", "v1", "local", "deploy")
    assert only["id"] in deployed.run("history").stdout
    shown = json.loads(deployed.run("show", only["id"][-6:], "--json").stdout)
    assert [event["kind"] for event in shown["events"]][:2] == ["planned", "state"]
    assert {row["chapter"] for row in shown["durations"]} == {"build", "stage", "check", "turn", "watch", "settle"}
    text = deployed.run("show").stdout
    assert "backend      check     done" in text


def test_logs_of_services_and_of_a_deployment(deployed: SampleProject) -> None:
    eventually(lambda: "backend" in deployed.run("logs").stdout and "ready" in deployed.run("logs").stdout)
    latest = deployed.latest_deployment()["id"]
    assert re.search(r"backend build +\| made of oak", deployed.run("logs", latest).stdout)
    assert "ready" not in deployed.run("logs", "--service", "frontend").stdout


def test_logs_follow_from_another_terminal(deployed: SampleProject) -> None:
    following = deployed.start("logs", "--follow", "--service", "backend")
    log = next((deployed.folder / ".abreast" / "logs" / "local").glob("backend-*.log"))
    eventually(lambda: "ready" in following.output)
    with log.open("a") as file:
        file.write("something new\n")
    eventually(lambda: "something new" in following.output)
    following.kill()


def test_deploy_as_one_json_document(deployed: SampleProject) -> None:
    done = deployed.run("deploy", "--yes", "--json")
    assert json.loads(done.stdout) == {"state": None, "deployment": None}
    assert "nothing to do" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["deploy", "--env", "lokal", "--yes"], 2, "did you mean 'local'"),
        (["down"], 2, "cannot ask for confirmation"),
        (["deploy", "--service", "db", "--yes"], 2, "one of: frontend, backend"),
        (["deploy", "--release", "v9", "--yes"], 2, "there is no release 'v9'"),
        (["rollback", "--yes", "--reason", "x"], 2, "no release before v1"),
        (["rollback", "--yes"], 2, "no reason given"),
        (["lock"], 2, "no reason given"),
        (["logs", "--service", "nope"], 2, "there is no service 'nope'\n  needed: one of: frontend, backend"),
        (["logs", "v1", "--service", "nope"], 2, "needed: one of: frontend, backend"),
        (["show", "v7"], 2, "there is no deployment of v7\n  needed: one of: v1"),
        (["help", "deplyo"], 2, "there is no command 'deplyo'"),
        (["help", "db", "nope"], 2, "one of: backup, list"),
        (["resume"], 2, "no deployment is running or interrupted"),
        (["cancel"], 2, "no deployment is running or interrupted"),
        (["show", "zzz"], 2, "there is no deployment 'zzz'"),
        (["deplyo"], 2, "No such command 'deplyo'"),
        (["plan", "--since", "nowhere"], 2, "there is no commit nowhere"),
        (["status", "--env", "moon"], 2, "one of: local"),
        (["status", "--nonsense"], 2, "status has no option '--nonsense'"),
        (["docs", "nonsense"], 2, "one of: project, service"),
    ],
)
def test_errors_say_what_is_needed(deployed: SampleProject, arguments: list[str], code: int, text: str) -> None:
    done = deployed.run(*arguments, code=code)
    assert text in done.stderr
    assert done.stdout == "" or arguments[0] == "deploy"


@pytest.mark.exhaustive
def test_outside_of_a_project(tmp_path: Path) -> None:
    for command in ("plan", "status", "history"):
        done = subprocess.run(
            [sys.executable, "-m", "abreast", command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert "abreast.yml" in done.stderr
        assert "Traceback" not in done.stderr


def test_outside_of_a_repository(tmp_path: Path) -> None:
    (tmp_path / "abreast.yml").write_text("project: x\nservices: {a: {run: x}}\nenvironments: {local: }\n")
    done = subprocess.run(
        [sys.executable, "-m", "abreast", "plan"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tmp_path.parent)},
    )  # fmt: skip
    assert (done.returncode, "not a git repository: " in done.stderr) == (2, True)


def test_files_that_cannot_be_used_are_told_and_stay(deployed: SampleProject, tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    shutil.copy(deployed.folder / ".abreast" / "ledger.db", state)
    database = sqlite3.connect(state / "ledger.db")
    database.execute("PRAGMA user_version = 99")
    database.close()
    for command in (["status"], ["history"], ["deploy", "--yes"]):
        done = deployed.run(*command, code=1, variables={"ABREAST_STATE": str(state)})
        assert "created by a newer abreast" in done.stderr
    (state / "ledger.db").write_bytes(b"\x00garbage" * 1000)
    for name in ("ledger.db-wal", "ledger.db-shm"):
        (state / name).unlink(missing_ok=True)
    for command in (["status"], ["history"], ["deploy", "--yes"]):
        assert "ledger.db" in deployed.run(*command, code=1, variables={"ABREAST_STATE": str(state)}).stderr
    assert (state / "ledger.db").read_bytes() == b"\x00garbage" * 1000


def test_every_command_has_help_and_a_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
    for name, command in commands.commands.items():
        assert command.help
        assert f"## abreast {name}" in page
        for one in (command, *getattr(command, "commands", {}).values()):
            assert one.help
            assert one is command or f"`abreast {name} {one.name}" in page
            for parameter in one.params:
                assert all(option in page for option in parameter.opts if option.startswith("--")), (name, parameter)


def _lazy_commands(group: click.Group) -> Iterator[LazyCommand]:
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from _lazy_commands(command)
        else:
            assert isinstance(command, LazyCommand), command.name
            yield command


@pytest.mark.parametrize("command", [*_lazy_commands(commands)], ids=lambda command: command.target.partition(":")[2])
def test_every_command_function_takes_the_options_of_its_command(command: LazyCommand) -> None:
    signature = inspect.signature(load(command.target))
    assert set(signature.parameters) == {parameter.name for parameter in command.params}
    signature.bind(**dict.fromkeys(signature.parameters))


def test_status_imports_next_to_nothing() -> None:
    code = (
        "import sys\nfrom abreast.cli.commands import status\n"
        "heavy = {'click', 'rich', 'yaml', 'pydantic', 'asyncio', 'dataclasses', 'pathlib', 'typing', 'httpx2'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")})  # fmt: skip
    assert done.stdout == "[]\n", done.stderr


def test_config_shows_what_an_environment_is_set_to_and_where_two_differ(tmp_path: Path) -> None:
    environments = "{a: {settle: 1s}, b: {extends: a, drain: 2s}}"
    (tmp_path / "abreast.yml").write_text(
        f"project: p\nservices: {{w: {{build: {{output: w}}}}}}\nenvironments: {environments}\n"
    )
    shown = fork_server.run_command(tmp_path, "config", "--env", "b").stdout
    assert re.search(r"^settle +1s +abreast.yml:3$", shown, re.MULTILINE)
    assert re.search(r"^services.w.build.output +w +abreast.yml:2$", shown, re.MULTILINE)
    assert re.search(r"^artifacts.within +2592000 +default$", shown, re.MULTILINE)
    document = json.loads(fork_server.run_command(tmp_path, "config", "--env", "b", "--json").stdout)
    assert {"key": "drain", "value": "2s", "source": "abreast.yml:3"} in document["settings"]
    differs = fork_server.run_command(tmp_path, "config", "diff", "a", "b").stdout
    assert re.search(r"^drain +30  \(default\) +2s  \(abreast.yml:3\)$", differs, re.MULTILINE)
    assert fork_server.run_command(tmp_path, "config", "diff", "a", "a").stdout == "a and a have the same settings\n"
    assert fork_server.run_command(tmp_path, "config", "diff", "a", "c").returncode == 2
