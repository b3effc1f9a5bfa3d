"""Plan: what would be deployed, in which order, and why; from what is live, what changed and what is asked."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from abreast.core.errors import RefusedError, UsageError
from abreast.core.gates import Gate, names, wanted
from abreast.core.model import Action, DataPlan, Environment, Kind, Live, Plan, Service, ServicePlan
from abreast.core.planner import Facts, decide, followed, order, removals
from abreast.core.states import State
from abreast.deploy.changes import changes
from abreast.deploy.course import data_plan
from abreast.deploy.ports import Ports
from abreast.ledger.interface import Release
from abreast.platforms.interface import Capabilities, ReportsLiveVersion, ReservesUrl, VersionRef


@dataclass(frozen=True, slots=True)
class Request:
    """What a person asks for: ``release`` names one already built, ``since`` compares with another commit.

    ``force``: also what did not change. ``skip`` names gates that are not asked, for the ``reason``. ``backup`` names
    what is restored; the newest good one for "".
    """

    kind: Kind = Kind.DEPLOY
    services: tuple[str, ...] = ()
    since: str | None = None
    release: str | None = None
    reason: str = ""
    force: bool = False
    skip: tuple[str, ...] = ()
    backup: str = ""


async def propose(ports: Ports, project: str, environment: Environment, request: Request) -> Plan:
    """Return a plan without a deployment's id; it takes a new release only when it is ``numbered``.

    Raises UsageError for an unknown service, commit or release.
    """
    _known(environment, request.services)
    live = await asyncio.to_thread(ports.ledger.live, environment.name)
    if request.kind not in {Kind.DEPLOY, Kind.ROLLBACK}:
        return await asyncio.to_thread(_of_data, ports, project, environment, request, live)
    running = await _running(ports, live)
    if request.kind is Kind.ROLLBACK or request.release:
        release = await asyncio.to_thread(_release, ports, environment, request)
        plan = _of_release(ports, project, environment, request, release, live, running)
    else:
        plan = await _of_commit(ports, project, environment, request, live, running)
    parts = followed(plan.services, _leads(ports, plan.services))
    plan = replace(plan, services=tuple(await asyncio.gather(*(_with_present(ports, part) for part in parts))))
    _in_order(plan)
    if not request.backup:
        plan = await asyncio.to_thread(_with_data, ports, environment, plan)
    return replace(plan, gates=_gates(environment, request, plan))


def _with_data(ports: Ports, environment: Environment, plan: Plan) -> Plan:
    """Add what is done with databases."""
    found = {part.name: data_plan(ports, plan.project, environment, part, plan.kind) for part in plan.services}
    return replace(plan, services=tuple(_of_database(ports, part, found[part.name]) for part in plan.services))


def _of_database(ports: Ports, part: ServicePlan, data: DataPlan | None) -> ServicePlan:
    notes = part.notes
    if data and data.forward and not _capabilities(ports, part.service).has_candidates:
        notes += (f"its health is not looked at on the rehearsed copy: {part.service.platform} has no candidates",)
    if data and data.stays:
        notes += (f"the schema stays as it is: {data.stays}",)
    return replace(part, data=data, notes=notes)


def _of_data(ports: Ports, project: str, environment: Environment, request: Request, live: Mapping[str, Live]) -> Plan:
    """Plan what is done with databases only, of the commit; in a drill of what is live."""
    commit = ports.source.commit()
    services = {name: one.definition for name, one in live.items()} if request.kind is Kind.DRILL else {}
    parts = []
    for asked in environment.services:
        service, now = services.get(asked.name, asked), live.get(asked.name)
        built = request.kind is Kind.DRILL or (service.database and service.database.command)
        of = now.commit if now and built else commit  # a command runs in what was built, which is what is live
        part = ServicePlan(service, Action.DEPLOY, "its database", of, now.artifact if now else None, now)
        meant = service.database and (not request.services or service.name in request.services)
        data = _data(ports, project, environment, request, part) if meant else None
        parts.append(replace(part, action=Action.KEEP, data=data))
    newest = max((one.release for one in live.values()), key=_number, default="v0")
    return _plan(ports, project, environment, request, newest, commit, tuple(parts))


def _data(ports: Ports, project: str, environment: Environment, request: Request, part: ServicePlan) -> DataPlan | None:
    if request.kind is Kind.DRILL:
        command = bool(part.service.database and part.service.database.command)
        return DataPlan(environment.breaking, command=command, rto=environment.rto, rpo=environment.rpo)
    if request.kind is Kind.RESTORE:
        chosen = ports.vault.one(environment.name, part.name, request.backup)
        return DataPlan(environment.breaking, restore=chosen.name)
    return data_plan(ports, project, environment, part, request.kind)


def _gates(environment: Environment, request: Request, plan: Plan) -> tuple[Gate, ...]:
    """Return the gates of the plan; the way back has none, and what was built before was tested then.

    Raises UsageError for a gate that there is not, RefusedError for one that must not be skipped.
    """
    known = names(environment.gates)
    for name in request.skip:
        if name not in known:
            raise UsageError(f"there is no gate {name!r}", need=f"one of: {', '.join(known) or 'none is asked for'}")
        if name not in environment.may_skip:
            raise RefusedError(
                f"the gate {name} must not be skipped in {environment.name}",
                need=f"one of may_skip: {', '.join(environment.may_skip) or 'none'}",
                next=f"mend what it found, or add it to may_skip of {environment.name} in abreast.yml",
            )
    if request.kind is Kind.ROLLBACK:
        return ()
    built = [part.name for part in plan.rollouts if part.artifact is None]
    reason = f"{plan.author or '?'}: {request.reason}"
    return wanted(environment.gates, built, request.skip, reason) if plan.rollouts else ()


def _in_order(plan: Plan) -> None:
    try:
        order(plan.rollouts)
    except ValueError as error:
        raise UsageError(
            f"these wait for each other's address: {error}",
            need="services whose `needs` and `routes` do not go round in a circle",
        ) from error


def _leads(ports: Ports, parts: Sequence[ServicePlan]) -> dict[str, list[str]]:
    """Return, by service, those with an address for each version that it leads its users to.

    Raises UsageError for one to which nobody leads: its users would stay where they are.
    """
    can = {part.name: _capabilities(ports, _meant(part)) for part in parts if part.action is not Action.REMOVE}
    moving = {part.name for part in parts if part.action is Action.DEPLOY and _moves(ports, part)}
    leads = {name: [other for other in one.routes_to if other in moving] for name, one in can.items()}
    if alone := {name for name in can if can[name].address_per_version}.difference(
        *(one.routes_to for one in can.values())
    ):
        raise UsageError(
            f"each version of {min(alone)} has an address of its own, and no service leads users there",
            need=f"a service that does, such as one on netlify with `routes: {{/api/*: {min(alone)}}}`",
        )
    return leads


def _meant(part: ServicePlan) -> Service:
    """Return what users will have of a service: what is live, where it is kept."""
    return part.previous.definition if part.action is Action.KEEP and part.previous else part.service


def _moves(ports: Ports, part: ServicePlan) -> bool:
    """Whether the new version may answer at another address than what is live, so that whoever leads there must follow.

    Also where a version with an address of its own is left for one without, or for another place.
    """
    if part.previous is None or _capabilities(ports, part.service).address_per_version:
        return True
    old, new = part.previous.definition, part.service
    elsewhere = (old.platform, dict(old.settings)) != (new.platform, dict(new.settings))
    return elsewhere or _capabilities(ports, old).address_per_version


def _capabilities(ports: Ports, service: Service) -> Capabilities:
    return ports.platforms[service.platform].capabilities(service)


async def _with_present(ports: Ports, part: ServicePlan) -> ServicePlan:
    """Note what users reach now, for the way back."""
    if part.action is Action.KEEP:
        return part
    platform = ports.platforms[part.service.platform]
    before = await platform.live_version(part.service) if isinstance(platform, ReportsLiveVersion) else None
    notes = platform.capabilities(part.service).notes if part.action is Action.DEPLOY else part.notes
    place = ""
    if part.action is Action.DEPLOY and isinstance(platform, ReservesUrl):
        place = await platform.reserve_url(part.service, part.previous)
    if before and part.previous and not part.previous.version.handle.items() <= before.handle.items():
        notes += ("users reach what somebody else put there; the way back leads to that",)
    if part.action is Action.REMOVE and not platform.capabilities(part.service).can_unpublish:
        notes += (f"{platform.name} cannot take users off it: it stays, and abreast lets go of it",)
    return replace(part, before=before, notes=notes, place=place)


async def _of_commit(
    ports: Ports, project: str, environment: Environment, request: Request,
    live: Mapping[str, Live], running: frozenset[str],
) -> Plan:  # fmt: skip
    commit = await asyncio.to_thread(ports.source.commit)
    bases = {name: request.since or one.commit for name, one in live.items()}
    changed = await asyncio.to_thread(changes, ports.source, environment.services, bases, commit)
    facts = {
        service.name: Facts(live.get(service.name), changed[service.name], service.name in running, request.force)
        for service in environment.services
    }
    parts = decide(environment.services, facts, commit, request.services, _notes(ports, environment.services))
    parts += removals(live, facts, request.services)
    return _plan(ports, project, environment, request, "", commit, parts)


def _of_release(
    ports: Ports, project: str, environment: Environment, request: Request,
    release: Release, live: Mapping[str, Live], running: frozenset[str],
) -> Plan:  # fmt: skip
    """Plan to bring back what a release had; its artifacts and definitions, as they were."""
    names = [service.name for service in environment.services]
    missing = [name for name in request.services if name not in release.parts]
    if missing:
        raise UsageError(f"release {release.version} has no {', '.join(missing)}", next="abreast history")
    notes = _notes(ports, environment.services)
    parts = []
    for name in sorted(release.parts, key=lambda name: names.index(name) if name in names else len(names)):
        part, now = release.parts[name], live.get(name)
        meant = not request.services or name in request.services
        same = now and now.artifact == part.artifact and now.definition == part.definition and name in running
        action = Action.DEPLOY if meant and not same else Action.KEEP
        why = f"{now.release if now else 'nothing'} → {release.version}" if action is Action.DEPLOY else "as it is"
        parts.append(ServicePlan(part.definition, action, why, part.commit, part.artifact, now, notes.get(name, ())))
    gone = removals(live, release.parts, request.services)
    return _plan(ports, project, environment, request, release.version, release.commit, (*parts, *gone))


def _plan(
    ports: Ports, project: str, environment: Environment, request: Request,
    release: str, commit: str, parts: tuple[ServicePlan, ...],
) -> Plan:  # fmt: skip
    return Plan(
        deployment="",
        kind=request.kind,
        project=project,
        environment=environment.name,
        release=release,
        commit=commit,
        services=parts,
        settle=environment.settle,
        drain=environment.drain,
        on_failure=environment.on_failure,
        reason=request.reason,
        author=ports.source.author(),
        anew=request.force,
        tag=environment.tag and request.kind is Kind.DEPLOY,
    )


def _release(ports: Ports, environment: Environment, request: Request) -> Release:
    """Return the release that is meant: the one named, or the last good one before what is live."""
    if request.release:
        return ports.ledger.release(request.release)
    good = [
        deployment.release
        for deployment in ports.ledger.deployments(environment.name, limit=1000)
        if deployment.state is State.SUCCEEDED and deployment.kind in {Kind.DEPLOY, Kind.ROLLBACK}
    ]
    older = [version for version in good if _number(version) < _number(good[0])] if good else []
    if not older:
        raise UsageError(
            f"there is no release before {good[0] if good else 'the first'} in {environment.name}",
            need="an earlier deployment that succeeded",
            next=f"abreast history --env {environment.name}",
        )
    return ports.ledger.release(older[0])


def _number(version: str) -> int:
    return int(version.removeprefix("v"))


async def _running(ports: Ports, live: Mapping[str, Live]) -> frozenset[str]:
    """Return the services whose live version its platform sees."""
    seen = set()
    for platform in {one.platform for one in live.values()} & ports.platforms.keys():
        ids = {one.version.id: one.service for one in live.values() if one.platform == platform}
        named = [
            VersionRef(one.definition, one.version.id, one.version.handle)
            for one in live.values()
            if one.platform == platform
        ]
        sightings = await ports.platforms[platform].observe(named)
        seen |= {ids[version] for version, sighting in sightings.items() if sighting.present}
    return frozenset(seen)


def _notes(ports: Ports, services: Sequence[Service]) -> dict[str, tuple[str, ...]]:
    return {service.name: ports.platforms[service.platform].capabilities(service).notes for service in services}


def _known(environment: Environment, names: Sequence[str]) -> None:
    known = [service.name for service in environment.services]
    for name in names:
        if name not in known:
            raise UsageError(f"there is no service {name!r}", need=f"one of: {', '.join(known)}")
