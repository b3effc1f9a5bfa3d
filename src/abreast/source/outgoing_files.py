"""The file versions that commits add, read from git as a stream: neither memory nor disk holds the whole history."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import IO

from abreast.core.frozen_dataclass import dataclass

PORTION_BYTES = 512 << 20
PORTION_FILES = 20_000

_SUBMODULE = "160000"
_ABSENT = "000000"
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class FileVersion:
    """The content that a commit gave a file; ``name`` is relative to the repository's top folder."""

    blob: str
    name: str
    commit: str


@dataclass(frozen=True, slots=True)
class OutgoingFile:
    """A file to write: its path, and a stream that begins with its ``size`` bytes."""

    path: str
    size: int
    content: IO[bytes]


def added_versions(top: str, folder: str, commit: str, exclusions: Sequence[str]) -> Iterator[FileVersion]:
    """Yield each content that the commits up to ``commit`` gave a file in ``folder``, newest first, once.

    A merge adds what none of its parents has. Only plumbing commands run: no setting of the user changes their output.
    """
    compare = ("diff-tree", "--stdin", "--root", "-r", "-c", "--raw", "-z", "--no-renames", "--no-abbrev")
    scope = ("--", f":(top,literal){folder}") if folder else ()
    seen: set[bytes] = set()
    with (
        _running(top, "rev-list", commit, *exclusions) as commits,
        _running(top, *compare, *scope, stdin=commits.stdout) as differences,
    ):
        for version in _parse_versions(_fields(_output(differences))):
            key = blake2b(f"{version.blob}{version.name}".encode(errors="surrogateescape"), digest_size=12).digest()
            if key not in seen:
                seen.add(key)
                yield version


def read_versions(top: str, versions: Iterable[FileVersion], folder: str, below: str) -> Iterator[OutgoingFile]:
    """Yield each version as COMMIT/``below``NAME, NAME relative to ``folder``. Each must be read before the next."""
    with _running(top, "cat-file", "--batch", stdin=subprocess.PIPE) as reader:
        content = _output(reader)
        for version in versions:
            assert reader.stdin is not None
            reader.stdin.write(f"{version.blob}\n".encode())
            reader.stdin.flush()
            head = content.readline().split()
            if head[1:2] != [b"blob"]:
                raise OSError(f"git does not have the content of {version.name} at {version.commit[:7]}")
            name = version.name[len(folder) + 1 :] if folder else version.name
            yield OutgoingFile(f"{version.commit}/{below}{name}", int(head[2]), content)
            content.read(1)


def write_in_portions(files: Iterable[OutgoingFile], into: Path) -> Iterator[Path]:
    """Write files into folders below ``into``, one folder after the other. Yields each; removes it before the next."""
    portion, count, size = into / "0", 0, 0
    for number, file in enumerate(files):
        if count == PORTION_FILES or (count and size + file.size > PORTION_BYTES):
            yield portion
            shutil.rmtree(portion)
            portion, count, size = into / str(number), 0, 0
        count, size = count + 1, size + file.size
        _write(file, portion / file.path)
    if count:
        yield portion
        shutil.rmtree(portion)


def _write(file: OutgoingFile, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    remaining = file.size
    with path.open("wb") as target:
        while remaining:
            chunk = file.content.read(min(remaining, _CHUNK))
            if not chunk:
                raise OSError(f"git ended within {file.path}")
            remaining -= target.write(chunk)


@contextmanager
def _running(
    top: str, *arguments: str, stdin: IO[bytes] | int | None = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """Run git until its output is read or nobody wants it. Raises OSError if it fails."""
    process = subprocess.Popen(
        ["git", "-C", top, *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
    )
    try:
        yield process
        if process.stdin:
            process.stdin.close()
        _output(process).close()
        if code := process.wait():
            raise OSError(f"git {arguments[0]} failed with code {code}")
    finally:
        process.kill()
        process.wait()


def _output(process: subprocess.Popen[bytes]) -> IO[bytes]:
    assert process.stdout is not None
    return process.stdout


def _fields(output: IO[bytes]) -> Iterator[str]:
    """Yield the texts that end with NUL."""
    rest = b""
    while chunk := output.read(_CHUNK):
        *whole, rest = (rest + chunk).split(b"\0")
        yield from (field.decode(errors="surrogateescape") for field in whole)


def _parse_versions(fields: Iterator[str]) -> Iterator[FileVersion]:
    """Yield what is new in the output of ``diff-tree -c --raw -z`` (git-diff-tree(1), RAW OUTPUT FORMAT)."""
    commit = ""
    for field in fields:
        if not field.startswith(":"):
            commit = field
            continue
        name = next(fields)
        parents = len(field) - len(field.lstrip(":"))
        values = field[parents:].split(" ")
        mode, blob = values[parents], values[2 * parents + 1]
        if mode not in {_ABSENT, _SUBMODULE}:
            yield FileVersion(blob, name, commit)
