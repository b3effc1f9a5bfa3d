"""Draws the live view of a real deployment as a picture: the second deployment of the demo's example, being watched.

python tests/live_view.py docs/live-view.svg
"""

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from rich.console import Console

from abreast.cli.views.board import build_board, render_board
from abreast.core.events import EventKind
from abreast.core.model import Chapter
from abreast.demo.runner import EXAMPLE_FOLDER
from abreast.demo.versions import write_version
from abreast.wiring.workspace import Workspace

COLUMNS = 108
SECONDS_WATCHED = 1.2
COMMAND = "abreast deploy --env local"


Command = Callable[..., object]
"""Runs a command of abreast in a folder, which comes first."""


def abreast(folder: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "abreast", *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)


def deploy_two_versions(folder: Path, run: Command) -> None:
    """Deploy two versions of the example, at any ports: the second migrates the database."""
    shutil.copytree(EXAMPLE_FOLDER, folder, dirs_exist_ok=True)
    config = folder / "abreast.yml"
    config.write_text(re.sub(r"port: \d+", "", config.read_text()))
    identity = ("-c", "user.name=demo", "-c", "user.email=demo@localhost")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    for version in (1, 2):
        subject = write_version(folder, version)
        subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
        subprocess.run(["git", *identity, "commit", "-qm", subject], cwd=folder, check=True)
        run(folder, "deploy", "--env", "local", "--yes")


def draw(folder: Path) -> str:
    """Return the picture of the latest deployment, while users are watched."""
    with Workspace.locate(folder, os.environ).open_ledger() as ledger:
        latest = ledger.deployments(limit=1)[0].id
        plan, events = ledger.stored_plan(latest), ledger.events(latest)
        expected = ledger.expected_durations(plan.environment)
    begun = next(event for event in events if event.chapter is Chapter.WATCH and event.kind is EventKind.STARTED)
    shown = [event for event in events if event.seq <= begun.seq]
    now = datetime.fromisoformat(begun.at).timestamp() + SECONDS_WATCHED
    console = Console(file=io.StringIO(), record=True, width=COLUMNS)
    console.print(f"[green]$[/] {COMMAND}")
    console.print(render_board(build_board(plan, shown), expected, now))
    return console.export_svg(title="abreast", unique_id="abreast")


def make_picture(run: Command = abreast) -> str:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "storefront"
        try:
            deploy_two_versions(folder, run)
            return draw(folder)
        finally:
            run(folder, "down", "--env", "local", "--yes")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(make_picture())
