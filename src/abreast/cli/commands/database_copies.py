"""Copies of databases: those that deployments made and left, and what restores replaced."""

import json
from collections.abc import Sequence

from abreast.cli.confirmation import confirm
from abreast.cli.target import Target, hold_environment, load_target
from abreast.cli.views.databases import format_size
from abreast.core.codec import dump
from abreast.core.errors import RefusedError, UsageError
from abreast.core.model import Service
from abreast.database.interface import DatabaseCopy
from abreast.deploy.preview_removal import standing_previews
from abreast.ledger.interface import Ledger


def list_copies(target: Target, services: Sequence[Service], *, as_json: bool) -> int:
    """List the copies of the services' databases."""
    with target.workspace.open_ledger() as ledger:
        ports = target.assembly.ports(target.environment.name, ledger)
        copies = {service.name: ports.open_database(service).list_copies() for service in services}
        if as_json:
            print(json.dumps({name: [dump(copy) for copy in found] for name, found in copies.items()}, indent=2))
            return 0
        for name, found in copies.items():
            for copy in found:
                meaning = _meaning(ledger, copy, target.environment.name)
                print(f"{name}  {copy.name}  {format_size(copy.size):>9}  {meaning}")
        if not any(copies.values()):
            print("there are no copies")
    return 0


def drop(name: str, environment: str | None, services: tuple[str, ...], *, yes: bool) -> int:
    """Delete a copy of a database. Never the database itself, nor a copy that an unfinished deployment needs."""
    target = load_target(environment)
    env = target.environment.name
    with target.workspace.open_ledger() as ledger, hold_environment(target.workspace, env, ledger):
        ports = target.assembly.ports(env, ledger)
        ports.servers.start(target.environment.services)
        found = [
            (service, copy)
            for service in target.environment.services
            if service.database and (not services or service.name in services)
            for copy in ports.open_database(service).list_copies()
            if copy.name == name
        ]
        if len(found) != 1:
            what = f"several databases have a copy {name}" if found else f"there is no copy {name}"
            raise UsageError(what, need="a name of `abreast db list --copies`, and --service for one of several")
        ((service, copy),) = found
        if preview := _standing_preview(ledger, copy, env):
            raise RefusedError(f"{name} is the database of {preview}", next=f"abreast down --env {preview}")
        if _is_needed(ledger, copy):
            raise RefusedError(f"{name} belongs to a deployment that has not ended", next="abreast resume")
        meaning = _meaning(ledger, copy, env)
        question = f"Delete {name} of {service.name} ({format_size(copy.size)}): {meaning}?"
        confirm(question, "this deletion", yes=yes)
        ledger.record_act(env, "db drop", "begun", detail=f"{name} of {service.name}: {meaning}")
        ports.open_database(service).drop_copy(copy)
    print(f"{name} is gone")
    return 0


def _meaning(ledger: Ledger, copy: DatabaseCopy, environment: str) -> str:
    """Return what a copy is for, in a few words."""
    if preview := _standing_preview(ledger, copy, environment):
        return f"the database of {preview}; it goes with `abreast down --env {preview}`"
    if copy.is_archive:
        return "what a restore replaced; nothing removes it but `abreast db drop`"
    if _is_needed(ledger, copy):
        return "needed by a deployment that has not ended"
    if any(deployment.id.lower() == copy.owner for deployment in ledger.deployments(limit=100_000)):
        return "left by a deployment that has ended; the next one removes it"
    return "made by a command, or by a project with another record"


def _standing_preview(ledger: Ledger, copy: DatabaseCopy, environment: str) -> str:
    """Return the preview whose database a copy is, "" if it is none's, or that preview was removed."""
    for preview in standing_previews(ledger):
        if (preview.name.base, preview.name.database_copy) == (environment, copy.name):
            return preview.environment
    return ""


def _is_needed(ledger: Ledger, copy: DatabaseCopy) -> bool:
    return any(
        deployment.id.lower() == copy.owner and not deployment.state.is_final
        for deployment in ledger.deployments(limit=100_000)
    )
