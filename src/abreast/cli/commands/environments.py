"""Commands for operators: lock, unlock, down."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from abreast.cli.confirmation import confirm
from abreast.cli.selection import choose_environment, locate_workspace
from abreast.cli.target import hold_environment
from abreast.commands.shell import end_orphans
from abreast.core.errors import StateError
from abreast.ledger.sqlite import SqliteLedger
from abreast.platforms.interface import RunsHere
from abreast.wiring.assembly import Assembly
from abreast.wiring.plugins import DEFAULT_PLATFORM
from abreast.wiring.workspace import Workspace, current_user, utc_now


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
    project = assembly.project
    name = choose_environment(project.environments, environment)
    confirm(f"Stop everything in {name}? Users will get no answer.", "that", yes=yes)
    with hold_environment(workspace, name), _open_ledger_if_usable(workspace) as ledger:
        live = {service.platform for service in ledger.live_services(name).values()} if ledger else set()
        for deployment in ledger.deployments(name) if ledger else ():
            if not deployment.state.is_final:
                end_orphans(workspace.deployment_logs / deployment.id)
        platforms = assembly.platforms(name)
        for used in {DEFAULT_PLATFORM, *project.platforms(name), *live}:
            platform = platforms[used]
            if isinstance(platform, RunsHere):
                asyncio.run(platform.stop_all())
        if ledger:
            ledger.clear_live_services(name)
    print(f"{name} is down. Its data, logs and history stay. next: abreast deploy")
    return 0


@contextmanager
def _open_ledger_if_usable(workspace: Workspace) -> Iterator[SqliteLedger | None]:
    """Open the ledger. If it is lost or damaged, say so and yield None: what runs here must be stoppable."""
    try:
        ledger = workspace.open_ledger()
    except StateError as error:
        print(f"the record cannot be used, so only what this machine shows is stopped: {error}", file=sys.stderr)
        yield None
        return
    with ledger:
        yield ledger
