"""Programs that write a dump, and which of several versions they are."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from abreast.database.postgres import programs
from abreast.database.postgres.programs import find_newest_folder, find_newest_server
from sample_project import eventually

DUMPING = """
import io, signal
from abreast.database.dump_process import run_program
signal.signal(signal.SIGINT, lambda *_: None)  # as a deployment, which ends its chapter first
into = io.BytesIO()
code, said = run_program(["/bin/sh", "-c", "touch begun; until [ -e go ]; do sleep 0.02; done; echo whole"], into=into)
print(code, into.getvalue(), said)
"""


def test_an_interrupt_at_the_terminal_does_not_cut_off_a_dump(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", DUMPING], cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:  # fmt: skip
        eventually((tmp_path / "begun").exists)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does it
        (tmp_path / "go").touch()
        assert process.communicate(timeout=60)[0] == "0 b'whole\\n' \n"


def installed(folder: Path, version: str, *names: str) -> Path:
    """Install programs that only know their version."""
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) {version}.1'\n")
        (folder / name).chmod(0o755)
    return folder


def test_of_several_versions_the_newest_counts_wherever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "PLACES", (f"{tmp_path}/lib/postgresql/*/bin", f"{tmp_path}/opt/postgresql@*/bin"))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert find_newest_server() is None
    assert find_newest_folder("pg_dump") is None
    old = installed(tmp_path / "lib/postgresql/9/bin", "9", "postgres", "initdb", "pg_dump")
    assert find_newest_server() == (9, old)
    brewed = installed(tmp_path / "opt/postgresql@16/bin", "16", "postgres", "initdb", "pg_dump")
    installed(tmp_path / "lib/postgresql/17/bin", "17", "pg_dump")  # a client alone
    assert find_newest_server() == (16, brewed)
    on_path = installed(tmp_path / "path", "18", "postgres", "initdb", "pg_dump")
    assert find_newest_server() == (18, on_path)
    assert find_newest_folder("pg_dump") == on_path


def test_the_wrapper_of_debian_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It starts what is found anyway, and takes longer than that does."""
    monkeypatch.setattr(programs, "PLACES", (f"{tmp_path}/lib/postgresql/*/bin",))
    (installed(tmp_path / "share", "99", "pg_wrapper") / "pg_wrapper").write_text(f"#!/bin/sh\n: > {tmp_path}/asked\n")
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "pg_dump").symlink_to(tmp_path / "share" / "pg_wrapper")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert find_newest_folder("pg_dump") is None
    found = installed(tmp_path / "lib/postgresql/15/bin", "15", "pg_dump")
    assert find_newest_folder("pg_dump") == found
    assert not (tmp_path / "asked").exists()
