"""How long `abreast init` takes for a repository of 10,000 files, against listing them and a bare interpreter."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

FILES = 10_000
RUNS = 7


def measure(checkouts: Sequence[Path]) -> str:
    """Return a table. The largest checkouts are put into one repository, one as its root and the others in folders."""
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "git ls-files": ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        "abreast init --yes": [sys.executable, "-m", "abreast", "init", "--yes"],
    }
    with _large_repository(checkouts) as (folder, count):
        times = {name: min(_cpu_time(command, folder) for _ in range(RUNS)) for name, command in commands.items()}
    bare = times["python -c pass"]
    rows = [f"| `{name}` | {seconds * 1000:.0f} ms | {seconds / bare:.1f} |" for name, seconds in times.items()]
    return "\n".join([
        f"A repository of {count} files of public repositories. Processor time, the least of {RUNS} runs, as the machine is shared. Goal: 1 s.",
        "", "| command | time | of a bare Python |", "|---|---|---|", *rows,
    ])  # fmt: skip


@contextmanager
def _large_repository(checkouts: Sequence[Path]) -> Iterator[tuple[Path, int]]:
    with tempfile.TemporaryDirectory(prefix="abreast-init-") as home:
        root, count = Path(home) / "shop", 0
        for number, checkout in enumerate(sorted(checkouts, key=lambda each: -len(_files(each)))):
            if count >= FILES:
                break
            place = root / f"part{number}" if number else root
            for file in _files(checkout):
                (place / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(checkout / file, place / file)
                count += 1
        for command in ("init -q", "add -A -f"):
            subprocess.run(["git", *command.split()], cwd=root, check=True)
        (root / "abreast.yml").unlink(missing_ok=True)
        yield root, count


def _files(checkout: Path) -> list[str]:
    listed = subprocess.run(["git", "-C", str(checkout), "ls-files", "-z"], capture_output=True, text=True, check=True)
    return [file for file in listed.stdout.split("\0") if file and (checkout / file).is_file()]


def _cpu_time(command: Sequence[str], folder: Path) -> float:
    """Return the seconds of processor time that a command takes, with what it starts."""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command}: exit code {process.returncode}"
    return usage.ru_utime + usage.ru_stime
