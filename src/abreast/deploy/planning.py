"""Plan: what would be deployed, in which order, and why; from what is live, what changed and what is asked."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from abreast.core.errors import RefusedError, UsageError
from abreast.core.gates import Gate, select_gates, skippable_names
from abreast.core.model import (
    Action,
    DatabasePlan,
    DeploymentKind,
    Environment,
    LiveService,
    Plan,
    Service,
    ServicePlan,
)
from abreast.core.planner import ServiceFacts, include_routing_services, plan_removals, plan_services, rollout_waves
from abreast.core.states import DeploymentState
from abreast.deploy.data.plan import plan_database
from abreast.deploy.runtime.ports import Ports
from abreast.ledger.interface import Release
from abreast.platforms.interface import Capabilities, ReportsLiveVersion, ReservesUrl, VersionRef
from abreast.source.changed_files import changed_files_by_service


@dataclass(frozen=True, slots=True)
class DeployRequest:
    """What a person asks for: ``release`` names one already built, ``since`` compares with another commit.

    ``force``: also what did not change. ``skip`` names gates that are not asked, for the ``reason``. ``backup`` names
    what is restored; the newest good one for "".
    """

    kind: DeploymentKind = DeploymentKind.DEPLOY
    services: tuple[str, ...] = ()
    since: str | None = None
    release: str | None = None
    reason: str = ""
    force: bool = False
    skip_gates: tuple[str, ...] = ()
    backup: str = ""


async def plan_deployment(ports: Ports, project: str, environment: Environment, request: DeployRequest) -> Plan:
    """Return a plan without a deployment's id; it takes a new release only when it is ``numbered``.

    Raises UsageError for an unknown service, commit or release.
    """
    _check_services_exist(environment, request.services)
    live = await asyncio.to_thread(ports.ledger.live_services, environment.name)
    if request.kind not in {DeploymentKind.DEPLOY, DeploymentKind.ROLLBACK}:
        return await asyncio.to_thread(_plan_data_only, ports, project, environment, request, live)
    running = await _running_services(ports, live)
    if request.kind is DeploymentKind.ROLLBACK or request.release:
        release = await asyncio.to_thread(_requested_release, ports, environment, request)
        plan = _plan_from_release(ports, project, environment, request, release, live, running)
    else:
        plan = await _plan_from_commit(ports, project, environment, request, live, running)
    parts = include_routing_services(plan.services, _routes_between_services(ports, plan.services))
    plan = replace(plan, services=tuple(await asyncio.gather(*(_with_platform_state(ports, part) for part in parts))))
    _check_rollout_order(plan)
    if not request.backup:
        plan = await asyncio.to_thread(_plan_databases, ports, environment, plan)
    return replace(plan, gates=_plan_gates(environment, request, plan))


def _plan_databases(ports: Ports, environment: Environment, plan: Plan) -> Plan:
    """Add what is done with databases."""
    found = {part.name: plan_database(ports, plan.project, environment, part, plan.kind) for part in plan.services}
    return replace(plan, services=tuple(_with_database_plan(ports, part, found[part.name]) for part in plan.services))


def _with_database_plan(ports: Ports, part: ServicePlan, data: DatabasePlan | None) -> ServicePlan:
    notes = part.notes
    if data and data.is_forward and not _capabilities(ports, part.service).has_candidates:
        notes += (f"its health is not looked at on the rehearsed copy: {part.service.platform} has no candidates",)
    if data and data.kept_reason:
        notes += (f"the schema stays as it is: {data.kept_reason}",)
    return replace(part, database_plan=data, notes=notes)


def _plan_data_only(
    ports: Ports, project: str, environment: Environment, request: DeployRequest, live: Mapping[str, LiveService]
) -> Plan:
    """Plan what is done with databases only, of the commit; in a drill of what is live."""
    commit = ports.source.resolve_commit()
    services = {name: one.definition for name, one in live.items()} if request.kind is DeploymentKind.DRILL else {}
    parts = []
    for asked in environment.services:
        service, now = services.get(asked.name, asked), live.get(asked.name)
        built = request.kind is DeploymentKind.DRILL or (service.database and service.database.command)
        of = now.commit if now and built else commit  # a command runs in what was built, which is what is live
        part = ServicePlan(service, Action.DEPLOY, "its database", of, now.artifact if now else None, now)
        meant = service.database and (not request.services or service.name in request.services)
        data = _requested_database_plan(ports, project, environment, request, part) if meant else None
        parts.append(replace(part, action=Action.KEEP, database_plan=data))
    newest = max((one.release for one in live.values()), key=_release_number, default="v0")
    return _build_plan(ports, project, environment, request, newest, commit, tuple(parts))


def _requested_database_plan(
    ports: Ports, project: str, environment: Environment, request: DeployRequest, part: ServicePlan
) -> DatabasePlan | None:
    if request.kind is DeploymentKind.DRILL:
        command = bool(part.service.database and part.service.database.command)
        return DatabasePlan(environment.breaking, command=command, rto=environment.rto, rpo=environment.rpo)
    if request.kind is DeploymentKind.RESTORE:
        chosen = ports.vault.find_backup(environment.name, part.name, request.backup)
        return DatabasePlan(environment.breaking, restore=chosen.name)
    return plan_database(ports, project, environment, part, request.kind)


def _plan_gates(environment: Environment, request: DeployRequest, plan: Plan) -> tuple[Gate, ...]:
    """Return the gates of the plan; the way back has none, and what was built before was tested then.

    Raises UsageError for a gate that there is not, RefusedError for one that must not be skipped.
    """
    known = skippable_names(environment.gates)
    for name in request.skip_gates:
        if name not in known:
            raise UsageError(f"there is no gate {name!r}", need=f"one of: {', '.join(known) or 'none is asked for'}")
        if name not in environment.may_skip:
            raise RefusedError(
                f"the gate {name} must not be skipped in {environment.name}",
                need=f"one of may_skip: {', '.join(environment.may_skip) or 'none'}",
                next=f"mend what it found, or add it to may_skip of {environment.name} in abreast.yml",
            )
    if request.kind is DeploymentKind.ROLLBACK:
        return ()
    built = [part.name for part in plan.rollouts if part.artifact is None]
    reason = f"{plan.author or '?'}: {request.reason}"
    return select_gates(environment.gates, built, request.skip_gates, reason) if plan.rollouts else ()


def _check_rollout_order(plan: Plan) -> None:
    try:
        rollout_waves(plan.rollouts)
    except ValueError as error:
        raise UsageError(
            f"these wait for each other's address: {error}",
            need="services whose `needs` and `routes` do not go round in a circle",
        ) from error


def _routes_between_services(ports: Ports, parts: Sequence[ServicePlan]) -> dict[str, list[str]]:
    """Return, by service, those with an address for each version that it leads its users to.

    Raises UsageError for one to which nobody leads: its users would stay where they are.
    """
    can = {
        part.name: _capabilities(ports, _effective_service(part)) for part in parts if part.action is not Action.REMOVE
    }
    moving = {part.name for part in parts if part.action is Action.DEPLOY and _may_change_address(ports, part)}
    routes = {name: [other for other in one.routes_to if other in moving] for name, one in can.items()}
    if alone := {name for name in can if can[name].address_per_version}.difference(
        *(one.routes_to for one in can.values())
    ):
        raise UsageError(
            f"each version of {min(alone)} has an address of its own, and no service leads users there",
            need=f"a service that does, such as one on netlify with `routes: {{/api/*: {min(alone)}}}`",
        )
    return routes


def _effective_service(part: ServicePlan) -> Service:
    """Return what users will have of a service: what is live, where it is kept."""
    return part.previous.definition if part.action is Action.KEEP and part.previous else part.service


def _may_change_address(ports: Ports, part: ServicePlan) -> bool:
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


async def _with_platform_state(ports: Ports, part: ServicePlan) -> ServicePlan:
    """Note what users reach now, for the way back."""
    if part.action is Action.KEEP:
        return part
    platform = ports.platforms[part.service.platform]
    version_before = await platform.live_version(part.service) if isinstance(platform, ReportsLiveVersion) else None
    notes = platform.capabilities(part.service).notes if part.action is Action.DEPLOY else part.notes
    reserved_url = ""
    if part.action is Action.DEPLOY and isinstance(platform, ReservesUrl):
        reserved_url = await platform.reserve_url(part.service, part.previous)
    if version_before and part.previous and not part.previous.version.handle.items() <= version_before.handle.items():
        notes += ("users reach what somebody else put there; the way back leads to that",)
    if part.action is Action.REMOVE and not platform.capabilities(part.service).can_unpublish:
        notes += (f"{platform.name} cannot take users off it: it stays, and abreast lets go of it",)
    return replace(part, version_before=version_before, notes=notes, reserved_url=reserved_url)


async def _plan_from_commit(
    ports: Ports, project: str, environment: Environment, request: DeployRequest,
    live: Mapping[str, LiveService], running: frozenset[str],
) -> Plan:  # fmt: skip
    commit = await asyncio.to_thread(ports.source.resolve_commit)
    bases = {name: request.since or one.commit for name, one in live.items()}
    changed = await asyncio.to_thread(changed_files_by_service, ports.source, environment.services, bases, commit)
    facts = {
        service.name: ServiceFacts(
            live.get(service.name), changed[service.name], service.name in running, request.force
        )
        for service in environment.services
    }
    parts = plan_services(
        environment.services, facts, commit, request.services, _platform_notes(ports, environment.services)
    )
    parts += plan_removals(live, facts, request.services)
    return _build_plan(ports, project, environment, request, "", commit, parts)


def _plan_from_release(
    ports: Ports, project: str, environment: Environment, request: DeployRequest,
    release: Release, live: Mapping[str, LiveService], running: frozenset[str],
) -> Plan:  # fmt: skip
    """Plan to bring back what a release had; its artifacts and definitions, as they were."""
    names = [service.name for service in environment.services]
    missing = [name for name in request.services if name not in release.parts]
    if missing:
        raise UsageError(f"release {release.version} has no {', '.join(missing)}", next="abreast history")
    notes = _platform_notes(ports, environment.services)
    parts = []
    for name in sorted(release.parts, key=lambda name: names.index(name) if name in names else len(names)):
        part, now = release.parts[name], live.get(name)
        selected = not request.services or name in request.services
        same = now and now.artifact == part.artifact and now.definition == part.definition and name in running
        action = Action.DEPLOY if selected and not same else Action.KEEP
        why = f"{now.release if now else 'nothing'} → {release.version}" if action is Action.DEPLOY else "as it is"
        parts.append(ServicePlan(part.definition, action, why, part.commit, part.artifact, now, notes.get(name, ())))
    gone = plan_removals(live, release.parts, request.services)
    return _build_plan(ports, project, environment, request, release.version, release.commit, (*parts, *gone))


def _build_plan(
    ports: Ports, project: str, environment: Environment, request: DeployRequest,
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
        force_rebuild=request.force,
        tag=environment.tag and request.kind is DeploymentKind.DEPLOY,
    )


def _requested_release(ports: Ports, environment: Environment, request: DeployRequest) -> Release:
    """Return the release that is meant: the one named, or the last good one before what is live."""
    if request.release:
        return ports.ledger.release(request.release)
    good = [
        deployment.release
        for deployment in ports.ledger.deployments(environment.name, limit=1000)
        if deployment.state is DeploymentState.SUCCEEDED
        and deployment.kind in {DeploymentKind.DEPLOY, DeploymentKind.ROLLBACK}
    ]
    older = [version for version in good if _release_number(version) < _release_number(good[0])] if good else []
    if not older:
        raise UsageError(
            f"there is no release before {good[0] if good else 'the first'} in {environment.name}",
            need="an earlier deployment that succeeded",
            next=f"abreast history --env {environment.name}",
        )
    return ports.ledger.release(older[0])


def _release_number(version: str) -> int:
    return int(version.removeprefix("v"))


async def _running_services(ports: Ports, live: Mapping[str, LiveService]) -> frozenset[str]:
    """Return the services whose live version its platform sees."""
    seen = set()
    for platform in {one.platform for one in live.values()} & ports.platforms.keys():
        ids = {one.version.id: one.service for one in live.values() if one.platform == platform}
        named = [
            VersionRef(one.definition, one.version.id, one.version.handle)
            for one in live.values()
            if one.platform == platform
        ]
        observations = await ports.platforms[platform].observe(named)
        seen |= {ids[version] for version, sighting in observations.items() if sighting.present}
    return frozenset(seen)


def _platform_notes(ports: Ports, services: Sequence[Service]) -> dict[str, tuple[str, ...]]:
    return {service.name: ports.platforms[service.platform].capabilities(service).notes for service in services}


def _check_services_exist(environment: Environment, names: Sequence[str]) -> None:
    known = [service.name for service in environment.services]
    for name in names:
        if name not in known:
            raise UsageError(f"there is no service {name!r}", need=f"one of: {', '.join(known)}")
