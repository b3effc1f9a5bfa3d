"""Examine: what would keep a deployment from an environment, and how to mend it; nothing is changed."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime

from abreast.core.errors import AbreastError, PlatformError, TransientError, UnavailableError, UsageError
from abreast.core.model import Environment, Service
from abreast.core.remarks import Level, Remark
from abreast.core.states import State
from abreast.deploy.ports import Ports
from abreast.platforms.interface import Diagnoses

PASSING_ON = ("abreast.yml", "render.yaml", ".github", ".gitlab-ci.yml")
DAY = 86400.0

_PROGRAM = re.compile(r"\s*(?:exec\s+)?([A-Za-z0-9._+/-]+)(?=\s|$)")


async def repository(ports: Ports) -> list[Remark]:
    """Look at the repository and the record of what was deployed."""
    try:
        commit = await asyncio.to_thread(ports.source.commit)
        changed = await asyncio.to_thread(ports.source.uncommitted)
    except UsageError as error:
        return [Remark.of("git", error)]
    if changed:
        told = f"commit {commit[:7]}; {len(changed)} files differ from it or are new, {changed[0]} for one"
        return [Remark(Level.WARNING, "git", told, "a clean tree: what is deployed is what was committed")]
    return [Remark(Level.OK, "git", f"commit {commit[:7]}, nothing uncommitted")]


async def environment(ports: Ports, described: Environment) -> list[Remark]:
    """Look at everything that one environment's services ask for, at all platforms at once."""
    found = await asyncio.gather(*(_service(ports, service) for service in described.services))
    found += [
        await asyncio.to_thread(lambda one=one: list(_database(ports, described, one)))  # type: ignore[misc]
        for one in described.services
        if one.database
    ]
    of_secrets = await asyncio.to_thread(lambda: [*_unused(ports, described), *_old(ports, described)])
    return [*_unfinished(ports, described.name), *(remark for remarks in found for remark in remarks), *of_secrets]


def _unused(ports: Ports, described: Environment) -> Iterator[Remark]:
    """Yield secrets whose names stand in no file of the repository but those that only pass them on."""
    names = {name for service in described.services for name in service.secrets}
    try:
        known = ports.source.mentioned(ports.source.commit(), names, PASSING_ON)
    except UsageError:
        return
    for service in described.services:
        for name in sorted(service.secrets.keys() - known):
            what = f"the secret {name} stands in no file of the repository"
            yield Remark(
                Level.WARNING, f"{service.name} ({service.platform})", what, "a program that reads it, or none"
            )


def _old(ports: Ports, described: Environment) -> Iterator[Remark]:
    """Yield secrets that are older than they should get; their age counts from the first deployment with that value."""
    since, now = ports.ledger.secrets(described.name), datetime.fromisoformat(ports.now())
    for name, longest in described.rotate_after.items():
        if name not in since:
            yield Remark(Level.OK, "secrets", f"{name} was not deployed yet, so that its age is not known")
        elif (age := (now - datetime.fromisoformat(since[name])).total_seconds()) > longest:
            what = f"{name} has had its value for {age / DAY:.0f} days; rotate_after is {longest / DAY:g}"
            yield Remark(Level.WARNING, "secrets", what, "a new value")


def _unfinished(ports: Ports, environment: str) -> Iterator[Remark]:
    for one in ports.ledger.deployments(environment, 1):
        if one.state is State.STUCK:
            yield Remark(Level.FAULT, "deployment", f"{one.id} is stuck half-way back", next=f"abreast resume {one.id}")
        elif not one.state.final:
            what = f"{one.id} is {one.state}, or was cut off"
            yield Remark(Level.WARNING, "deployment", what, next=f"abreast show {one.id}")


async def _service(ports: Ports, service: Service) -> list[Remark]:
    about = f"{service.name} ({service.platform})"
    remarks = [*_secrets(ports, service, about), *[one async for one in _programs(ports, service, about)]]
    try:
        platform = ports.platforms[service.platform]
        seen = await platform.diagnose(service) if isinstance(platform, Diagnoses) else ()
    except TransientError as error:
        return [*remarks, Remark.of(about, UnavailableError(error.what, need=error.need))]
    except PlatformError as error:
        return [*remarks, Remark.of(about, error)]
    return [*remarks, *(Remark(one.level, about, one.what, one.need, one.next) for one in seen)]


def _database(ports: Ports, described: Environment, service: Service) -> Iterator[Remark]:
    """Yield how a service's database and its backups stand."""
    about = f"{service.name} (database)"
    try:
        database = ports.database(service)
        version, owner = database.version(), database.owner()
        known = [one for one in ports.vault.list(described.name, service.name) if one.verified]
    except AbreastError as error:
        yield Remark.of(about, error)
        return
    yield Remark(Level.OK, about, f"{database.engine} {version}")
    if owner and not owner.endswith(f"/{described.name}/{service.name}"):
        yield Remark(Level.FAULT, about, f"it is noted to be that of {owner}", "the URL of its own database")
    command = f"abreast db backup --env {described.name}"
    if not known:
        yield Remark(Level.WARNING, about, "there is no verified backup of it yet", next=command)
        return
    age = (datetime.fromisoformat(ports.now()) - datetime.fromisoformat(known[0].at)).total_seconds()
    late = described.rpo is not None and age > described.rpo
    what = f"its newest verified backup is {age / 3600:.1f} hours old"
    yield Remark(
        Level.FAULT if late else Level.OK,
        about,
        what,
        f"rpo: {described.rpo:g} s" if late else "",
        command if late else "",
    )


def _secrets(ports: Ports, service: Service, about: str) -> Iterator[Remark]:
    try:
        ports.reveal(service)
    except AbreastError as error:
        yield Remark.of(about, error)


async def _programs(ports: Ports, service: Service, about: str) -> AsyncIterator[Remark]:
    """Yield commands whose first program is not on this machine; what runs elsewhere is not looked for."""
    here = [service.build.run, service.run if service.platform == "local" else None]
    for command in filter(None, here):
        found = _PROGRAM.match(command)
        program = found[1] if found else ""
        if program and "/" not in program and not await _is_here(program, ports.inherited):
            yield Remark(Level.FAULT, about, f"`{command}`: {program} is not on this machine", f"{program} on the PATH")


async def _is_here(program: str, env: Mapping[str, str]) -> bool:
    """Ask the shell that would run it, which has commands and keywords of its own."""
    asked = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", 'command -v "$0"', program,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=dict(env),
    )  # fmt: skip
    return await asked.wait() == 0
