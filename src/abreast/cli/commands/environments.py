"""Commands for operators: lock, unlock, down."""

import asyncio
import json
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager

from abreast.cli.commands import previews
from abreast.cli.confirmation import confirm, required_reason
from abreast.cli.selection import choose_environment, locate_workspace
from abreast.cli.target import hold_environment
from abreast.cli.terminal_text import visible
from abreast.commands.shell import end_orphans
from abreast.core.errors import StateError, UsageError
from abreast.core.model import DEFAULT_PLATFORM
from abreast.core.previews import PreviewName
from abreast.deploy.runtime.maintenance import OFF
from abreast.ledger.sqlite import SqliteLedger
from abreast.platforms.interface import RunsHere
from abreast.wiring.assembly import Assembly
from abreast.wiring.workspace import Workspace, later, utc_now


def lock(environment: str | None, reason: str, duration: float | None) -> int:
    """Block deployments to an environment, for ``duration`` seconds or until it is unlocked."""
    workspace = locate_workspace()
    name = choose_environment(workspace.environment_names(), environment)
    reason = required_reason(reason)
    now = utc_now()
    ends = {} if duration is None else {"until": later(now, duration)}
    with workspace.open_ledger() as ledger:
        ledger.lock_environment(name, {"reason": reason, "by": workspace.operator, "since": now, **ends})
    until = f" until {ends['until']}" if ends else ""
    print(f"{name} is locked{until}. next: abreast unlock --env {name}")
    return 0


def locks(*, as_json: bool) -> int:
    """List the locks of all environments."""
    with locate_workspace().open_ledger() as ledger:
        found = ledger.operator_locks()
    if as_json:
        print(json.dumps(found, indent=2))
        return 0
    for environment, held in found.items():
        until = f" until {held['until']}" if "until" in held else ""
        print(visible(f"{environment}: locked by {held['by']} since {held['since']}{until}: {held['reason']}"))
    if not found:
        print("no environment is locked")
    return 0


def unlock(environment: str | None) -> int:
    """Allow deployments again."""
    workspace = locate_workspace()
    name = choose_environment(workspace.environment_names(), environment)
    with workspace.open_ledger() as ledger:
        was_locked = ledger.operator_lock(name)
        ledger.lock_environment(name, None)
    print(f"{name} is unlocked" if was_locked else f"{name} was not locked")
    return 0


def down(environment: str | None, *, expired: bool, yes: bool) -> int:
    """Stop what runs on this machine. What is live elsewhere stays live, and is named. Previews are removed wholly."""
    if expired:
        return previews.remove_expired(environment, yes=yes)
    if environment and PreviewName.parse(environment) and previews.is_preview(environment):
        return previews.remove_one(environment, yes=yes)
    workspace = locate_workspace()
    assembly = Assembly(workspace)
    project = assembly.project
    name = choose_environment(project.environments, environment)
    confirm(f"Stop what runs here of {name}? Users will get no answer from it.", "that", yes=yes)
    with _open_ledger_if_usable(workspace) as ledger, hold_environment(workspace, name, ledger):
        if ledger and not ledger.deployments(name, limit=1):
            project.require_environment(name)
        if ledger:
            ledger.record_act(name, "down", "begun")
        live = ledger.live_services(name).values() if ledger else ()
        for deployment in ledger.deployments(name) if ledger else ():
            if not deployment.state.is_final:
                end_orphans(workspace.deployment_logs / deployment.id)
        platforms = assembly.platforms(name)
        used = {DEFAULT_PLATFORM, *project.platforms(name), *(service.platform for service in live)}
        here = {platform: stoppable for platform in used if isinstance(stoppable := platforms[platform], RunsHere)}
        for stoppable in here.values():
            asyncio.run(stoppable.stop_all())
        if ledger:
            ledger.clear_live_services(name, here)
            _end_maintenance(ledger, name, [part.service for part in live if part.platform in here])
    elsewhere = [part for part in live if part.platform not in here]
    stay = ", ".join(f"{part.service} on {part.platform} ({part.version.url or 'no address'})" for part in elsewhere)
    if elsewhere and len(elsewhere) == len(live):
        raise UsageError(
            f"nothing of {name} runs on this machine, so nothing was stopped: {stay}",
            need="a service that abreast runs itself; the others can be stopped at their platform only",
            next=f"abreast status --env {name}",
        )
    print(f"{name} is down. Its data, logs and history stay. next: abreast deploy --env {name}")
    if elsewhere:
        print(f"still live, since only its platform can stop it: {stay}")
    return 0


def _end_maintenance(ledger: SqliteLedger, environment: str, stopped: Collection[str]) -> None:
    """Record that stopped services are not in maintenance any more: the router that answered for them is gone."""
    modes = ledger.maintenance(environment)
    staying = {service: mode for service, mode in modes.items() if service not in stopped}
    if staying != modes:
        ledger.record_maintenance(environment, staying, OFF, "done", why="down")


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
