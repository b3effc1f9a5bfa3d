"""How long `abreast init` takes for repositories of many files, against listing them and a bare interpreter."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import yaml

from abreast.gates.scanner_program import find_program

FILES = 10_000
RUNS = 7

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "git ls-files": ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
    "abreast init --yes": [sys.executable, "-m", "abreast", "init", "--yes"],
}


def measure(checkouts: Sequence[Path]) -> str:
    """Return a table. One repository is the largest checkout with more sources, another all checkouts beside each other."""
    largest = max(checkouts, key=lambda checkout: len(_files(checkout)))
    ordinary = {"": largest, **{f"src/{place.name}": place for place in _libraries()}}
    everything = {checkout.name: checkout for checkout in checkouts}
    rows = [row for parts, limit in ((ordinary, FILES), (everything, sys.maxsize)) for row in _rows(parts, limit)]
    scanner = "is installed" if find_program("kingfisher") else "is not installed"
    return "\n".join([
        "The first repository is the largest checkout with the sources of installed packages, the second all checkouts side by side.",
        f"Processor time, the least of {RUNS} runs, as the machine is shared. The secret scanner {scanner}. Goal: 1 s for {FILES:,} files.", "",
        "| files | services | command | time | of a bare Python |", "|---|---|---|---|---|", *rows,
    ])  # fmt: skip


def _rows(parts: dict[str, Path], limit: int) -> Iterator[str]:
    with _repository(parts, limit) as (folder, count):
        times = {name: min(_cpu_time(command, folder) for _ in range(RUNS)) for name, command in COMMANDS.items()}
        services = len(yaml.safe_load((folder / "abreast.yml").read_text())["services"])
    for name, seconds in times.items():
        yield f"| {count} | {services} | `{name}` | {seconds * 1000:.0f} ms | {seconds / times['python -c pass']:.1f} |"


@contextmanager
def _repository(parts: dict[str, Path], limit: int) -> Iterator[tuple[Path, int]]:
    """Make a repository of folders with the files of others, ``limit`` files at most; yield it and their count."""
    with tempfile.TemporaryDirectory(prefix="abreast-init-") as home:
        root = Path(home) / "shop"
        files = [
            (checkout / file, root / place / file) for place, checkout in parts.items() for file in _files(checkout)
        ]
        for source, target in islice(files, limit):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        (root / "abreast.yml").unlink(missing_ok=True)
        for command in (
            "init -q",
            "config gc.auto 0",
            "config maintenance.auto false",
            "add -A -f",
            "-c user.name=bench -c user.email=bench@localhost commit -qm Start",
        ):
            subprocess.run(["git", *command.split()], cwd=root, check=True)
        yield root, min(len(files), limit)


def _libraries() -> list[Path]:
    """Return the folders of installed packages: a large application has as many files, of code that says as little."""
    return sorted(
        folder for folder in Path(sysconfig.get_path("purelib")).iterdir() if (folder / "__init__.py").is_file()
    )


def _files(checkout: Path) -> list[str]:
    if not (checkout / ".git").exists():
        return sorted(file.relative_to(checkout).as_posix() for file in checkout.rglob("*.py"))
    listed = subprocess.run(["git", "-C", str(checkout), "ls-files", "-z"], capture_output=True, text=True, check=True)
    return [file for file in listed.stdout.split("\0") if file and (checkout / file).is_file()]


def _cpu_time(command: Sequence[str], folder: Path) -> float:
    """Return the seconds of processor time that a command takes, with what it starts."""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command}: exit code {process.returncode}"
    return usage.ru_utime + usage.ru_stime
