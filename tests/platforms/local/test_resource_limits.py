"""The kernel keeps instances to their resources, and nothing is left of their control groups."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from abreast.core.model import Resources
from abreast.machine.control_groups import CPU, MEMORY, ControlGroup, Mount, find_places, places
from abreast.machine.process import process_environment
from abreast.platforms.local.supervisor.client import HOME_MARK, Instance, InstanceSpec, InstanceState, SupervisorClient
from abreast.platforms.local.supervisor.resource_limits import InstanceGroups
from sample_project import eventually

MEGABYTE = 1_000_000
SLEEP = "exec sleep 1000"
HOARD = f"""exec {sys.executable} -S -c "
import time
hoard = []
while True:
    hoard.append(bytearray(1000000))
" """
"""Takes memory until somebody stops it."""

HOARD_IN_CHILD = HOARD.replace("exec ", "") + "& exec sleep 1000"
SPIN = f"exec {sys.executable} -S -c 'while True: pass'"

needs_control_groups = pytest.mark.skipif(
    not {MEMORY, CPU} <= find_places().keys(), reason="this user may make no control groups here"
)


def groups(home: Path) -> set[str]:
    """Return the folders of all control groups that the supervisor of ``home`` has made; others run beside it."""
    own = f"{InstanceGroups(home)._prefix}*"
    return {str(folder) for place in find_places().values() for folder in place.folder.glob(own)}


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[SupervisorClient]:
    made = SupervisorClient(tmp_path / "home")
    made.start()
    yield made
    made.start()
    made.stop([instance.id for instance in made.instances()], grace=0)
    eventually(lambda: not made.instances())
    made.shutdown()
    eventually(lambda: not groups(tmp_path / "home"))


def spec(home: Path, command: str, **resources: float) -> InstanceSpec:
    limits = Resources(resources.get("cpu"), int(resources["memory"]) if "memory" in resources else None)
    env = {"PATH": os.environ["PATH"]}
    return InstanceSpec("web-0", command, home, home / "web.log", wants_port=False, env=env, resources=limits)


def only(supervisor: SupervisorClient) -> Instance:
    (instance,) = supervisor.instances()
    return instance


def folder_of(pid: int, controller: str) -> Path:
    """Return the folder of the group that a process has joined, as the kernel says."""
    eventually(lambda: _group_of(pid, controller).name.startswith("abreast-"))
    return _group_of(pid, controller)


def _group_of(pid: int, controller: str) -> Path:
    place = find_places()[controller]
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    paths = {name: path for line in lines for _, names, path in [line.split(":", 2)] for name in names.split(",")}
    return place.folder / Path(paths[controller if place.version == 1 else ""]).name


@needs_control_groups
def test_an_instance_that_needs_more_memory_is_killed_and_says_so(supervisor: SupervisorClient, tmp_path: Path) -> None:
    supervisor.ensure(spec(tmp_path / "home", HOARD, memory=64 * MEGABYTE))
    eventually(lambda: only(supervisor).restarts >= 1)
    assert only(supervisor).last_exit == "out of memory: it needed more than its 64MB"


@needs_control_groups
def test_the_whole_instance_ends_if_one_of_its_processes_needs_too_much(
    supervisor: SupervisorClient, tmp_path: Path
) -> None:
    supervisor.ensure(spec(tmp_path / "home", HOARD_IN_CHILD, memory=64 * MEGABYTE))
    eventually(lambda: only(supervisor).restarts >= 1)
    assert only(supervisor).last_exit == "out of memory: it needed more than its 64MB"


@needs_control_groups
def test_an_instance_gets_no_more_cpu_than_it_may_use(supervisor: SupervisorClient, tmp_path: Path) -> None:
    supervisor.ensure(spec(tmp_path / "home", SPIN, cpu=0.2))
    statistics = folder_of(only(supervisor).pid, CPU) / "cpu.stat"
    eventually(lambda: int(dict(line.split() for line in statistics.read_text().splitlines())["nr_throttled"]) > 5)


@needs_control_groups
def test_a_killed_supervisor_leaves_limits_that_the_next_one_removes(
    supervisor: SupervisorClient, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    supervisor.ensure(spec(home, SLEEP, memory=64 * MEGABYTE, cpu=0.5))
    running = only(supervisor)
    made = groups(home)
    assert str(folder_of(running.pid, MEMORY)) in made
    _kill_supervisor(home)
    supervisor.start()
    assert only(supervisor) == running, "it runs on, in its group"
    os.kill(running.pid, signal.SIGKILL)
    eventually(lambda: only(supervisor).restarts == 1 and only(supervisor).state is InstanceState.RUNNING)
    assert only(supervisor).last_exit == "exited", "which was not for its memory"
    assert groups(home) == made
    supervisor.stop(["web-0"], grace=0)
    eventually(lambda: not supervisor.instances())
    assert not groups(home)


@needs_control_groups
def test_a_process_that_was_killed_for_its_memory_while_no_supervisor_ran_is_told(
    supervisor: SupervisorClient, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    go = home / "go"
    supervisor.ensure(spec(home, f"while ! [ -e {go} ]; do sleep 0.1; done; {HOARD}", memory=64 * MEGABYTE))
    pid = only(supervisor).pid
    _kill_supervisor(home)
    go.touch()
    eventually(lambda: not Path(f"/proc/{pid}").exists())
    go.unlink()
    supervisor.start()
    assert only(supervisor).last_exit == "out of memory: it needed more than its 64MB"


@needs_control_groups
def test_groups_of_instances_that_nobody_recorded_are_removed(supervisor: SupervisorClient, tmp_path: Path) -> None:
    home = tmp_path / "home"
    supervisor.ensure(spec(home, SLEEP, memory=64 * MEGABYTE))
    pid = only(supervisor).pid
    folder = folder_of(pid, MEMORY)
    _kill_supervisor(home)
    (home / "instances" / "web-0.json").unlink()
    foreign = folder.with_name("abreast-0123456789abcdef-web-0")
    foreign.mkdir()
    try:
        supervisor.start()
        eventually(lambda: not folder.exists())
        assert foreign.exists(), "that of another supervisor stays"
    finally:
        foreign.rmdir()


@needs_control_groups
def test_what_an_instance_leaves_in_its_group_ends_with_it(supervisor: SupervisorClient, tmp_path: Path) -> None:
    home = tmp_path / "home"
    supervisor.ensure(spec(home, f"setsid sleep 1000 & {SLEEP}", memory=64 * MEGABYTE))
    group = ControlGroup({MEMORY: str(folder_of(only(supervisor).pid, MEMORY))})
    eventually(lambda: len(group.members()) == 2)
    supervisor.stop(["web-0"], grace=0)
    eventually(lambda: not supervisor.instances())
    assert group.members() == []
    assert not Path(group.folders[MEMORY]).exists()


def _kill_supervisor(home: Path) -> None:
    """Kill the process manager and its watchdog, as a power loss does."""
    found = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdecimal() and _is_supervisor(int(entry.name), home)
    ]
    assert len(found) >= 2
    for sign in (signal.SIGSTOP, signal.SIGKILL):  # each would start the other again
        for pid in found:
            os.kill(pid, sign)
    eventually(lambda: not any(_is_supervisor(pid, home) for pid in found))


def _is_supervisor(pid: int, home: Path) -> bool:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    is_ours = b"supervisor" in b" ".join(arguments) and str(home).encode() in arguments
    return is_ours and HOME_MARK not in process_environment(pid)


@pytest.mark.parametrize("kind", ["none", "not enabled", "delegated", "delegated above"])
def test_where_groups_can_be_made(tmp_path: Path, kind: str) -> None:
    own = tmp_path / "user.slice" / "shell.scope"
    own.mkdir(parents=True)
    for folder in (own, own.parent, tmp_path):
        (folder / "cgroup.procs").write_text("")
        (folder / "cgroup.subtree_control").write_text("")
    if kind.startswith("delegated"):
        chosen = own.parent if kind == "delegated" else tmp_path
        (chosen / "cgroup.subtree_control").write_text("cpu memory pids\n")
    mounts = [] if kind == "none" else [Mount(tmp_path, "/", 2, frozenset())]
    found = places(mounts, "0::/user.slice/shell.scope\n")
    assert {name: place.folder for name, place in found.items()} == {
        "delegated": dict.fromkeys((MEMORY, CPU), own.parent),
        "delegated above": dict.fromkeys((MEMORY, CPU), tmp_path),
    }.get(kind, {})


def test_a_container_finds_its_own_group_in_version_1(tmp_path: Path) -> None:
    mount = Mount(tmp_path, "/docker/1", 1, frozenset({"rw", "memory"}))
    (tmp_path / "sub").mkdir()
    groups_of = "9:memory:/docker/1/sub\n3:cpu,cpuacct:/docker/1\n0::/\n"
    found = places([mount], groups_of)
    assert {name: place.folder for name, place in found.items()} == {MEMORY: tmp_path / "sub"}
