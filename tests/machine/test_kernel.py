"""What the machine tells of processes and sockets: the same contract for Linux and for all other systems.

psutil, whose authors read the same kernel, is also the witness of what Linux's own variant says.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from abreast.cli import local_processes
from abreast.machine import exit_watch, files, listeners, process, unix_sockets
from abreast.machine.kernel.interface import ProcessTable, SocketTable
from abreast.machine.kernel.linux_processes import LinuxProcessTable
from abreast.machine.kernel.linux_sockets import LinuxSocketTable, ask_sock_diag, proc_net_tcp
from abreast.machine.kernel.psutil_processes import PsutilProcessTable
from abreast.machine.kernel.psutil_sockets import PsutilSocketTable
from abreast.machine.pidfd_watch import PidfdWatch
from abreast.machine.process import ProcessIdentity
from abreast.machine.tethered_program import TetheredProgram
from sample_project import eventually

LISTEN = "import socket, time; s = socket.create_server(('127.0.0.1', {port})); print(flush=True); time.sleep(1000)"


@pytest.fixture(params=[LinuxProcessTable, PsutilProcessTable])
def processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ProcessTable:
    table: ProcessTable = request.param()
    monkeypatch.setattr(process, "PROCESSES", table)
    return table


@pytest.fixture(params=[LinuxSocketTable, PsutilSocketTable])
def sockets(request: pytest.FixtureRequest) -> SocketTable:
    table: SocketTable = request.param()
    return table


@pytest.fixture(params=[PidfdWatch, exit_watch.PollingWatch])
def watch(request: pytest.FixtureRequest) -> Callable[..., exit_watch.ExitWatch]:
    made: Callable[..., exit_watch.ExitWatch] = request.param
    return made


@contextmanager
def running(*argv: str, **options: object) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program in a group of its own, and kill what is left of the group."""
    with subprocess.Popen(argv, process_group=0, stdout=subprocess.PIPE, **options) as program:  # type: ignore[call-overload]
        try:
            yield program
        finally:
            with suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)


# ── identities ─────────────────────────────────────────────────────────────────────────────────


def test_an_identity_ends_with_its_process(processes: ProcessTable) -> None:
    with running("sleep", "1000") as program:
        identity = ProcessIdentity.from_pid(program.pid)
        assert identity == ProcessIdentity.from_pid(program.pid)
        seen = [(identity.exists, identity.is_alive)]
        program.kill()
        eventually(lambda: not identity.is_alive)
        seen.append((identity.exists, identity.is_alive))  # a zombie has its number still
        program.wait()
        seen.append((identity.exists, identity.is_alive))
        assert seen == [(True, True), (True, False), (False, False)]
        with pytest.raises(ProcessLookupError):
            ProcessIdentity.from_pid(program.pid)


CUT_NAME = """
import ctypes, time
ctypes.CDLL(None).prctl(15, b"caf\\xc3")  # PR_SET_NAME: the kernel cuts names of more than 15 bytes anywhere
print(flush=True)
time.sleep(1000)
"""


def test_a_name_that_is_cut_within_a_character_hides_no_process(processes: ProcessTable) -> None:
    with running(sys.executable, "-c", CUT_NAME, env={"MARK": "ours"}) as program:
        assert program.stdout
        program.stdout.readline()
        identity = ProcessIdentity.from_pid(program.pid)
        assert (identity.exists, identity.is_alive) == (True, True)
        assert processes.name(program.pid)
        assert process.group_members(identity, {"MARK": "ours"}) == [program.pid]
        assert local_processes.is_process_alive(program.pid, LinuxProcessTable().state(program.pid).start_ticks)


def test_a_number_that_is_used_again_is_another_process(processes: ProcessTable) -> None:
    """The kernel gives out the same number a second time, as early as the next tick of its clock."""
    for _ in range(200):
        with running("true") as first:
            identity = ProcessIdentity.from_pid(first.pid)
        time.sleep(2 / os.sysconf("SC_CLK_TCK"))
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(first.pid - 1))
        with running("sleep", "1000") as second:
            if second.pid != first.pid:  # somebody else was faster
                continue
            assert identity.start_ticks != ProcessIdentity.from_pid(second.pid).start_ticks
            assert (identity.exists, identity.is_alive) == (False, False)
            process.signal_group(identity, {}, signal.SIGKILL)
            assert process.group_members(identity, {"ANY": "mark"}) == []
            assert second.poll() is None
            return
    raise AssertionError("the number was never used again")


@pytest.mark.parametrize("change", [{"start_ticks": 1}, {"boot": "another"}])
def test_a_stranger_is_never_signalled(processes: ProcessTable, change: dict[str, object]) -> None:
    with running("sleep", "1000", env={"MARK": "ours"}) as program:
        stranger = replace(ProcessIdentity.from_pid(program.pid), **change)  # type: ignore[arg-type]
        assert (stranger.exists, stranger.is_alive) == (False, False)
        process.signal_group(stranger, {"MARK": "ours"}, signal.SIGKILL)
        assert process.group_members(stranger, {"MARK": "ours"}) == []
        assert program.poll() is None


def test_a_group_without_its_leader_is_known_by_its_mark(processes: ProcessTable) -> None:
    with running("/bin/sh", "-c", "sleep 1000 & sleep 1000 & echo; read line", stdin=subprocess.PIPE, env={"MARK": "ours"}) as program:  # fmt: skip
        assert program.stdout
        program.stdout.readline()
        leader = ProcessIdentity.from_pid(program.pid)
        members = set(process.group_members(leader, {}))
        assert program.pid in members
        assert len(members) == 3
        program.kill()
        program.wait()
        assert set(process.group_members(leader, {"MARK": "ours"})) == members - {program.pid}
        assert process.group_members(leader, {"MARK": "another's"}) == process.group_members(leader, {}) == []
        process.signal_group(leader, {"MARK": "another's"}, signal.SIGKILL)
        assert len(process.group_members(leader, {"MARK": "ours"})) == 2
        assert sorted(process.marked_processes("MARK", "our")) == sorted(members - {program.pid})
        process.signal_group(leader, {"MARK": "ours"}, signal.SIGKILL)
        eventually(lambda: not process.group_members(leader, {"MARK": "ours"}))


def test_an_environment_is_told_also_while_a_program_is_loaded(processes: ProcessTable, tmp_path: Path) -> None:
    """A script that does nothing but replace itself: the kernel tells nothing in every tenth look."""
    script = tmp_path / "again"
    script.write_text(f"exec /bin/sh {script}\n")
    with running("/bin/sh", str(script), env={"MARK": "x"}) as program:
        seen = list[str | None]()
        eventually(lambda: not processes.told_environment(program.pid))
        for _ in range(1000):
            seen.append(processes.variables(program.pid, ["MARK"]).get("MARK"))
    assert seen == ["x"] * 1000


def test_a_program_without_an_environment_is_not_waited_for(processes: ProcessTable) -> None:
    with running("/bin/sleep", "1000", env={}) as program:
        eventually(lambda: not processes.is_loading(program.pid))
        assert processes.environment(program.pid) == {}
        assert not any(processes.is_loading(pid) for pid in (2, os.getpid(), os.getppid()))  # 2 is the kernel's own
        assert [processes.has_memory(pid) for pid in (2, os.getpid(), program.pid)] == [False, True, True]
        program.kill()
        eventually(lambda: not processes.has_memory(program.pid))  # a zombie


def test_a_process_whose_environment_may_not_be_read_is_not_waited_for(processes: ProcessTable) -> None:
    """The kernel hides from another user whether a program is being loaded, too. Here: root's, or the first process."""
    with running("/bin/sleep", "1000", env={"MARK": "x"}) as program:
        eventually(lambda: processes.told_environment(program.pid) == b"MARK=x\0")
        is_root = os.geteuid() == 0
        hidden = program.pid if is_root else 1
        child = os.fork()
        if child == 0:
            if is_root:
                os.setuid(65534)
            is_hidden = processes.told_environment(hidden) == b"" and not processes.is_loading(hidden)
            os._exit(0 if is_hidden else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_both_tables_tell_the_same() -> None:
    linux, portable = LinuxProcessTable(), PsutilProcessTable()
    with running("sleep", "1000", env={"A": "1", "B": "x=y\nz"}) as program:
        for pid in (program.pid, os.getpid(), os.getppid()):
            assert linux.state(pid)[1:] == portable.state(pid)[1:]
            assert linux.name(pid) == portable.name(pid)
        for table in (linux, portable):
            assert table.environment(program.pid) == {"A": "1", "B": "x=y\nz"}
            assert table.variables(program.pid, ["B", "A", "x", ""]) == {"B": "x=y\nz", "A": "1"}
        assert program.pid in linux.pids()
        assert program.pid in portable.pids()
        tick = 1e6 / os.sysconf("SC_CLK_TCK")
        apart = [
            table.state(program.pid).start_ticks - table.state(os.getpid()).start_ticks for table in (linux, portable)
        ]
        assert apart[1] == pytest.approx(apart[0] * tick, abs=tick)
    assert linux.name(program.pid) == portable.name(program.pid) == "?"
    assert linux.environment(program.pid) == portable.environment(program.pid) == {}


# ── the end of a process ───────────────────────────────────────────────────────────────────────


def test_the_end_of_a_process_is_told_once_and_its_exit_code_is_left(
    watch: Callable[..., exit_watch.ExitWatch],
) -> None:
    async def story() -> None:
        calls: list[int] = []
        with running("/bin/sh", "-c", "read line; exit 7", stdin=subprocess.PIPE) as program:
            watched = watch(ProcessIdentity.from_pid(program.pid), lambda: calls.append(1))
            closed = watch(ProcessIdentity.from_pid(program.pid), lambda: calls.append(2))
            closed.close()
            await asyncio.sleep(0.1)
            assert not calls
            assert program.stdin
            program.stdin.close()
            while not calls:  # noqa: ASYNC110 (the callback cannot set an event twice)
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            assert calls == [1]
            watched.close()
            watched.close()
            assert program.wait() == 7

    asyncio.run(asyncio.wait_for(story(), 20))


def test_what_has_ended_or_is_another_one_is_not_watched(watch: Callable[..., exit_watch.ExitWatch]) -> None:
    async def story() -> None:
        with running("sleep", "1000") as program:
            identity = ProcessIdentity.from_pid(program.pid)
            with pytest.raises(ProcessLookupError):
                watch(replace(identity, start_ticks=identity.start_ticks - 1), lambda: None)
        with pytest.raises(ProcessLookupError):
            watch(identity, lambda: None)

    asyncio.run(story())


# ── sockets ────────────────────────────────────────────────────────────────────────────────────


def test_who_listens_is_told_with_the_port(sockets: SocketTable) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as four,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
        socket.create_connection(four.getsockname()) as client,
    ):
        listening, ours = sockets.listening(), sockets.of_process(os.getpid())
        for each in (four, six):
            (name,) = listening[each.getsockname()[1]] & ours.keys()  # others can have the port at another address
            assert ours[name] == each.fileno()
            assert sockets.is_open(os.getpid(), name, each.fileno())
            assert not sockets.is_open(os.getpid(), name, client.fileno())
        assert client.getsockname()[1] not in listening
        with running("sleep", "1000", pass_fds=[four.fileno()]) as heir:
            port = four.getsockname()[1]
            four.close()
            assert sockets.of_process(heir.pid).keys() & sockets.listening()[port]
            assert not sockets.of_process(os.getpid()).keys() & sockets.listening()[port]
    assert port not in sockets.listening()
    assert sockets.of_process(heir.pid) == {}


def test_a_socket_is_duplicated_only_of_the_process_that_has_it() -> None:
    linux, other = LinuxSocketTable(), PsutilSocketTable()
    with running(sys.executable, "-S", "-c", LISTEN.format(port=0)) as server:
        assert server.stdout
        server.stdout.readline()
        ((name, descriptor),) = linux.of_process(server.pid).items()
        assert linux.duplicate(server.pid, f"{name}0", descriptor) is None
        assert linux.duplicate(server.pid, name, 0) is None
        assert other.duplicate(server.pid, name, descriptor) is None
        copy = linux.duplicate(server.pid, name, descriptor)
        if copy is not None:  # the kernel may not allow it
            with copy:
                assert str(os.fstat(copy.fileno()).st_ino) == name


def test_what_listens_is_told_with_its_port() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as four,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
    ):
        ports = [each.getsockname()[1] for each in (four, six)]
        told = [entry for family in (socket.AF_INET, socket.AF_INET6) for entry in ask_sock_diag(family)]
        ours = sorted((entry for entry in told if entry[0] in ports), key=lambda entry: ports.index(entry[0]))
        assert [port for port, _ in ours] == ports
        assert sorted(entry for entry in proc_net_tcp() if entry[0] in ports) == sorted(ours)


def test_the_owner_of_a_port_is_named() -> None:
    with running(sys.executable, "-S", "-c", LISTEN.format(port=0)) as server:
        assert server.stdout
        server.stdout.readline()
        (port,) = (port for port, names in LinuxSocketTable().listening().items() if names & LinuxSocketTable().of_process(server.pid).keys())  # fmt: skip
        assert listeners.port_owner(port) == f"{Path(sys.executable).name} (process {server.pid})"
    assert listeners.port_owner(port) is None


@pytest.mark.parametrize("refuse", [listeners.refuse_on_linux, listeners.refuse_on_bsd])
def test_a_port_is_kept_and_refuses_connections(refuse: Callable[..., socket.socket]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as before:
        port = before.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            refuse(port, None)
    with refuse(port, None):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        with socket.socket() as plain, pytest.raises(OSError, match="in use"):
            plain.bind(("127.0.0.1", port))
    socket.create_server(("127.0.0.1", port)).close()


@pytest.mark.parametrize("alias", [unix_sockets.folder_by_descriptor, unix_sockets.folder_by_link])
def test_a_socket_of_a_long_path_is_reached(
    alias: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unix_sockets, "_short_folder", alias)
    folder = tmp_path / ("long-" * 40)
    folder.mkdir()
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("s")
        server.listen()
        with unix_sockets.short_path(folder / "s") as path:
            assert len(path) < 104
            client.connect(path)
            server.accept()[0].close()
        assert not os.path.lexists(path)


# ── files and programs ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("copy", [files.copy_content, files.copy_by_reading])
def test_content_is_copied_and_the_source_stays_open(copy: Callable[[int, int], None], tmp_path: Path) -> None:
    content = os.urandom((1 << 20) + 17)
    (tmp_path / "from").write_bytes(content)
    source = os.open(tmp_path / "from", os.O_RDONLY)
    with (tmp_path / "to").open("wb") as into:
        copy(source, into.fileno())
        assert os.fstat(into.fileno()).st_size == len(content)
    assert (tmp_path / "to").read_bytes() == content
    assert os.read(source, 1) == b""
    os.close(source)


@pytest.fixture(params=["the kernel", "a guard"])
def tethered(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[TetheredProgram]:
    monkeypatch.setattr(TetheredProgram, "needs_guard", request.param == "a guard")
    return TetheredProgram


def test_a_tethered_program_ends_as_itself(tethered: type[TetheredProgram]) -> None:
    program = tethered(["/bin/sh", "-c", "echo error: no luck >&2; exit 5"], env={})
    assert program.wait(20) == 5
    assert program.complaint == "no luck"
    program = tethered(["/bin/sleep", "1000"], env={})
    assert program.is_running
    program.stop(signal.SIGTERM, 20)
    assert program.wait(20) == -signal.SIGTERM


@pytest.mark.parametrize("needs_guard", [False, True])
def test_a_tethered_program_ends_with_its_parent(needs_guard: bool) -> None:
    code = (
        "import signal, time; from abreast.machine.tethered_program import TetheredProgram\n"
        f"TetheredProgram.needs_guard = {needs_guard}\n"
        "program = TetheredProgram(['/bin/sh', '-c', 'trap \"exit 3\" TERM; while :; do sleep 0.05; done'], env={'PATH': '/bin'}, at_our_end=signal.SIGTERM)\n"
        "print(program.pid, flush=True); time.sleep(1000)\n"
    )
    with running(sys.executable, "-c", code) as parent:
        assert parent.stdout
        program = ProcessIdentity.from_pid(int(parent.stdout.readline()))
        eventually(lambda: LinuxProcessTable().name(program.pid) == "sh")
        assert program.is_alive
        guards = [
            pid
            for pid in LinuxProcessTable().pids()
            if _parent(pid) == program.pid and LinuxProcessTable().name(pid).startswith("python")
        ]
        assert len(guards) == needs_guard
        parent.kill()
        eventually(lambda: not program.is_alive)
        eventually(lambda: not any(Path(f"/proc/{guard}").exists() for guard in guards))


def _parent(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0
