"""The supervisor keeps real processes, whatever is killed."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from abreast.core.errors import PlatformError
from abreast.machine.process import ProcessIdentity, process_environment, process_groups
from abreast.platforms.local.supervisor.client import Instance, InstanceSpec, InstanceState, SupervisorClient
from other_system import create_other_system
from sample_project import eventually, free_ports

SLEEP = "exec sleep 1000"
LISTEN = f"exec {sys.executable} -S -c \"import os, socket, time; s = socket.create_server(('127.0.0.1', int(os.environ['PORT']))); time.sleep(1000)\""


ON_BOTH = pytest.mark.parametrize(
    "home", ["Linux", pytest.param("another system", marks=pytest.mark.exhaustive)], indirect=True
)
"""Proves that the supervisor does it without what only Linux has, too."""


@pytest.fixture
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The supervisor's folder."""
    if getattr(request, "param", "Linux") != "Linux":
        for name, value in create_other_system(tmp_path / "system").items():
            monkeypatch.setenv(name, value)
    return tmp_path / ("a-long-name-" * 8) / "home"


@pytest.fixture
def supervisor(home: Path) -> Iterator[SupervisorClient]:
    made = SupervisorClient(home)
    made.start()
    yield made
    made.start()
    made.stop([instance.id for instance in made.instances()], grace=0)
    eventually(lambda: not made.instances())
    made.shutdown()


def test_one_that_is_killed_while_the_next_is_started_counts_as_stopped(
    supervisor: SupervisorClient, home: Path
) -> None:
    supervisor.shutdown()
    with (home / "supervisor.lock").open("a") as lock:  # as the kernel holds it until a killed process is gone
        fcntl.flock(lock, fcntl.LOCK_EX)
        gone = threading.Timer(0.5, fcntl.flock, (lock, fcntl.LOCK_UN))
        gone.start()
        assert supervisor.is_running()
        supervisor.start()
        gone.join()
    assert supervisor.instances() == ()


def spec(home: Path, command: str | tuple[str, ...] = SLEEP, name: str = "web-0", **more: object) -> InstanceSpec:
    usual = {"cwd": home, "log": home / "web.log", "wants_port": False, "env": {"PATH": os.environ["PATH"]}}
    return InstanceSpec(id=name, command=command, **{**usual, **more})  # type: ignore[arg-type]


def only(supervisor: SupervisorClient) -> Instance:
    (instance,) = supervisor.instances()
    return instance


def processes(role: str, home: Path) -> list[int]:
    found = subprocess.run(["pgrep", "-f", f"supervisor.{role} {home}"], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


@ON_BOTH
def test_ensure_and_stop_are_safe_to_repeat(supervisor: SupervisorClient, home: Path) -> None:
    first = supervisor.ensure(spec(home))
    assert supervisor.ensure(spec(home)) == first == only(supervisor)
    for _ in range(2):
        supervisor.stop(["web-0", "unknown"], grace=5)
    eventually(lambda: not supervisor.instances())
    with pytest.raises(ProcessLookupError):
        os.kill(first.pid, 0)


def test_instances_outlive_whoever_asked_for_them(home: Path) -> None:
    code = (
        "import os, signal\nfrom pathlib import Path\n"
        "from abreast.platforms.local.supervisor.client import InstanceSpec, SupervisorClient\n"
        f"home = Path({str(home)!r})\ns = SupervisorClient(home)\ns.start()\n"
        "s.ensure(InstanceSpec('web-0', 'exec sleep 1000', home, home / 'log', False, {'PATH': os.environ['PATH']}))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    supervisor = SupervisorClient(home)
    assert only(supervisor).state is InstanceState.RUNNING
    supervisor.stop(["web-0"], 0)
    eventually(lambda: not supervisor.instances())
    supervisor.shutdown()


def test_a_crashed_instance_is_started_again_later_and_later(supervisor: SupervisorClient, home: Path) -> None:
    supervisor.ensure(spec(home, "date +%s.%N; exit 7"))
    eventually(lambda: only(supervisor).restarts >= 3)
    assert only(supervisor).last_exit == "exit code 7"
    eventually(lambda: len((home / "web.log").read_text().split()) >= 3)
    moments = [float(line) for line in (home / "web.log").read_text().split()]
    assert 0.4 < moments[1] - moments[0] < moments[2] - moments[1]


@ON_BOTH
def test_a_killed_keeper_is_replaced_and_takes_everything_up(supervisor: SupervisorClient, home: Path) -> None:
    env = {"PATH": os.environ["PATH"], "TOKEN": "sentinel-77"}
    command = "echo $TOKEN; while :; do sleep 0.05; echo tick; done"
    before = supervisor.ensure(spec(home, command, env=env, secrets=frozenset({"TOKEN"})))
    (keeper,) = processes("process_manager", home)
    os.kill(keeper, signal.SIGKILL)
    eventually(lambda: processes("process_manager", home) not in ([], [keeper]))
    assert only(supervisor).pid == before.pid
    size = (home / "web.log").stat().st_size
    eventually(lambda: (home / "web.log").stat().st_size > size)
    os.kill(before.pid, signal.SIGKILL)
    eventually(lambda: (home / "web.log").read_text().count("••••") == 2)  # it had its secret again
    assert not any(b"sentinel-77" in file.read_bytes() for file in home.rglob("*") if file.is_file())


@ON_BOTH
def test_an_instance_whose_secrets_cannot_be_read_is_ended(supervisor: SupervisorClient, home: Path) -> None:
    """Nothing would redact its output, and it could not be restarted."""
    env = {"PATH": os.environ["PATH"], "TOKEN": "sentinel-77"}
    asked = spec(home, "exec env -i sleep 1000", env=env, secrets=frozenset({"TOKEN"}))
    before = supervisor.ensure(asked)
    eventually(lambda: process_environment(before.pid) == {})
    (keeper,) = processes("process_manager", home)
    os.kill(keeper, signal.SIGKILL)
    eventually(lambda: only(supervisor).state is InstanceState.LOST)
    eventually(lambda: not process_groups([before.pid]))
    assert supervisor.ensure(asked).pid != before.pid
    assert only(supervisor).state is InstanceState.RUNNING


@ON_BOTH
def test_secrets_are_read_from_any_process_of_an_instance(supervisor: SupervisorClient, home: Path) -> None:
    env = {"PATH": os.environ["PATH"], "TOKEN": "sentinel-77"}
    hidden = "sleep 1000 & exec env -i /bin/sh -c 'while :; do sleep 0.05; echo sentinel-77; done'"
    before = supervisor.ensure(spec(home, hidden, env=env, secrets=frozenset({"TOKEN"})))
    eventually(lambda: process_environment(before.pid).keys() <= {"PWD"} and (home / "web.log").stat().st_size)
    (keeper,) = processes("process_manager", home)
    os.kill(keeper, signal.SIGKILL)
    eventually(lambda: processes("process_manager", home) not in ([], [keeper]))
    size = (home / "web.log").stat().st_size
    eventually(lambda: (home / "web.log").stat().st_size > size + 10)
    assert only(supervisor).pid == before.pid
    assert "sentinel-77" not in (home / "web.log").read_text()


@ON_BOTH
def test_a_killed_guard_is_replaced(supervisor: SupervisorClient, home: Path) -> None:
    before = supervisor.ensure(spec(home))
    (guard,) = processes("watchdog", home)
    os.kill(guard, signal.SIGKILL)
    eventually(lambda: processes("watchdog", home) not in ([], [guard]))
    assert only(supervisor).pid == before.pid


def test_both_killed_are_started_by_the_next_command(supervisor: SupervisorClient, home: Path) -> None:
    before = supervisor.ensure(spec(home))
    (guard,), (keeper,) = processes("watchdog", home), processes("process_manager", home)
    os.kill(keeper, signal.SIGSTOP)  # so that neither sees the other's end
    for pid in (guard, keeper):
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: not supervisor.is_running())
    with pytest.raises(PlatformError, match="does not answer"):
        supervisor.instances()
    supervisor.start()
    assert only(supervisor).pid == before.pid


@ON_BOTH
@pytest.mark.parametrize("recorded", [True, False])
def test_what_was_started_and_not_recorded_is_not_left_beside_the_next_one(
    supervisor: SupervisorClient, home: Path, *, recorded: bool
) -> None:
    """As when the process manager is killed between the start of an instance and its record."""
    first, other = supervisor.ensure(spec(home)), supervisor.ensure(spec(home, name="web-01"))
    supervisor.shutdown()
    record = home / "instances" / "web-0.json"
    if recorded:
        record.write_text(json.dumps({**json.loads(record.read_text()), "identity": None}))
    else:
        record.unlink()
    supervisor.start()
    supervisor.ensure(spec(home))
    eventually(lambda: {each.id: each.pid > 0 for each in supervisor.instances()} == {"web-0": True, "web-01": True})
    pids = {each.id: each.pid for each in supervisor.instances()}
    assert pids["web-01"] == other.pid
    assert pids["web-0"] != first.pid
    eventually(lambda: not _is_running(first.pid))


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@ON_BOTH
def test_stop_empties_the_whole_group(supervisor: SupervisorClient, home: Path) -> None:
    stubborn = "trap '' TERM; (trap '' TERM; sleep 1000) & (setsid sleep 0 &) ; sleep 1000"
    group = supervisor.ensure(spec(home, stubborn)).pid
    eventually(lambda: len(process_groups([group]).get(group, [])) >= 2)
    supervisor.stop(["web-0"], grace=0.3)
    eventually(lambda: not supervisor.instances())
    assert not process_groups([group])


@ON_BOTH
@pytest.mark.parametrize("since", ["a reboot", "the same boot"])
def test_a_stranger_that_has_the_number_of_an_instance_lives(
    supervisor: SupervisorClient, home: Path, since: str
) -> None:
    """A record can outlive its process; the number is anybody's then."""
    supervisor.ensure(spec(home))
    record = home / "instances" / "web-0.json"
    known = json.loads(record.read_text())
    for role in ("watchdog", "process_manager"):
        for pid in processes(role, home):
            os.kill(pid, signal.SIGSTOP)
    for role in ("watchdog", "process_manager"):
        for pid in processes(role, home):
            os.kill(pid, signal.SIGKILL)
    os.killpg(known["identity"]["pid"], signal.SIGKILL)
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as stranger:
        try:
            boot = known["identity"]["boot"] if since == "the same boot" else "another boot"
            identity = {**known["identity"], "pid": stranger.pid, "boot": boot}
            record.write_text(json.dumps({**known, "identity": identity}))
            eventually(lambda: not supervisor.is_running())
            supervisor.start()
            eventually(lambda: only(supervisor).restarts == 1 and only(supervisor).pid != stranger.pid)
            assert stranger.poll() is None
            supervisor.stop(["web-0"], grace=0)
            eventually(lambda: not supervisor.instances())
            assert stranger.poll() is None
        finally:
            stranger.kill()


@ON_BOTH
def test_what_a_crashed_instance_leaves_in_its_group_is_ended(supervisor: SupervisorClient, home: Path) -> None:
    group = supervisor.ensure(spec(home, "sleep 1000 & sleep 0.2; exit 1")).pid
    eventually(lambda: only(supervisor).restarts >= 1 and only(supervisor).pid != group)
    assert not process_groups([group])


@ON_BOTH
def test_a_port_is_held_and_a_stranger_on_it_is_not_taken_for_ours(supervisor: SupervisorClient, home: Path) -> None:
    listening = supervisor.ensure(spec(home, LISTEN, wants_port=True))
    silent = supervisor.ensure(spec(home, SLEEP, name="web-1", wants_port=True))
    assert listening.port
    assert silent.port
    eventually(lambda: {instance.id: instance.listening for instance in supervisor.instances()}["web-0"])
    with socket.create_server(("127.0.0.1", silent.port)):
        assert {instance.id: instance.listening for instance in supervisor.instances()} == {
            "web-0": True,
            "web-1": False,
        }
    os.kill(listening.pid, signal.SIGKILL)
    eventually(lambda: any(instance.restarts and instance.listening for instance in supervisor.instances()))
    moved = {instance.id: instance.port for instance in supervisor.instances()}["web-0"]
    assert moved != listening.port, "while it starts, anybody could take the port that users were sent to"


def test_nobody_blocks_it_by_a_name_among_the_temporary_files(supervisor: SupervisorClient, home: Path) -> None:
    for name in (f"abreast-ports-{os.getuid()}", "abreast"):
        (Path(tempfile.gettempdir()) / name).touch()
    port = supervisor.ensure(spec(home, SLEEP, wants_port=True)).port
    locks = Path(os.environ["XDG_STATE_HOME"]) / "abreast" / "ports"
    assert (locks / str(port)).exists()
    assert locks.stat().st_mode & 0o077 == 0
    supervisor.stop(["web-0"], 0)
    eventually(lambda: not supervisor.instances())
    assert not (locks / str(port)).exists(), "no lock file is left"


def test_two_supervisors_never_give_the_same_port(supervisor: SupervisorClient, home: Path, tmp_path: Path) -> None:
    other = SupervisorClient(tmp_path / "other")
    other.start()
    for number in range(10):
        for each, folder in ((supervisor, home), (other, tmp_path / "other")):
            each.ensure(spec(folder, name=f"web-{number}", wants_port=True, log=folder / "log"))
    ports = [instance.port for each in (supervisor, other) for instance in each.instances()]
    assert len(set(ports)) == 20
    other.stop([instance.id for instance in other.instances()], 0)
    eventually(lambda: not other.instances())
    other.shutdown()


def test_two_that_start_it_at_once_share_it(home: Path) -> None:
    starters = [threading.Thread(target=SupervisorClient(home).start) for _ in range(4)]
    for each in starters:
        each.start()
    for each in starters:
        each.join()
    eventually(lambda: len(processes("watchdog", home)) == 1)
    assert len(processes("process_manager", home)) == 1
    SupervisorClient(home).shutdown()


def test_a_program_that_is_not_there_is_told(supervisor: SupervisorClient, home: Path) -> None:
    with pytest.raises(PlatformError, match="no-such-program cannot be started: No such file"):
        supervisor.ensure(spec(home, ("no-such-program",)))
    assert supervisor.instances() == ()


@ON_BOTH
def test_a_recorded_process_whose_number_another_has_is_not_touched(supervisor: SupervisorClient, home: Path) -> None:
    supervisor.ensure(spec(home))
    supervisor.shutdown()
    record = home / "instances" / "web-0.json"
    with subprocess.Popen(["sleep", "1000"], start_new_session=True) as stranger:
        mine = ProcessIdentity.from_pid(only_pid(record))
        text = record.read_text().replace(f'"pid": {mine.pid}', f'"pid": {stranger.pid}')
        record.write_text(text)
        supervisor.start()
        supervisor.stop(["web-0"], 0)
        eventually(lambda: not supervisor.instances())
        assert stranger.poll() is None
        stranger.kill()
    os.killpg(mine.pid, signal.SIGKILL)


def only_pid(record: Path) -> int:
    return int(record.read_text().split('"pid": ')[1].split(",")[0])


def test_a_log_that_grew_large_is_put_aside(supervisor: SupervisorClient, home: Path) -> None:
    supervisor.ensure(spec(home, "head -c 12000000 /dev/zero | tr '\\0' x; echo end; sleep 1000"))
    eventually(lambda: (home / "web.log.1").exists() and (home / "web.log").read_text().endswith("end\n"))


TELLS_ITS_INPUT = f"""exec {sys.executable} -S -c "
import os, signal
os.set_blocking(0, False)
def tell(*_):
    try:
        print('ended' if os.read(0, 1) == b'' else 'data', flush=True)
    except BlockingIOError:
        print('open', flush=True)
signal.signal(signal.SIGUSR1, tell)
tell()
while True: signal.pause()
" """


@ON_BOTH
def test_the_input_of_an_instance_never_ends(supervisor: SupervisorClient, home: Path) -> None:
    instance = supervisor.ensure(spec(home, TELLS_ITS_INPUT))
    eventually(lambda: (home / "web.log").read_text() == "open\n")
    supervisor.shutdown()
    supervisor.start()
    os.kill(instance.pid, signal.SIGUSR1)
    eventually(lambda: (home / "web.log").read_text() == "open\nopen\n")
    assert not list((home / "instances").glob("*.in"))


LISTEN_THERE = f"exec {sys.executable} -S -c \"import os, socket, time; s = socket.create_server(('', {{port}})); print(os.environ['PORT'], flush=True); time.sleep(1000)\""


def test_an_instance_keeps_the_port_of_its_code(supervisor: SupervisorClient, home: Path) -> None:
    (port,) = free_ports(1)
    first = supervisor.ensure(spec(home, LISTEN_THERE.format(port=port), wants_port=True, app_port=port))
    eventually(lambda: only(supervisor).listening)
    os.kill(first.pid, signal.SIGKILL)
    eventually(lambda: only(supervisor).restarts == 1 and only(supervisor).listening)
    assert only(supervisor).port == port
    assert (home / "web.log").read_text().split() == [str(port)] * 2


def test_a_port_that_is_taken_is_named_with_its_owner(supervisor: SupervisorClient, home: Path) -> None:
    (port,) = free_ports(1)
    taken = pytest.raises(PlatformError, match=rf"port {port}, .* is taken by .*process {os.getpid()}")
    with socket.create_server(("127.0.0.1", port)), taken:
        supervisor.ensure(spec(home, wants_port=True, app_port=port))
    supervisor.ensure(spec(home, wants_port=True, app_port=port))
    with pytest.raises(PlatformError, match=f"port {port}, .* is taken by another environment"):
        supervisor.ensure(spec(home, name="web-1", wants_port=True, app_port=port))
