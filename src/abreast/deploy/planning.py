"""Planning: decide what to deploy, in which order and why, from what is live, what changed and the request."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from abreast.core.backups import Backup
from abreast.core.environment import Environment
from abreast.core.errors import DatabaseStoppedError, RefusedError, UsageError
from abreast.core.freeze import FREEZE
from abreast.core.frozen_dataclass import dataclass
from abreast.core.gates import BACKUP, Gate, select_gates, skippable_names
from abreast.core.model import LiveService, Service
from abreast.core.plan import Action, DatabasePlan, DeploymentKind, Plan, ServicePlan
from abreast.core.planner import (
    ServiceFacts,
    include_routing_services,
    plan_removals,
    plan_services,
    rollout_waves,
    with_takeovers,
)
from abreast.core.proposals import Proposal
from abreast.core.rollback import release_number
from abreast.deploy.data.maintenance import with_maintenance
from abreast.deploy.data.plan import plan_database
from abreast.deploy.data.plan_notes import database_notes
from abreast.deploy.live_state import reached_services
from abreast.deploy.runtime.attestations import with_attestations
from abreast.deploy.runtime.built_in_flags import with_built_in_flag_notes
from abreast.deploy.runtime.commit_history import superseded_reason
from abreast.deploy.runtime.platform_state import (
    rollout_capabilities,
    routes_between_services,
    with_platform_state,
)
from abreast.deploy.runtime.platform_support import require_support
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.release_checks import with_secret_notes
from abreast.deploy.runtime.release_commands import with_release_command_notes
from abreast.deploy.runtime.release_origin import requested_release
from abreast.deploy.runtime.risk import with_risk
from abreast.ledger.interface import Release
from abreast.machine.lazy_modules import lazy_module
from abreast.source.changed_files import changed_files_by_service

if TYPE_CHECKING:  # what only a preview needs
    from abreast.deploy import preview_planning
    from abreast.deploy.data import preview_database, preview_variables
else:
    preview_planning = lazy_module("abreast.deploy.preview_planning")
    preview_database = lazy_module("abreast.deploy.data.preview_database")
    preview_variables = lazy_module("abreast.deploy.data.preview_variables")

MAX_ALTERNATIVES = 5
"""Maximum number of older backups that a restore tries if the newest is damaged."""


@dataclass(frozen=True, slots=True)
class DeployRequest:
    """What the user requests.

    ``release`` is an existing release to deploy. ``since`` is the commit to find changes from, instead of what
    is live. ``force`` includes unchanged services. ``backup`` is the backup to restore; "" is the newest
    verified one. ``allow_older`` deploys a commit although a newer one is live, or it was rolled back. ``emergency``
    waits for no person, and checks only what users need. ``proposal`` is what a person approved: nothing else may be
    deployed.
    """

    kind: DeploymentKind = DeploymentKind.DEPLOY
    services: tuple[str, ...] = ()
    since: str | None = None
    release: str | None = None
    reason: str = ""
    force: bool = False
    skip_gates: tuple[str, ...] = ()
    backup: str = ""
    allow_older: bool = False
    emergency: bool = False
    proposal: Proposal | None = None


async def plan_deployment(ports: Ports, project: str, environment: Environment, request: DeployRequest) -> Plan:
    """Return a plan without a deployment id. A new release gets its version when the plan is recorded.

    Raises UsageError for an unknown service, commit or release.
    """
    _check_services_exist(environment, request.services)
    live = await asyncio.to_thread(ports.ledger.live_services, environment.name)
    if not request.kind.is_releasing:
        data_only = await asyncio.to_thread(_plan_data_only, ports, project, environment, request, live)
        return await asyncio.to_thread(with_risk, ports, environment, with_maintenance(data_only))
    reached = await reached_services(ports.platforms, live.values())
    if request.kind is DeploymentKind.ROLLBACK or request.release:
        release, notes = await asyncio.to_thread(requested_release, ports, environment, request.release or "")
        running = reached.running - reached.replaced
        plan = _plan_from_release(ports, project, environment, request, release, live, running)
        plan = replace(plan, notes=notes)
    else:
        plan = await _plan_from_commit(ports, project, environment, request, live, reached.running)
    if environment.base:
        plan = await asyncio.to_thread(preview_planning.share_with_base, ports, environment, plan, force=request.force)
    parts = tuple(_with_replaced_note(part, environment.name, reached.replaced) for part in plan.services)
    parts = with_takeovers(include_routing_services(parts, routes_between_services(ports, parts)))
    for part in parts:
        if part.action is Action.DEPLOY:
            require_support(ports.platforms, part.service)
    plan = replace(plan, services=tuple(await asyncio.gather(*(with_platform_state(ports, part) for part in parts))))
    plan = await asyncio.to_thread(with_release_command_notes, ports, plan)
    if plan.release:
        plan = await asyncio.to_thread(with_secret_notes, ports, plan)
    plan = await asyncio.to_thread(with_built_in_flag_notes, ports, plan)
    _check_rollout_order(plan)
    if not request.backup:
        plan = with_maintenance(await asyncio.to_thread(_plan_databases, ports, environment, plan))
    if plan.traffic_changes and not request.allow_older:
        plan = replace(plan, superseded=await asyncio.to_thread(superseded_reason, ports, plan))
    if plan.awaits_approval and plan.traffic_changes:
        plan = replace(plan, authors=await asyncio.to_thread(_authors, ports, plan, request.proposal))
    gates = _plan_gates(environment, request, plan)
    if BACKUP in request.skip_gates:
        accepted = f"{plan.author or '?'}: {request.reason}"
        plan = replace(plan, services=tuple(_without_verification(part, accepted) for part in plan.services))
    if FREEZE in request.skip_gates:
        plan = replace(plan, freeze=(), freeze_skipped=f"{plan.author or '?'}: {request.reason}")
    plan = await asyncio.to_thread(with_risk, ports, environment, replace(plan, gates=gates))
    return await with_attestations(ports, plan)


def _with_replaced_note(part: ServicePlan, environment: str, replaced: frozenset[str]) -> ServicePlan:
    """Return the part, if it is kept and replaced, with the note that users reach what abreast did not deploy."""
    if part.name not in replaced or part.action is not Action.KEEP or part.previous is None:
        return part
    command = f"abreast deploy --env {environment} --service {part.name} --release {part.previous.release}"
    return replace(part, notes=(*part.notes, f"users reach a version that abreast did not deploy; next: {command}"))


def _without_verification(part: ServicePlan, accepted: str) -> ServicePlan:
    """Return the part with a migration that an unverified backup and a missing rehearsal do not stop."""
    data = part.database_plan
    if data is None or not data.is_forward:
        return part
    note = f"it is migrated without a rehearsal if its backup cannot be verified ({accepted})"
    return replace(part, database_plan=replace(data, unverified=accepted), notes=(*part.notes, note))


def _plan_databases(ports: Ports, environment: Environment, plan: Plan) -> Plan:
    """Return the plan with what it does to databases."""
    if environment.base:
        preview_variables.refuse_databases_of_base(ports, environment.base, plan)
    plan_one = preview_database.plan_preview_database if environment.base else plan_database
    parts = []
    for part in plan.services:
        try:
            data = plan_one(ports, plan.project, environment, part, plan.kind)
        except DatabaseStoppedError as error:  # only before the deployment, which starts it
            note = f"{error.what}: which migrations are pending shows when the deployment has started it"
            parts.append(replace(part, notes=(*part.notes, note)))
        else:
            parts.append(_with_server_note(ports, _with_database_plan(ports, part, data)))
    return replace(plan, services=tuple(parts))


def _with_server_note(ports: Ports, part: ServicePlan) -> ServicePlan:
    note = ports.servers.note([part.service]) if part.action is Action.DEPLOY else ""
    return replace(part, notes=(*part.notes, note)) if note else part


def _with_database_plan(ports: Ports, part: ServicePlan, data: DatabasePlan | None) -> ServicePlan:
    if data is None:
        return part
    has_candidates = rollout_capabilities(ports, part).has_candidates
    return replace(part, database_plan=data, notes=(*part.notes, *database_notes(ports, part, data, has_candidates)))


def _plan_data_only(
    ports: Ports, project: str, environment: Environment, request: DeployRequest, live: Mapping[str, LiveService]
) -> Plan:
    """Return a plan that changes databases only: of the current commit, or for a drill of what is live."""
    commit = ports.source.resolve_commit()
    services = {name: part.definition for name, part in live.items()} if request.kind is DeploymentKind.DRILL else {}
    parts = []
    for configured in environment.services:
        service, now = services.get(configured.name, configured), live.get(configured.name)
        # A migration command runs inside the live artifact.
        needs_artifact = request.kind is DeploymentKind.DRILL or (service.database and service.database.command)
        part_commit = now.commit if now and needs_artifact else commit
        part = ServicePlan(service, Action.DEPLOY, "database only", part_commit, now.artifact if now else None, now)
        selected = service.database and (not request.services or service.name in request.services)
        data = _requested_database_plan(ports, project, environment, request, part) if selected else None
        parts.append(replace(part, action=Action.KEEP, database_plan=data))
    newest = max((live_part.release for live_part in live.values()), key=release_number, default="v0")
    return _build_plan(ports, project, environment, request, newest, commit, tuple(parts))


def _requested_database_plan(
    ports: Ports, project: str, environment: Environment, request: DeployRequest, part: ServicePlan
) -> DatabasePlan | None:
    if request.kind is DeploymentKind.DRILL:
        command = bool(part.service.database and part.service.database.command)
        return DatabasePlan(environment.breaking, command=command, rto=environment.rto, rpo=environment.rpo)
    if request.kind is DeploymentKind.RESTORE:
        chosen = ports.open_vault().find_backup(environment.name, part.name, request.backup)
        alternatives = () if request.backup else _older_backups(ports, environment.name, chosen)
        return DatabasePlan(environment.breaking, restore=chosen.name, alternatives=alternatives)
    return plan_database(ports, project, environment, part, request.kind)


def _older_backups(ports: Ports, environment: str, chosen: Backup) -> tuple[str, ...]:
    """Return the names of the trusted backups before a chosen one, newest first."""
    known = ports.open_vault().list_backups(environment, chosen.service)
    return tuple(backup.name for backup in known if backup.is_trusted and backup.order < chosen.order)[
        :MAX_ALTERNATIVES
    ]


def _plan_gates(environment: Environment, request: DeployRequest, plan: Plan) -> tuple[Gate, ...]:
    """Return the gates of the plan: none for a rollback, and no tests of artifacts that already exist.

    Raises UsageError for an unknown gate to skip, RefusedError for one that must not be skipped.
    """
    known = skippable_names(environment.gates)
    if any(part.database_plan and part.database_plan.is_forward for part in plan.services):
        known = (*known, BACKUP)
    if plan.freeze:
        known = (*known, FREEZE)
    for name in request.skip_gates:
        if name not in known:
            raise UsageError(f"there is no gate {name!r}", need=f"one of: {', '.join(known) or 'none is configured'}")
        if name not in environment.may_skip:
            raise RefusedError(
                f"the gate {name} cannot be skipped in {environment.name}",
                need=f"one of may_skip: {', '.join(environment.may_skip) or 'none'}",
                next=f"fix what it found, or add it to may_skip of {environment.name} in abreast.yml",
            )
    if request.kind is DeploymentKind.ROLLBACK:
        return ()
    built = [part.name for part in plan.rollouts if part.artifact is None]
    reason = f"{plan.author or '?'}: {request.reason}"
    return select_gates(environment.gates, built, request.skip_gates, reason) if plan.rollouts else ()


def _authors(ports: Ports, plan: Plan, proposal: Proposal | None) -> tuple[str, ...]:
    """Return who starts the deployment, whose agent proposed it, and who wrote what it brings to users."""
    proposer = proposal.person if proposal else ""
    since = {part.previous.commit for part in plan.rollouts if part.previous}
    written = ports.source.commit_authors(since, plan.commit)
    return tuple(dict.fromkeys(filter(None, (ports.operator(), plan.author, proposer, *sorted(written)))))


def _check_rollout_order(plan: Plan) -> None:
    try:
        rollout_waves(plan.rollouts)
    except ValueError as error:
        raise UsageError(
            f"these services wait for each other: {error}",
            need="`needs` and `routes` without a cycle",
        ) from error


async def _plan_from_commit(
    ports: Ports, project: str, environment: Environment, request: DeployRequest,
    live: Mapping[str, LiveService], running: frozenset[str],
) -> Plan:  # fmt: skip
    commit = await asyncio.to_thread(ports.source.resolve_commit)
    bases = {name: request.since or part.commit for name, part in live.items()}
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
    """Return a plan that deploys an existing release: its artifacts and its service definitions."""
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
        why = f"{now.release if now else 'nothing'} → {release.version}" if action is Action.DEPLOY else "unchanged"
        parts.append(ServicePlan(part.definition, action, why, part.commit, part.artifact, now, notes.get(name, ())))
    gone = plan_removals(live, release.parts, request.services)
    return _build_plan(ports, project, environment, request, release.version, release.commit, (*parts, *gone))


def _build_plan(
    ports: Ports, project: str, environment: Environment, request: DeployRequest,
    release: str, commit: str, parts: tuple[ServicePlan, ...],
) -> Plan:  # fmt: skip
    approval = environment.approval if request.kind.is_releasing else None
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
        author=(ports.ci_run.actor if ports.ci_run else "") or ports.source.author(),
        run_url=ports.ci_run.url if ports.ci_run else "",
        force_rebuild=request.force,
        tag=environment.tag and request.kind is DeploymentKind.DEPLOY,
        approval=approval,
        emergency=request.emergency,
        freeze=environment.freeze if request.kind is DeploymentKind.DEPLOY else (),
        attested=environment.attested,
        lock_after_failure=environment.lock_after_failure and request.kind is DeploymentKind.DEPLOY,
        base=environment.base.name if environment.base else "",
        proposed_by=str(request.proposal) if request.proposal else "",
    )


def _platform_notes(ports: Ports, services: Sequence[Service]) -> dict[str, tuple[str, ...]]:
    return {service.name: ports.platforms[service.platform].capabilities(service).notes for service in services}


def _check_services_exist(environment: Environment, names: Sequence[str]) -> None:
    known = [service.name for service in environment.services]
    for name in names:
        if name not in known:
            raise UsageError(f"there is no service {name!r}", need=f"one of: {', '.join(known)}")
