"""Diagnose what would make a deployment fail, and how to fix it. Changes nothing."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.environment import Environment
from abreast.core.errors import AbreastError, PlatformError, TransientError, UnavailableError, UsageError
from abreast.core.model import Service
from abreast.core.next_commands import next_commands
from abreast.core.states import DeploymentState
from abreast.core.wording import counted
from abreast.deploy.data.backup import unneeded_copies
from abreast.deploy.leftovers import find_leftovers
from abreast.deploy.runtime.child_environment import rehearsal_secrets
from abreast.deploy.runtime.platform_support import require_strategy, require_support
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.programs import missing_program, old_node
from abreast.deploy.runtime.release_commands import runs_release_command_here
from abreast.deploy.runtime.release_inspection import inspect_release
from abreast.platforms.interface import Diagnoses

PASS_THROUGH_FILES = frozenset({"abreast.yml", "render.yaml", ".github", ".gitlab-ci.yml"})
SECONDS_PER_DAY = 86400.0

_NPM_CI = re.compile(r"\bnpm\s+(?:ci|clean-install)\b")
_NPM_LOCK_FILES = frozenset({"package-lock.json", "npm-shrinkwrap.json"})


async def diagnose_repository(ports: Ports) -> list[Diagnostic]:
    """Return diagnostics of the repository."""
    try:
        commit = await asyncio.to_thread(ports.source.resolve_commit)
        changed = await asyncio.to_thread(ports.source.uncommitted_files)
    except UsageError as error:
        return [Diagnostic.from_error("git", error)]
    if changed:
        what = f"commit {commit[:7]}; {counted(len(changed), 'uncommitted file')}, such as {changed[0]}"
        need = "a clean working tree, since abreast deploys commits"
        return [Diagnostic(DiagnosticSeverity.WARNING, "git", what, need)]
    return [Diagnostic(DiagnosticSeverity.OK, "git", f"commit {commit[:7]}, nothing uncommitted")]


async def _missing_lock_files(ports: Ports, services: Sequence[Service]) -> list[Diagnostic]:
    """Return faults of builds that run `npm ci` where the commit has no lock file, which it refuses."""
    installing = [
        service for service in services if _NPM_CI.search(f"{service.build.install or ''} && {service.build.run or ''}")
    ]
    try:
        files = await asyncio.to_thread(lambda: ports.source.list_files(ports.source.resolve_commit()))
    except UsageError:
        return []  # said of the repository
    if any(file.rpartition("/")[2] in _NPM_LOCK_FILES for file in files):
        return []
    return [
        Diagnostic(
            DiagnosticSeverity.FAULT,
            f"{service.name} ({service.platform})",
            "its build runs `npm ci`, and the commit has no lock file",
            "package-lock.json, committed",
            "npm install --package-lock-only, then commit it; or `npm install` in the build",
        )
        for service in installing
    ]


async def diagnose_environment(ports: Ports, environment: Environment) -> list[Diagnostic]:
    """Return diagnostics of an environment: deployments, services, databases, secrets. Asks all platforms at once."""
    diagnostics = await asyncio.gather(*(_diagnose_service(ports, service) for service in environment.services))
    diagnostics += [
        await asyncio.to_thread(lambda service=service: list(_diagnose_database(ports, environment, service)))  # type: ignore[misc]
        for service in environment.services
        if service.database
    ]
    secret_diagnostics = await asyncio.to_thread(
        lambda: [*_unused_secrets(ports, environment), *_overdue_secrets(ports, environment)]
    )
    return [
        *_kept_only_here(ports, environment),
        *_unsent_links(ports, environment),
        *_unfinished_deployments(ports, environment.name),
        *await _diagnose_leftovers(ports, environment),
        *await _missing_lock_files(ports, environment.services),
        *(diagnostic for found in diagnostics for diagnostic in found),
        *secret_diagnostics,
    ]


def _kept_only_here(ports: Ports, environment: Environment) -> Iterator[Diagnostic]:
    """Yield warnings for what other machines would miss, though they read the record."""
    losses = {"artifacts": "a rollback from another machine has to build again"}
    if any(service.database for service in environment.services):
        losses["backups"] = "nobody can restore them when this machine is gone"
    for name, loss in losses.items():
        if name in ports.only_here:
            what = f"the record is kept for all machines, and {name} are on this one only: {loss}"
            store = f"`{name}: {{store: s3://BUCKET/PATH}}` in abreast.yml"
            yield Diagnostic(DiagnosticSeverity.WARNING, name, what, "a store that every machine reads", store)


def _unsent_links(ports: Ports, environment: Environment) -> Iterator[Diagnostic]:
    """Yield a warning if people who have to approve have an address, and get no link."""
    if environment.approval and (why := ports.links_refusal(environment.name, environment.approval)):
        yield Diagnostic(DiagnosticSeverity.WARNING, "approval", why)


async def _diagnose_leftovers(ports: Ports, environment: Environment) -> list[Diagnostic]:
    """Return a warning for versions that killed deployments left; the next deployment removes them."""
    if any(not deployment.state.is_final for deployment in ports.ledger.deployments(environment.name)):
        return []  # its versions are still needed
    diagnostics = []
    for platform in sorted({service.platform for service in environment.services}):
        try:
            found = await find_leftovers(ports, environment.name, platform)
        except PlatformError as error:
            diagnostics.append(Diagnostic.from_error(platform, error))
            continue
        if found:
            what = f"killed deployments left {', '.join(found)}"
            next_command = f"abreast deploy --env {environment.name}, which removes them"
            diagnostics.append(Diagnostic(DiagnosticSeverity.WARNING, platform, what, "", next_command))
    return diagnostics


def _unused_secrets(ports: Ports, environment: Environment) -> Iterator[Diagnostic]:
    """Yield secrets that no file of the repository mentions, apart from configuration that only passes them on."""
    names = {name for service in environment.services for name in service.secrets}
    try:
        mentions = ports.source.find_mentions(ports.source.resolve_commit(), names)
    except UsageError:
        return
    mentioned = {
        name for name, files in mentions.items() if {file.partition("/")[0] for file in files} - PASS_THROUGH_FILES
    }
    for service in environment.services:
        for name in sorted(service.secrets.keys() - mentioned):
            what = f"no file of the repository mentions the secret {name}"
            yield Diagnostic(
                DiagnosticSeverity.WARNING,
                f"{service.name} ({service.platform})",
                what,
                "code that reads it; otherwise remove it from abreast.yml",
            )


def _overdue_secrets(ports: Ports, environment: Environment) -> Iterator[Diagnostic]:
    """Yield secrets older than ``rotate_after``, counted from the first deployment with their value."""
    since, now = ports.ledger.secret_ages(environment.name), datetime.fromisoformat(ports.now())
    for name, longest in environment.rotate_after.items():
        if name not in since:
            yield Diagnostic(
                DiagnosticSeverity.OK, "secrets", f"{name} has not been deployed yet, so its age is unknown"
            )
        elif (age := (now - datetime.fromisoformat(since[name])).total_seconds()) > longest:
            days = f"{age / SECONDS_PER_DAY:.0f} days; rotate_after is {longest / SECONDS_PER_DAY:g}"
            what = f"{name} has not been rotated for {days}"
            yield Diagnostic(DiagnosticSeverity.WARNING, "secrets", what, "a new value")


def _unfinished_deployments(ports: Ports, environment: str) -> Iterator[Diagnostic]:
    for deployment in ports.ledger.deployments(environment, 1):
        if deployment.state is DeploymentState.STUCK:
            yield Diagnostic(
                DiagnosticSeverity.FAULT,
                "deployment",
                f"{deployment.id} is stuck: its turn-back failed",
                next=", or: ".join(next_commands(deployment.state, deployment.kind, deployment.id, environment)),
            )
        elif not deployment.state.is_final:
            what = f"{deployment.id} is {deployment.state}, or was interrupted"
            yield Diagnostic(DiagnosticSeverity.WARNING, "deployment", what, next=f"abreast show {deployment.id}")


async def _diagnose_service(ports: Ports, service: Service) -> list[Diagnostic]:
    subject = f"{service.name} ({service.platform})"
    diagnostics = [
        *_missing_secrets(ports, service, subject),
        *[diagnostic async for diagnostic in _missing_programs(ports, service, subject)],
    ]
    try:
        require_support(ports.platforms, service)
    except UsageError as error:
        return [*diagnostics, Diagnostic.from_error(subject, error)]
    try:
        platform = ports.platforms[service.platform]
        observed = list(await platform.diagnose(service)) if isinstance(platform, Diagnoses) else []
        observed += await inspect_release(ports, service, "HEAD")
        require_strategy(ports.platforms, service)
    except UsageError as error:
        return [*diagnostics, Diagnostic.from_error(subject, error)]
    except TransientError as error:
        return [*diagnostics, Diagnostic.from_error(subject, UnavailableError(error.what, need=error.need))]
    except PlatformError as error:
        return [*diagnostics, Diagnostic.from_error(subject, error)]
    return [
        *diagnostics,
        *(
            Diagnostic(observation.level, subject, observation.what, observation.need, observation.next)
            for observation in observed
        ),
    ]


def _diagnose_database(ports: Ports, environment: Environment, service: Service) -> Iterator[Diagnostic]:
    """Yield diagnostics of a service's database and its backups."""
    subject = f"{service.name} (database)"
    try:
        ports.servers.check([service])
        if note := ports.servers.note([service]):
            yield Diagnostic(DiagnosticSeverity.OK, subject, note)
            return
        database = ports.open_database(service)
        if environment.base and not database.exists():
            yield Diagnostic(DiagnosticSeverity.OK, subject, "the first deployment makes it")
            return
        version, owner = database.engine_version(), database.owner()
        vault = ports.open_vault()
        trusted = [backup for backup in vault.list_backups(environment.name, service.name) if backup.is_trusted]
        manifest = vault.change_archive(environment.name, service.name).recoverable()
        for backup in trusted[:1]:
            vault.check_keys(backup)
        left = unneeded_copies(ports, database)
    except AbreastError as error:
        yield Diagnostic.from_error(subject, error)
        return
    yield Diagnostic(DiagnosticSeverity.OK, subject, f"{database.engine} {version}")
    if left:
        what = f"killed deployments left copies: {', '.join(copy.name for copy in left)}"
        yield Diagnostic(
            DiagnosticSeverity.WARNING, subject, what, next=f"abreast db list --copies --env {environment.name}"
        )
    if owner and not owner.endswith(f"/{environment.name}/{service.name}"):
        yield Diagnostic(
            DiagnosticSeverity.FAULT, subject, f"this database belongs to {owner}", "the URL of its own database"
        )
    command = f"abreast db backup --env {environment.name}"
    if environment.base:
        return  # nobody's data is in it
    if not trusted and manifest is None:
        yield Diagnostic(DiagnosticSeverity.WARNING, subject, "no verified backup yet", next=command)
        return
    points = [*(backup.at for backup in trusted[:1]), *([manifest.until] if manifest else [])]
    newest = max(map(datetime.fromisoformat, points))
    age = (datetime.fromisoformat(ports.now()) - newest).total_seconds()
    late = environment.rpo is not None and age > environment.rpo
    yield Diagnostic(
        DiagnosticSeverity.FAULT if late else DiagnosticSeverity.OK,
        subject,
        f"the newest recovery point is {age / 3600:.1f} hours old",
        f"a backup within the recovery point objective (rpo) of {environment.rpo:g} s" if late else "",
        command if late else "",
    )


def _missing_secrets(ports: Ports, service: Service, subject: str) -> Iterator[Diagnostic]:
    try:
        ports.reveal_secrets(service)
        rehearsal_secrets(ports, service)
    except AbreastError as error:
        yield Diagnostic.from_error(subject, error)


async def _missing_programs(ports: Ports, service: Service, subject: str) -> AsyncIterator[Diagnostic]:
    """Yield build and run commands whose program is not installed. Commands that run elsewhere are skipped.

    So are those of a service with an environment of its own, which may bring the program.
    """
    if old := await old_node(service, ports.inherited_environment):
        yield Diagnostic.from_error(subject, old)
    if service.python:
        return
    local_commands = [
        service.build.install,
        service.build.run,
        service.run if service.platform == "local" else None,
        service.release.run if service.release and runs_release_command_here(ports.platforms, service) else None,
        service.health.command,
    ]
    for command in filter(None, local_commands):
        if program := await missing_program(command, ports.inherited_environment):
            yield Diagnostic(
                DiagnosticSeverity.FAULT,
                subject,
                f"`{command}`: {program} is not installed",
                f"{program} on the PATH{_own_program_hint(program)}",
            )


def _own_program_hint(program: str) -> str:
    """Return what to do about a program that only abreast's own environment has."""
    if not (Path(sys.executable).parent / program).exists():
        return ""
    return "; abreast's own environment has it, but services need theirs: `python` and `build.install`"
