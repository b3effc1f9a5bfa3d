"""The demo: six deployments of the example project under load, and what its users noticed (nothing)."""

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
from abreast.demo.load import Load, Tally
from abreast.demo.versions import write_version
from abreast.ledger.durations import durations
from abreast.wiring.workspace import Place

EXAMPLE = Path(__file__).parent / "storefront"


@dataclass(frozen=True, slots=True)
class Act:
    """One deployment of the demo: what is told before, and the exit code and live release that it must end with."""

    title: str
    version: int | None
    code: int
    live: str


ACTS = (
    Act("v1 goes out", 1, 0, "v1"),
    Act("v2 goes out under load, with a migration", 2, 0, "v2"),
    Act("v3's migration fails on real data: stopped at the rehearsal", 3, 1, "v2"),
    Act("v4 is broken: its health check fails, so nobody sees it", 4, 1, "v2"),
    Act("v5 breaks once it has users: both services turn back", 5, 1, "v2"),
    Act("rollback to v1", None, 0, "v1"),
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What came of an act: the release that is live, and how long users took to be moved, in seconds."""

    act: Act
    live: str
    code: int
    seconds: float
    turned: float | None
    turned_back: float | None
    sent: int
    failed: int


def tell(folder: Path | None, *, keep: bool) -> int:
    """Tell the story in ``folder`` (a temporary one without); returns 0 when it went as it must.

    Leaves no process behind, unless ``keep``.
    """
    console = Console()
    home = (folder or Path(tempfile.mkdtemp(prefix="abreast-demo-"))).absolute()
    stage = _Stage(home, console)
    with _ended(stage, keep=keep):
        stage.prepare()
        scenes, tally = stage.play()
    _report(console, scenes, tally, home, keep=keep)
    went_well = all(scene.code == scene.act.code and scene.live == scene.act.live for scene in scenes)
    return 0 if went_well and not tally.failed and len(scenes) == len(ACTS) else 1


@contextmanager
def _ended(stage: "_Stage", *, keep: bool) -> Iterator[None]:
    """Take everything away at the end, also after Ctrl-C or a SIGTERM."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if not keep:
            stage.clear()


class _Stage:
    def __init__(self, home: Path, console: Console) -> None:
        self._home = home
        self._console = console
        self._ports = _free_ports(2)
        self._load = Load(self._ports[1], "/api/orders", b'{"product": 2, "note": "for the demo"}')

    def prepare(self) -> None:
        """Copy the example and make it a git repository."""
        shutil.copytree(EXAMPLE, self._home, dirs_exist_ok=True)
        config = self._home / "abreast.yml"
        text = config.read_text()
        for usual, free in zip((8080, 8081), self._ports, strict=True):
            text = text.replace(f"port: {usual}", f"port: {free}")
        config.write_text(text)
        self._git("init", "-q")

    def play(self) -> tuple[list[Scene], Tally]:
        """Play every act, with users from the first release on."""
        scenes = []
        for number, act in enumerate(ACTS, 1):
            self._console.rule(f"[bold]{number}. {act.title}")
            scenes.append(self._act(act))
            if number == 1:
                self._load.start()
        return scenes, self._load.stop()

    def clear(self) -> None:
        """End every process of the demo."""
        self._load.stop()
        self._abreast("down", "--env", "local", "--yes", quiet=True)

    def _act(self, act: Act) -> Scene:
        if act.version:
            subject = write_version(self._home, act.version)
            self._git("add", "-A")
            self._git("commit", "-qm", subject)
            command = ["deploy", "--env", "local", "--yes"]
        else:
            command = [
                "rollback",
                "--env",
                "local",
                "--to",
                "v1",
                "--yes",
                "--reason",
                "the notes confuse people",
            ]
        before, began = (self._load.tally.sent, self._load.tally.failed), time.monotonic()
        self._console.print(f"[dim]$ abreast {' '.join(command)}")
        code = self._abreast(*command)
        seconds = time.monotonic() - began
        live, turned, back = self._what_is_live()
        sent, failed = self._load.tally.sent - before[0], self._load.tally.failed - before[1]
        return Scene(act, live, code, seconds, turned, back, sent, failed)

    def _what_is_live(self) -> tuple[str, float | None, float | None]:
        with Place.at(self._home, os.environ).ledger() as ledger:
            latest = ledger.deployments("local", 1)[0]
            releases = {live.release for live in ledger.live("local").values()}
            took = durations(ledger.events(latest.id))
        return "+".join(sorted(releases)), took.get((None, "turn")), took.get((None, "turn-back"))

    def _abreast(self, *arguments: str, quiet: bool = False) -> int:
        out = subprocess.DEVNULL if quiet else None
        return subprocess.call([sys.executable, "-m", "abreast", *arguments], cwd=self._home, stdout=out, stderr=out)

    def _git(self, *arguments: str) -> None:
        who = ["-c", "user.name=demo", "-c", "user.email=demo@localhost"]
        subprocess.run(["git", *who, *arguments], cwd=self._home, check=True, capture_output=True)


def _free_ports(count: int) -> list[int]:
    """Return ports that are free now, below those that the kernel gives to clients, so that they stay free."""
    found: list[int] = []
    for port in range(18_080, 19_000):
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
        if len(found) == count:
            return found
    raise UsageError("no two ports between 18080 and 19000 are free", next="ss -ltnp")


def _report(console: Console, scenes: list[Scene], tally: Tally, home: Path, *, keep: bool) -> None:
    table = Table(title="What happened")
    for column in ("act", "live after", "took", "turn", "turn back", "requests", "failed"):
        table.add_column(column, justify="left" if column == "act" else "right")
    for scene in scenes:
        table.add_row(
            scene.act.title, scene.live, f"{scene.seconds:.1f} s", _ms(scene.turned), _ms(scene.turned_back),
            f"{scene.sent:,}", str(scene.failed),
        )  # fmt: skip
    table.add_section()
    table.add_row(
        "all",
        "",
        f"{sum(scene.seconds for scene in scenes):.1f} s",
        "",
        "",
        f"{tally.sent:,}",
        str(tally.failed),
    )
    console.print(table)
    for failure in tally.failures:
        console.print(f"[red]failed: {failure}")
    answered = ", ".join(f"{release}: {count:,}" for release, count in sorted(tally.by_release.items()))
    console.print(f"answered by {answered}; slowest {tally.slowest * 1000:.0f} ms; {tally.reconnects} reconnects")
    if keep:
        console.print(f"\nIt still runs. Try: cd {home} && abreast status && abreast history && abreast down")
    else:
        console.print("\nTry: abreast demo --keep, or in a project of yours: abreast plan")


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value * 1000:.0f} ms"
