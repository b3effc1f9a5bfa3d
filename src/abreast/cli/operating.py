"""Commands of operators: lock, unlock, down."""

import asyncio
import os
import sys
from pathlib import Path

import click

from abreast.cli.choosing import choose_environment
from abreast.core.errors import RefusedError, UsageError
from abreast.platforms.interface import RunsHere
from abreast.wiring.workspace import Place, utc_now, who


def lock(here: Path, name: str | None, reason: str) -> int:
    """Keep deployments out."""
    place = Place.at(here, os.environ)
    environment = choose_environment(place.project().environments, name)
    place.lock(environment).lock({"reason": reason, "by": who(), "since": utc_now()})
    print(f"{environment} is locked. next: abreast unlock --env {environment}")
    return 0


def unlock(here: Path, name: str | None) -> int:
    """Let deployments in again."""
    place = Place.at(here, os.environ)
    environment = choose_environment(place.project().environments, name)
    was = place.lock(environment).unlock()
    print(f"{environment} is unlocked" if was else f"{environment} was not locked")
    return 0


def down(here: Path, name: str | None, *, yes: bool) -> int:
    """Stop what runs locally."""
    place = Place.at(here, os.environ)
    environment = choose_environment(place.project().environments, name)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nobody is here to ask", need="a yes", next="abreast down --yes")
        click.confirm(f"Stop everything that runs in {environment}? Users will get no answer.", abort=True)
    with place.ledger() as ledger, place.lock(environment).try_hold({"since": utc_now()}) as free:
        if not free:
            raise RefusedError(f"a deployment of {environment} is under way", next="abreast cancel")
        platforms = place.platforms(environment)
        described = place.project().environment(environment).services
        for used in {
            *(one.platform for one in described),
            *(one.platform for one in ledger.live(environment).values()),
        }:
            platform = platforms[used]
            if isinstance(platform, RunsHere):
                asyncio.run(platform.stop_all())
        ledger.clear(environment)
    print(f"{environment} is down; its data, logs and history stay. next: abreast deploy")
    return 0
