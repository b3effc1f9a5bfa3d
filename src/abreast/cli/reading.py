"""Commands that only look."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from abreast.cli.choosing import choose_deployment, choose_environment
from abreast.cli.screen import Screen
from abreast.cli.tail import Tail
from abreast.cli.views import past
from abreast.config import reference
from abreast.wiring.workspace import PLUGIN_SETTINGS, Place


def watch_status(look: Callable[[], int]) -> int:
    """Look again every second, until Ctrl-C."""
    while True:
        if sys.stdout.isatty():
            print("\x1b[2J\x1b[H", end="")
        code = look()
        sys.stdout.flush()
        try:
            time.sleep(1)
        except KeyboardInterrupt:
            return code


def history(here: Path, environment: str | None, limit: int, *, as_json: bool) -> int:
    """List deployments."""
    with Place.at(here, os.environ).ledger() as ledger:
        found = ledger.deployments(environment, limit)
    if as_json:
        print(json.dumps([past.as_json(one) for one in found], indent=2))
    else:
        _print(past.history(found) if found else ["nothing was deployed yet. next: abreast deploy"])
    return 0


def show(here: Path, id: str | None, *, watch: bool, as_json: bool) -> int:
    """Show one deployment, or follow it."""
    with Place.at(here, os.environ).ledger() as ledger:
        one = choose_deployment(ledger, id)
        if watch and not one.state.final:
            screen = Screen(ledger, sys.stdout)
            asyncio.run(screen.follow(ledger.stored_plan(one.id)))
            return ledger.deployment(one.id).exit_code
        events = ledger.events(one.id)
    if as_json:
        print(json.dumps(past.as_json(one, events), indent=2))
    else:
        _print(past.show(one, events))
    return 0


def logs(
    here: Path,
    id: str | None,
    name: str | None,
    services: tuple[str, ...],
    count: int,
    *,
    follow: bool,
) -> int:
    """Show what services, or a deployment's commands, printed."""
    place = Place.at(here, os.environ)
    with place.ledger() as ledger:
        if id is not None:
            one = ledger.deployment(id)
            built = (place.state / "logs" / "deployments" / one.id).glob("*.log")
            files = [*built, *(place.state / "logs" / one.environment).glob(f"*-{one.id}.log")]
        else:
            environment = choose_environment(place.project().environments, name)
            live = ledger.live(environment).values()
            files = [place.state / "logs" / environment / f"{one.version.id}.log" for one in live]
    wanted = {_label(file): file for file in sorted(files) if file.exists()}
    if services:
        wanted = {label: file for label, file in wanted.items() if label.split(" ")[0] in services}
    if not wanted:
        print("nothing was printed yet", file=sys.stderr)
        return 0
    tail = Tail(wanted)
    _print(tail.last(count))
    if follow:
        _print(tail.follow())
    return 0


def schema() -> int:
    """Print the JSON Schema of abreast.yml."""
    print(json.dumps(reference.json_schema(PLUGIN_SETTINGS.platforms), indent=2))
    return 0


def docs(section: str | None) -> int:
    """Print the reference."""
    print(reference.markdown(PLUGIN_SETTINGS.platforms, section), end="")
    return 0


def _label(file: Path) -> str:
    """``backend`` for a service's own output, ``backend build`` for its build's, ``backend test`` for its gate's."""
    stem = file.name.removesuffix(".log").replace(".", " ")
    return stem[:-27] if len(stem) > 27 and stem[-27] == "-" else stem


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)
