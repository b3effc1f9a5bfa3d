"""The scan for secrets, with the real kingfisher: in old commits, and in files of every kind."""

import asyncio
import bz2
import gzip
import io
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from abreast.commands.interface import Command
from abreast.commands.shell import run
from abreast.core.gates import Gate, GateResult, GateVerdict, ScanKind
from abreast.gates import scan_gate
from abreast.gates.interface import CommandOutcome, GateContext
from abreast.source.git import GitRepository
from sample_project import require_programs

KEY = "AKIA" + "QYLPMN5HHHFPZAM2"
"""Looks like one of AWS, with the secret below."""
SECRET = "1tUm636uS1yOEcfP5pvfqJ/" + "ml36mF7AkyHsEU0IU"
LEAK = f'AWS = "{KEY}"\nSECRET = "{SECRET}"\n'.encode()


@pytest.fixture(autouse=True)
def kingfisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its program; a folder before it on the PATH is ``programs``."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:{Path(sys.executable).parent}:/usr/bin:/bin")
    require_programs("kingfisher")
    return Path(shutil.which("kingfisher") or "")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    return folder


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder: Path, files: Mapping[str, bytes]) -> str:
    """Commit these files, and no others."""
    git(folder, "rm", "-rq", "--ignore-unmatch", ".")
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "Change", "--allow-empty")
    return git(folder, "rev-parse", "HEAD").strip()


def scanned(repository: Path, *live: str, since: str | None = None) -> GateResult:
    """Ask the gate about what a deployment brings."""
    room = repository.parent / "room"
    shutil.rmtree(room, ignore_errors=True)
    source = GitRepository(repository)
    source.checkout(source.resolve_commit(), room / "checkout")

    async def command(name: str, text: str, env: Mapping[str, str], timeout: float) -> CommandOutcome:
        asked = Command(text, room / "checkout", room / f"{name}.log", timeout, {**os.environ, **env})
        ended = await run(asked, asyncio.Event().wait())  # type: ignore[arg-type]
        return CommandOutcome(ended.why, ended.tail, ended.exit_code)

    async def outgoing(into: Path) -> AsyncIterator[Path]:
        for portion in source.export_outgoing([*live, *([since] if since else [])], source.resolve_commit(), into):
            yield portion

    async def baseline(into: Path) -> AsyncIterator[Path]:
        for portion in source.export_outgoing(live, since, into) if since else ():
            yield portion

    nothing: Any = None
    gate = Gate("secrets", scan=ScanKind.SECRETS, since=since)
    context = GateContext(room / "checkout", room, "2026-11-21", command, nothing, outgoing, baseline, nothing)
    (found,) = asyncio.run(scan_gate.evaluate(gate, context))
    return found


def test_what_was_there_at_the_baseline_is_named_and_does_not_block(repository: Path) -> None:
    commit(repository, {"keys.py": LEAK})
    known = commit(repository, {"app.py": b"1\n", "test/keys.py": LEAK})
    commit(repository, {"app.py": b"2\n", "test/keys.py": LEAK})
    found = scanned(repository, since=known)
    assert found.verdict is GateVerdict.PASSED
    assert found.why.startswith(f"2 in the baseline {known[:7]}: ")
    assert {finding.file for finding in found.findings} == {"keys.py", "test/keys.py"}
    commit(repository, {"app.py": b"3\n", "new.py": LEAK})
    later = scanned(repository, since=known)
    assert later.verdict is GateVerdict.FAILED
    assert {finding.file for finding in later.findings if not finding.baseline} == {"new.py"}
    assert all("new.py" in line for line in later.lines if line.startswith("high"))
    assert scanned(repository, known, since=known).findings == tuple(
        finding for finding in later.findings if not finding.baseline
    )


def test_before_the_first_deployment_the_whole_history_counts(repository: Path) -> None:
    first = commit(repository, {"keys.py": LEAK})
    commit(repository, {"app.py": b"1\n"})
    third = commit(repository, {"keys.py": LEAK, "app.py": b"1\n"})
    commit(repository, {"app.py": b"2\n", "conf/keys.py": b"\n" + LEAK})
    found = scanned(repository)
    assert found.verdict is GateVerdict.FAILED
    places = {(finding.file, finding.line, finding.message.rpartition(" (")[2]) for finding in found.findings}
    assert places == {
        ("keys.py", 1, f"commit {third[:7]}, no longer in the files: revoke it)"),
        ("conf/keys.py", 2, f"commit {git(repository, 'rev-parse', 'HEAD')[:7]})"),
    }
    assert scanned(repository, third).findings[0].file == "conf/keys.py"
    assert first != third


def test_a_history_that_is_cut_off_is_unknown(repository: Path, tmp_path: Path) -> None:
    commit(repository, {"keys.py": LEAK})
    commit(repository, {"app.py": b"1\n"})
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{repository}", "shallow")
    git(tmp_path / "shallow", "remote", "remove", "origin")
    found = scanned(tmp_path / "shallow")
    assert found.verdict is GateVerdict.UNKNOWN
    assert found.why.endswith(
        "shallow is a shallow clone: earlier commits are missing; next: git fetch --unshallow, or in a workflow `fetch-depth: 0` of actions/checkout"
    )


def png(text: bytes) -> bytes:
    """An image of one pixel with a comment."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0\0\0\0"))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"tEXt", b"Comment\0" + text) + pixels + chunk(b"IEND", b"")


def zipped(content: bytes, name: str = "in/keys.py") -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return target.getvalue()


def tarred(content: bytes) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        entry = tarfile.TarInfo("in/keys.py")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return target.getvalue()


def database(folder: Path) -> bytes:
    with sqlite3.connect(folder / "made.sqlite") as connection:
        connection.execute("create table keys(name, value)")
        connection.execute("insert into keys values(?, ?)", (f'AWS = "{KEY}"', f'SECRET = "{SECRET}"'))
    connection.close()
    return (folder / "made.sqlite").read_bytes()


def test_files_of_every_kind_are_looked_into(repository: Path, tmp_path: Path) -> None:
    names = [
        "package-lock.json", "yarn.lock", "go.sum", "poetry.lock", "logo.svg", "photo.jpg", "font.woff2", "index.html", "style.css",
        "jquery.js", "gradlew", "lib/python3.11/setup.cfg", "gitleaks.toml", "book.pdf", "run.exe",
    ]  # fmt: skip
    kinds = {
        "logo.png": png(LEAK), "app.zip": zipped(LEAK), "app.jar": zipped(LEAK), "app.egg": zipped(LEAK), "bundle": zipped(LEAK),
        "nested.zip": zipped(zipped(zipped(LEAK), "b.zip"), "a.zip"), "app.tar": tarred(LEAK), "app.tgz": gzip.compress(tarred(LEAK)),
        "layer": gzip.compress(tarred(LEAK)), "dump.gz": gzip.compress(LEAK), "dump.bz2": bz2.compress(LEAK), "dump": bz2.compress(LEAK),
        "shop.db": database(tmp_path), "windows.txt": LEAK.decode().encode("utf-16"), "big.txt": LEAK.decode().encode("utf-16-be"),
        "program": b"\x7fELF" + bytes(300) + LEAK + bytes(300),
    }  # fmt: skip
    commit(repository, {**dict.fromkeys(names, LEAK), **kinds})
    places = {finding.file for finding in scanned(repository).findings}
    found = {place.split("!")[0].removesuffix("/keys.sql") for place in places}
    assert found == {*names, *kinds}


def test_packages_of_others_are_not_looked_into(repository: Path) -> None:
    folders = ["node_modules", "web/node_modules/@a/b", "lib/site-packages/x", "vendor/bundle", "vendor/github.com/a/b"]
    commit(repository, {f"{folder}/keys.py": LEAK for folder in folders})
    assert scanned(repository).verdict is GateVerdict.PASSED
    commit(repository, {f"{folder}/keys.py": LEAK for folder in [*folders, "vendor/shop"]})
    assert [finding.file for finding in scanned(repository).findings] == ["vendor/shop/keys.py"]


def test_what_cannot_be_looked_into_is_said(repository: Path) -> None:
    locked = bytearray(zipped(LEAK))
    for at in (locked.index(b"PK\x03\x04") + 6, locked.index(b"PK\x01\x02") + 8):
        locked[at] |= 1  # encrypted
    closed = {"a.7z": b"7z\xbc\xaf\x27\x1c" + bytes(2_000_000), "b.zst": b"\x28\xb5\x2f\xfd" + bytes(500_000),
              "c.zip": bytes(locked), "d.zip": zipped(LEAK)[:-30]}  # fmt: skip
    commit(repository, {**closed, "app.py": b"1\n"})
    found = scanned(repository)
    assert found.verdict is GateVerdict.PASSED
    assert found.why == "not looked into: 4 files (2.5 MB): a.7z, b.zst, c.zip, …"


# ── a scanner that dies ────────────────────────────────────────────────────────────────────────


def wrap(program: Path, script: str) -> None:
    """Put a program before the real one on the PATH."""
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(("signal", "through_a_shell"), [("BUS", False), ("SEGV", True)])
def test_a_scanner_that_crashes_is_asked_once_more(
    repository: Path, tmp_path: Path, kingfisher: Path, signal: str, through_a_shell: bool
) -> None:
    crash = f"sh -c 'kill -{signal} $$'; exit $?" if through_a_shell else f"kill -{signal} $$"
    script = f'echo run >> {tmp_path}/runs\nif [ $(wc -l < {tmp_path}/runs) -lt 2 ]; then {crash}; fi\nexec {kingfisher} "$@"'
    wrap(tmp_path / "programs" / "kingfisher", script)
    commit(repository, {"keys.py": LEAK})
    assert scanned(repository).verdict is GateVerdict.FAILED
    assert (tmp_path / "runs").read_text() == "run\n" * 2
    wrap(tmp_path / "programs" / "kingfisher", f"echo run >> {tmp_path}/runs\n{crash}")
    found = scanned(repository)
    assert found.verdict is GateVerdict.UNKNOWN
    assert found.why.startswith("kingfisher: ")
    assert ", twice" in found.why
    assert (tmp_path / "runs").read_text() == "run\n" * 4


@pytest.mark.exhaustive
def test_a_scanner_has_its_compiled_rules_for_itself(
    repository: Path, tmp_path: Path, kingfisher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f'ls "$KF_RULE_CACHE_DIR" > {tmp_path}/before\necho "$KF_RULE_CACHE_DIR" > {tmp_path}/folder\nexec {kingfisher} "$@"'
    wrap(tmp_path / "programs" / "kingfisher", script)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    commit(repository, {"keys.py": LEAK})
    assert scanned(repository).verdict is GateVerdict.FAILED
    (kept,) = (tmp_path / "cache" / "abreast" / "kingfisher").iterdir()
    assert (tmp_path / "before").read_text() == ""
    assert scanned(repository).verdict is GateVerdict.FAILED
    assert (tmp_path / "before").read_text().split() == [kept.name]
    assert Path((tmp_path / "folder").read_text().strip()).is_relative_to(tmp_path / "room")
    kept.write_bytes(b"damaged")
    assert scanned(repository).verdict is GateVerdict.FAILED
