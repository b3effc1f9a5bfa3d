"""The demo: six deployments of the example project under load, and a report of what its users noticed."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from abreast.core.errors import UsageError
from abreast.demo.load_generator import LoadGenerator, LoadStats
from abreast.demo.versions import write_version
from abreast.ledger.durations import chapter_durations
from abreast.machine.kernel import SOCKETS
from abreast.wiring.workspace import Workspace

EXAMPLE_FOLDER = Path(__file__).parent / "storefront"


@dataclass(frozen=True, slots=True)
class DemoScenario:
    """One deployment of the demo: its title, and the exit code and live release that it must end with."""

    title: str
    version: int | None
    expected_exit_code: int
    expected_release: str


SCENARIOS = (
    DemoScenario("deploy v1", 1, 0, "v1"),
    DemoScenario("deploy v2 under load, with a migration", 2, 0, "v2"),
    DemoScenario("v3: its migration fails on real data, and the rehearsal stops it", 3, 1, "v2"),
    DemoScenario("v4: its health check fails, so no user ever reaches it", 4, 1, "v2"),
    DemoScenario("v5: it breaks once it is live, and both services are turned back", 5, 1, "v2"),
    DemoScenario("roll back to v1", None, 0, "v1"),
)


@dataclass(frozen=True, slots=True)
class ScenarioResult:
    """The outcome of a scenario: the live release, the exit code, durations in seconds, and requests meanwhile."""

    scenario: DemoScenario
    live_release: str
    exit_code: int
    seconds: float
    turn_seconds: float | None
    turn_back_seconds: float | None
    requests_sent: int
    requests_failed: int


def run_demo(folder: Path | None, *, keep: bool) -> int:
    """Run every scenario in ``folder`` (default: a temporary one). Returns 0 if all ended as expected, else 1.

    Stops all processes at the end, unless ``keep``.
    """
    console = Console()
    project_folder = (folder or Path(tempfile.mkdtemp(prefix="abreast-demo-"))).absolute()
    project = _DemoProject(project_folder, console)
    with _stop_at_exit(project, keep=keep):
        project.prepare()
        results, stats = project.run_scenarios()
    _print_report(console, results, stats, project_folder, keep=keep)
    all_as_expected = all(
        result.exit_code == result.scenario.expected_exit_code
        and result.live_release == result.scenario.expected_release
        for result in results
    )
    return 0 if all_as_expected and not stats.failed and len(results) == len(SCENARIOS) else 1


@contextmanager
def _stop_at_exit(project: "_DemoProject", *, keep: bool) -> Iterator[None]:
    """Stop the project at the end, also after Ctrl-C or SIGTERM."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if not keep:
            project.stop()


class _DemoProject:
    def __init__(self, folder: Path, console: Console) -> None:
        self._folder = folder
        self._console = console
        self._ports = _free_ports(2)
        self._load = LoadGenerator(self._ports[1], "/api/orders", b'{"product": 2, "note": "for the demo"}')

    def prepare(self) -> None:
        """Copy the example and make it a git repository."""
        shutil.copytree(EXAMPLE_FOLDER, self._folder, dirs_exist_ok=True)
        config = self._folder / "abreast.yml"
        text = config.read_text()
        for default, free in zip((8080, 8081), self._ports, strict=True):
            text = text.replace(f"port: {default}", f"port: {free}")
        config.write_text(text)
        self._git("init", "-q")

    def run_scenarios(self) -> tuple[list[ScenarioResult], LoadStats]:
        """Run every scenario, under load from the first release on."""
        results = []
        for number, scenario in enumerate(SCENARIOS, 1):
            self._console.rule(f"[bold]{number}. {scenario.title}")
            results.append(self._run_scenario(scenario))
            if number == 1:
                self._load.start()
        return results, self._load.stop()

    def stop(self) -> None:
        """Stop every process of the demo."""
        self._load.stop()
        self._run_abreast("down", "--env", "local", "--yes", quiet=True)

    def _run_scenario(self, scenario: DemoScenario) -> ScenarioResult:
        if scenario.version:
            subject = write_version(self._folder, scenario.version)
            self._git("add", "-A")
            self._git("commit", "-qm", subject)
            command = ["deploy", "--env", "local", "--yes"]
        else:
            command = ["rollback", "--env", "local", "--to", "v1", "--yes", "--reason", "the notes confuse people"]
        before, began = (self._load.stats.sent, self._load.stats.failed), time.monotonic()
        self._console.print(f"[dim]$ abreast {' '.join(command)}")
        code = self._run_abreast(*command)
        seconds = time.monotonic() - began
        live, turn_seconds, turn_back_seconds = self._read_outcome()
        sent, failed = self._load.stats.sent - before[0], self._load.stats.failed - before[1]
        return ScenarioResult(scenario, live, code, seconds, turn_seconds, turn_back_seconds, sent, failed)

    def _read_outcome(self) -> tuple[str, float | None, float | None]:
        with Workspace.locate(self._folder, os.environ).open_ledger() as ledger:
            latest = ledger.deployments("local", 1)[0]
            releases = {live.release for live in ledger.live_services("local").values()}
            took = chapter_durations(ledger.events(latest.id))
        return "+".join(sorted(releases)), took.get((None, "turn")), took.get((None, "turn-back"))

    def _run_abreast(self, *arguments: str, quiet: bool = False) -> int:
        out = subprocess.DEVNULL if quiet else None
        return subprocess.call([sys.executable, "-m", "abreast", *arguments], cwd=self._folder, stdout=out, stderr=out)

    def _git(self, *arguments: str) -> None:
        author = ["-c", "user.name=demo", "-c", "user.email=demo@localhost"]
        subprocess.run(["git", *author, *arguments], cwd=self._folder, check=True, capture_output=True)


def _free_ports(count: int) -> list[int]:
    """Return free ports, below the range that the kernel gives to clients, so that they stay free."""
    free: list[int] = []
    for port in range(18_080, 19_000):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            free.append(port)
        if len(free) == count:
            return free
    raise UsageError("fewer than two ports between 18080 and 19000 are free", next=SOCKETS.shell_command)


def _print_report(
    console: Console, results: list[ScenarioResult], stats: LoadStats, folder: Path, *, keep: bool
) -> None:
    table = Table(title="What happened")
    for column in ("deployment", "live after", "took", "switch", "turn back", "requests", "failed"):
        table.add_column(column, justify="left" if column == "deployment" else "right")
    for result in results:
        table.add_row(
            result.scenario.title, result.live_release, f"{result.seconds:.1f} s", _format_ms(result.turn_seconds),
            _format_ms(result.turn_back_seconds),
            f"{result.requests_sent:,}", str(result.requests_failed),
        )  # fmt: skip
    table.add_section()
    total = f"{sum(result.seconds for result in results):.1f} s"
    table.add_row("all", "", total, "", "", f"{stats.sent:,}", str(stats.failed))
    console.print(table)
    for failure in stats.failure_samples:
        console.print(f"[red]failed: {failure}")
    answered = ", ".join(f"{release}: {count:,}" for release, count in sorted(stats.responses_by_release.items()))
    console.print(f"answered by {answered}; slowest {stats.max_latency * 1000:.0f} ms; {stats.reconnects} reconnects")
    if keep:
        console.print(
            f"\nThe example is still running. Try: cd {folder} && abreast status && abreast history && abreast down"
        )
    else:
        console.print("\nTry: abreast demo --keep, or in your own project: abreast init")


def _format_ms(value: float | None) -> str:
    return "" if value is None else f"{value * 1000:.0f} ms"
