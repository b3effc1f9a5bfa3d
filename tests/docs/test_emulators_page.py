"""The examples of docs/emulators.md are carried out: what is started prints what the page shows, and has its faults."""

import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from abreast.testing.platforms.fault_injection import parse_fault
from page_examples import page_examples
from sample_project import free_ports

PAGE = Path(__file__).parents[2] / "docs" / "emulators.md"
TEXT = PAGE.read_text()
REHEARSAL = re.findall(r"^    python (-m abreast\.testing\.platforms .*)$", TEXT, re.MULTILINE)
FAULTS = re.findall(r"^\| `((?:netlify|render|huggingface) [^`]*)` \|", TEXT, re.MULTILINE)


@contextmanager
def started(command: str) -> Iterator[tuple[Sequence[str], Iterator[str]]]:
    """Start the emulators on free ports. Gives the ports, and the lines that are printed."""
    shown, free = re.findall(r"\b900\d\b", command), [str(port) for port in free_ports(2)]
    for port, other in zip(shown, free, strict=False):
        command = command.replace(port, other)
    arguments = [part.replace("'", "") for part in re.findall(r"'[^']*'|\S+", command)]
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout
        yield free, (line.rstrip("\n") for line in serving.stdout)
        serving.terminate()


@pytest.mark.executes("docs/emulators.md", 1)
def test_it_prints_what_the_page_shows() -> None:
    (example,) = page_examples(PAGE)
    install, start = example.commands
    assert install == "pip install 'abreast[testing]'"
    with started(start.removeprefix("python ")) as (ports, lines):
        shown = [line.replace("9001", ports[0]).replace("9002", ports[1]) for line in example.output]
        assert [line for _, line in zip(shown, lines, strict=False)] == shown
    exported = {line.split("_")[0].removeprefix("export ").lower() for line in shown if line.startswith("export ")}
    assert exported == set(re.findall(r"--(netlify|render|huggingface) ", start))


def test_three_deploys_are_refused_and_the_fourth_is_not() -> None:
    (command,) = REHEARSAL
    with started(command) as (ports, lines):
        exported = next(lines)
        (key,) = re.findall(r"RENDER_API_KEY=(\S+)", exported)
        statuses = [post_deploy(ports[0], key) for _ in range(4)]
    assert statuses == [503, 503, 503, 201]


def post_deploy(port: str, key: str) -> int:
    url = f"http://127.0.0.1:{port}/v1/services/srv-api/deploys"
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, b"{}", headers)) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_to_start_with(fault: str) -> None:
    platform, injected = parse_fault(fault)
    assert platform == fault.split(maxsplit=1)[0]
    assert injected.method == fault.split()[1]
