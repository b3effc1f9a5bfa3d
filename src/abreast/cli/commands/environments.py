"""Commands of operators: lock, unlock, down."""

import asyncio
import os
import sys
from pathlib import Path

import click

from abreast.cli.target_selection import choose_environment
from abreast.core.errors import RefusedError, UsageError
from abreast.platforms.interface import RunsHere
from abreast.wiring.workspace import Workspace, current_user, utc_now


def lock(cwd: Path, environment_name: str | None, reason: str) -> int:
    """Keep deployments out."""
    workspace = Workspace.locate(cwd, os.environ)
    environment = choose_environment(workspace.load_project().environments, environment_name)
    workspace.environment_lock(environment).lock({"reason": reason, "by": current_user(), "since": utc_now()})
    print(f"{environment} is locked. next: abreast unlock --env {environment}")
    return 0


def unlock(cwd: Path, environment_name: str | None) -> int:
    """Let deployments in again."""
    workspace = Workspace.locate(cwd, os.environ)
    environment = choose_environment(workspace.load_project().environments, environment_name)
    was_locked = workspace.environment_lock(environment).unlock()
    print(f"{environment} is unlocked" if was_locked else f"{environment} was not locked")
    return 0


def down(cwd: Path, environment_name: str | None, *, yes: bool) -> int:
    """Stop what runs locally."""
    workspace = Workspace.locate(cwd, os.environ)
    environment = choose_environment(workspace.load_project().environments, environment_name)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("nobody is here to ask", need="a yes", next="abreast down --yes")
        click.confirm(f"Stop everything that runs in {environment}? Users will get no answer.", abort=True)
    with (
        workspace.open_ledger() as ledger,
        workspace.environment_lock(environment).try_acquire({"since": utc_now()}) as acquired,
    ):
        if not acquired:
            raise RefusedError(f"a deployment of {environment} is under way", next="abreast cancel")
        platforms = workspace.platforms(environment)
        described = workspace.load_project().environment(environment).services
        for used in {
            *(one.platform for one in described),
            *(one.platform for one in ledger.live_services(environment).values()),
        }:
            platform = platforms[used]
            if isinstance(platform, RunsHere):
                asyncio.run(platform.stop_all())
        ledger.clear_live_services(environment)
    print(f"{environment} is down; its data, logs and history stay. next: abreast deploy")
    return 0
