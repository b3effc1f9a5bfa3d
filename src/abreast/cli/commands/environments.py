"""Commands for operators: lock, unlock, down."""

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from abreast.cli.commands import previews
from abreast.cli.confirmation import confirm, required_reason
from abreast.cli.published import require_published
from abreast.cli.selection import choose_environment, known_environment, locate_workspace, read_record
from abreast.cli.target import hold_environment
from abreast.cli.terminal_text import visible
from abreast.commands.shell import end_orphans
from abreast.core.errors import StateError, UsageError
from abreast.core.model import DEFAULT_PLATFORM
from abreast.core.plan import DeploymentKind
from abreast.core.previews import PreviewName
from abreast.core.rollback import KeptOut, unlock_command
from abreast.deploy.runtime.maintenance import forget_maintenance
from abreast.deploy.runtime.release_history import kept_out_releases, unlocked_event
from abreast.ledger.sqlite import SqliteLedger
from abreast.platforms.interface import RunsHere
from abreast.wiring.assembly import Assembly
from abreast.wiring.workspace import Workspace, later, utc_now


def lock(environment: str | None, reason: str, duration: float | None) -> int:
    """Block deployments to an environment, for ``duration`` seconds or until it is unlocked."""
    workspace = locate_workspace()
    with workspace.open_ledger() as ledger:
        name = known_environment(workspace, ledger, environment)
        reason = required_reason(reason)
        now = utc_now()
        ends = {} if duration is None else {"until": later(now, duration)}
        ledger.lock_environment(name, {"reason": reason, "by": workspace.operator, "since": now, **ends})
    until = f" until {ends['until']}" if ends else ""
    print(f"{name} is locked{until}. next: abreast unlock --env {name}")
    return 0


def locks(*, as_json: bool) -> int:
    """List the locks of all environments, and the releases that rollbacks keep out of them."""
    with read_record(locate_workspace()) as ledger:
        held = ledger.operator_locks()
        rolled_back = [each for each in ledger.deployments(limit=1000) if each.kind is DeploymentKind.ROLLBACK]
        names = dict.fromkeys(each.environment for each in rolled_back)
        out = {name: found for name in names if (found := kept_out_releases(ledger, name))}
    if as_json:
        print(json.dumps(_locks_json(held, out), indent=2))
        return 0
    for environment, lock in held.items():
        until = f" until {lock['until']}" if "until" in lock else ""
        print(visible(f"{environment}: locked by {lock['by']} since {lock['since']}{until}: {lock['reason']}"))
        print(f"  next: abreast unlock --env {environment}")
    for environment, releases in out.items():
        for release, kept in releases.items():
            print(visible(f"{environment}: {kept}, and is kept out"))
            print(f"  next: {unlock_command(environment, release)}")
    if not held and not out:
        print("no environment is locked")
    return 0


def _locks_json(
    held: Mapping[str, Mapping[str, str]], out: Mapping[str, Mapping[str, KeptOut]]
) -> dict[str, dict[str, object]]:
    """Return what is locked, by environment: the keys of its lock, and ``kept_out`` with those of each release."""
    releases = {
        environment: {
            release: {
                "commit": found.commit, "by": found.rollback.author, "reason": found.rollback.reason,
                "since": found.rollback.at, "rolled_back_to": found.rollback.release,
            }
            for release, found in kept.items()
        }
        for environment, kept in out.items()
    }  # fmt: skip
    return {name: {**held.get(name, {}), "kept_out": releases.get(name, {})} for name in {**held, **out}}


def unlock(environment: str | None, release: str | None) -> int:
    """Allow deployments again; with ``release``, that of a release which a rollback keeps out."""
    workspace = locate_workspace()
    with workspace.open_ledger() as ledger:
        name = known_environment(workspace, ledger, environment)
        out = kept_out_releases(ledger, name)
        if release is not None:
            found = _kept_out(out, name, release)
            ledger.append_events(unlocked_event(found, workspace.operator))
            require_published(ledger)
            print(f"{found.release} may go to {name} again. next: abreast deploy --env {name}")
            return 0
        was_locked = ledger.operator_lock(name)
        ledger.lock_environment(name, None)
    print(f"{name} is unlocked" if was_locked else f"{name} was not locked")
    for kept in out:
        print(f"{kept} is still kept out of it. next: {unlock_command(name, kept)}")
    return 0


def _kept_out(out: Mapping[str, KeptOut], environment: str, release: str) -> KeptOut:
    version = f"v{release.removeprefix('v')}"
    if version not in out:
        kept = ", ".join(out) or "none"
        raise UsageError(
            f"{version} is not kept out of {environment}", need=f"a release that is: {kept}", next="abreast locks"
        )
    return out[version]


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
            forget_maintenance(ledger, name, [part.service for part in live if part.platform in here], "down")
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
