"""Commands for operators: lock, unlock, down."""

import asyncio
import sys

import click

from abreast.cli.selection import choose_environment, locate_workspace
from abreast.commands.shell import end_orphans
from abreast.core.errors import RefusedError, UsageError
from abreast.platforms.interface import RunsHere
from abreast.wiring.assembly import Assembly
from abreast.wiring.plugins import DEFAULT_PLATFORM
from abreast.wiring.workspace import current_user, utc_now


def lock(environment: str | None, reason: str) -> int:
    """Block deployments to an environment."""
    workspace = locate_workspace()
    name = choose_environment(workspace.environment_names(), environment)
    workspace.environment_lock(name).lock({"reason": reason, "by": current_user(), "since": utc_now()})
    print(f"{name} is locked. next: abreast unlock --env {name}")
    return 0


def unlock(environment: str | None) -> int:
    """Allow deployments again."""
    workspace = locate_workspace()
    name = choose_environment(workspace.environment_names(), environment)
    was_locked = workspace.environment_lock(name).unlock()
    print(f"{name} is unlocked" if was_locked else f"{name} was not locked")
    return 0


def down(environment: str | None, *, yes: bool) -> int:
    """Stop everything that runs locally."""
    workspace = locate_workspace()
    assembly = Assembly(workspace)
    project = assembly.load_project()
    name = choose_environment(project.environments, environment)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("cannot ask for confirmation: standard input is not a terminal", next="abreast down --yes")
        click.confirm(f"Stop everything in {name}? Users will get no answer.", abort=True)
    with (
        workspace.open_ledger() as ledger,
        workspace.environment_lock(name).try_acquire({"since": utc_now()}) as acquired,
    ):
        if not acquired:
            raise RefusedError(f"a deployment to {name} is running", next="abreast cancel")
        platforms = assembly.platforms(name)
        for deployment in ledger.deployments(name):
            if not deployment.state.is_final:
                end_orphans(workspace.deployment_logs / deployment.id)
        live = {service.platform for service in ledger.live_services(name).values()}
        for used in {DEFAULT_PLATFORM, *project.platforms(name), *live}:
            platform = platforms[used]
            if isinstance(platform, RunsHere):
                asyncio.run(platform.stop_all())
        ledger.clear_live_services(name)
    print(f"{name} is down. Its data, logs and history stay. next: abreast deploy")
    return 0
