"""Commands that only read, where nothing can be recorded: they show what there is, and say that in one line."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sample_project import SampleProject, require_programs

READERS = (
    "history --json", "show --json", "logs", "status --json", "locks", "proposals", "incident", "maintenance status",
    "audit verify", "audit export --report", "audit change --env local", "state show", "state verify",
)  # fmt: skip

READ_ONLY = 'mount --bind "$STATE" "$STATE" && mount -o remount,ro,bind "$STATE"'
FULL = (
    'mkdir "$STATE.copy" && cp "$STATE"/ledger.* "$STATE.copy" && rm -f "$STATE.copy"/*-shm'
    ' && mount -t tmpfs -o size=4m none "$STATE" && cp "$STATE.copy"/* "$STATE"; rm -r "$STATE.copy"'
    '; dd if=/dev/zero of="$STATE/more" bs=4096 2> /dev/null; true'
)
OF_OTHERS = 'mount --bind "$STATE" "$STATE"'
WORLDS = {
    "Read-only file system": READ_ONLY,
    "No space left on device": FULL,
    "Permission denied": OF_OTHERS,
}


RUN_EACH = """
import json, os, subprocess, sys, tempfile
import abreast.cli.main, abreast.ledger.sqlite, abreast.wiring.assembly
from abreast.cli.run import run
for command in sys.argv[1:]:
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = os.fork()
        if process == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.argv[1:] = command.split()
            code = run(sys.argv[1:])
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        out.seek(0)
        err.seek(0)
        print(json.dumps([command, code, out.read(), err.read()]), flush=True)
"""
"""A program that runs commands of abreast, each in a process forked from one that has imported it."""


def run_each(world: str, project: SampleProject, *commands: str) -> Iterator[subprocess.CompletedProcess[str]]:
    """Run commands of abreast one after the other, where the state folder cannot be written."""
    told = run_program(world, project, sys.executable, "-c", RUN_EACH, *commands)
    assert told.returncode == 0, told.stderr
    for line in told.stdout.splitlines():
        yield subprocess.CompletedProcess(*json.loads(line))


def run_in(world: str, project: SampleProject, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of abreast, where the state folder cannot be written."""
    return run_program(world, project, *project.command_line(*arguments))


def run_program(world: str, project: SampleProject, *command_line: str) -> subprocess.CompletedProcess[str]:
    """Run a program where the state folder cannot be written. The mounts end with it."""
    require_programs("unshare", "setpriv")
    is_root = os.geteuid() == 0
    without_privilege = ["setpriv", "--bounding-set", "-dac_override", "--inh-caps", "-dac_override"]
    return subprocess.run(
        [
            "unshare", *([] if is_root else ["-r"]), "-m", "sh", "-c", f'{WORLDS[world]} && exec "$@"', "sh",
            *(without_privilege if world == "Permission denied" else []), *command_line,
        ],
        cwd=project.folder, env={**os.environ, "STATE": str(project.folder / ".abreast")},
        capture_output=True, text=True, check=False, timeout=90,
    )  # fmt: skip


def belong_to_others(state: Path, user: int) -> None:
    """Give what the ledger needs to a user, as files that others can read."""
    for file in (state, *state.glob("ledger.*")):
        os.chown(file, user, user)
        file.chmod(0o755 if user == os.geteuid() else 0o555)


def kill_before_the_end(project: SampleProject) -> None:
    """Deploy, and kill abreast in it, so that its last entries are in the log of SQLite alone."""
    crash = [sys.executable, "-m", "abreast.testing.crash", "6", "after", "deploy", "--yes"]
    subprocess.run(crash, cwd=project.folder, capture_output=True, check=False, timeout=90)
    assert (project.folder / ".abreast" / "ledger.db-wal").stat().st_size


@pytest.mark.parametrize("world", WORLDS)
def test_commands_that_read_show_the_record(project: SampleProject, world: str) -> None:
    state = project.folder / ".abreast"
    project.deploy()
    project.commit()
    kill_before_the_end(project)
    expected = json.loads(project.run("history", "--json").stdout)
    if world == "Permission denied" and os.geteuid() == 0:
        belong_to_others(state, 65534)
    try:
        shown = list(run_each(world, project, *READERS))
        assert [done.args for done in shown] == list(READERS)
        for done in shown:
            assert done.returncode == 0, f"{done.args}: {done.stdout}{done.stderr}"
            assert done.stderr.count(f"{state} cannot be written ({world})") == 1, f"{done.args}: {done.stderr}"
            if done.args.startswith("history"):
                assert json.loads(done.stdout) == expected
        if world == "Read-only file system":  # in the others, what runs here cannot be asked
            assert "backend" in run_in(world, project, "plan").stdout
        refused = run_in(world, project, "lock", "--reason", "x")
        assert refused.returncode == 1
        assert f"{state} cannot be written: {world}" in refused.stderr
        assert "integrity_check" not in refused.stderr
    finally:
        belong_to_others(state, os.geteuid())


def test_a_copy_of_a_record_elsewhere_is_read_as_it_was_last_known(project: SampleProject) -> None:
    shutil.rmtree(project.folder / ".abreast", ignore_errors=True)
    project.git("init", "-q", "--bare", str(project.folder.parent / "remote"))
    project.git("remote", "add", "origin", str(project.folder.parent / "remote"))
    project.git("push", "-q", "origin", "main")
    elsewhere = {"ABREAST_STATE": "git"}
    project.deploy(variables=elsewhere)
    expected = json.loads(project.run("history", "--json", variables=elsewhere).stdout)
    os.environ |= elsewhere
    try:
        history, status = (run_in("Read-only file system", project, name, "--json") for name in ("history", "status"))
        project.run("down", "--yes")
    finally:
        del os.environ["ABREAST_STATE"]
    assert json.loads(history.stdout) == expected, history.stderr
    assert json.loads(status.stdout)["environments"]["local"]["release"] == "v1", status.stderr
    for done in (history, status):
        assert done.stderr.count("cannot be written (Read-only file system)") == 1


def test_nothing_was_deployed_where_nothing_can_be_recorded(project: SampleProject) -> None:
    (project.folder / ".abreast").mkdir()
    done = run_in("Read-only file system", project, "history")
    assert done.returncode == 0, done.stderr
    assert "nothing has been deployed yet" in done.stdout
