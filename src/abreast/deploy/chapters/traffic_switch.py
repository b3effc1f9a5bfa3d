"""The traffic switch (the turn) and its reversal: one step per platform, all platforms in parallel."""

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from abreast.core.errors import UsageError
from abreast.core.model import Chapter, Failure, LiveService, Service, ServicePlan, Version
from abreast.deploy.chapters.check import wait_until_healthy, with_live_probes
from abreast.deploy.chapters.stage import supports_candidates
from abreast.deploy.runtime.child_environment import child_environment
from abreast.deploy.runtime.run import Run, only_failures
from abreast.ledger.interface import Release
from abreast.platforms.interface import TrafficMove


async def switch_traffic(run: Run, versions: Mapping[str, Version]) -> Failure | None:
    """Switch the traffic of every service to its new version, then record what is live. Raises PlatformError.

    Services without candidates switch first, since their new versions can still fail their checks.
    """
    ready = [part for part in run.plan.rollouts if supports_candidates(run, part)]
    unstaged = [part for part in run.plan.rollouts if part not in ready]
    await _apply_moves(run, [_forward_move(run, part, versions[part.name]) for part in unstaged])
    checked = await asyncio.gather(
        *(wait_until_healthy(run, part, with_live_probes(versions[part.name])) for part in unstaged)
    )
    if failures := only_failures(checked):
        return replace(failures[0], chapter=Chapter.TURN)
    removals = [TrafficMove(part.service, None) for part in run.plan.removals if _can_remove_users(run, part.service)]
    await _apply_moves(run, [*(TrafficMove(part.service, versions[part.name]) for part in ready), *removals])
    await _record_live(run, versions)
    return None


async def _record_live(run: Run, versions: Mapping[str, Version]) -> None:
    release = await asyncio.to_thread(run.ports.ledger.release, run.plan.release)
    now = run.ports.now()
    live = [_live_service(run, part, versions[part.name], release, now) for part in run.plan.rollouts]
    removed = [part.name for part in run.plan.removals]
    await asyncio.to_thread(run.ports.ledger.record_live_services, run.plan.deployment, live, removed)


def _live_service(run: Run, part: ServicePlan, version: Version, release: Release, now: str) -> LiveService:
    in_release = release.parts[part.name].artifact
    artifact = part.artifact or in_release
    # A service that another's rollback only redeploys keeps its own release.
    kept = part.previous if artifact != in_release else None
    return LiveService(
        service=part.name,
        platform=part.service.platform,
        release=kept.release if kept else release.version,
        commit=run.candidate_commit(part),
        artifact=artifact,
        deployment=run.plan.deployment,
        since=now,
        version=version,
        definition=part.service,
    )


async def switch_traffic_back(run: Run, names: Collection[str]) -> Failure | None:
    """Switch the traffic of the named services back, then record what is live. Raises PlatformError."""
    parts = [part for part in run.plan.traffic_changes if part.name in names]
    moves = [_backward_move(run, part) for part in parts]
    unremovable = [move.service for move in moves if not move.target and not _can_remove_users(run, move.service)]
    await _apply_moves(run, [move for move in moves if move.service not in unremovable], Chapter.TURN_BACK)
    if unremovable:
        service = unremovable[0]
        what = f"{service.name} has no previous version and {service.platform} cannot unpublish it: it stays live"
        return Failure(Chapter.TURN_BACK, what, service.name)
    live = [part.previous for part in parts if part.previous]
    removed = [part.name for part in parts if part.previous is None]
    await asyncio.to_thread(run.ports.ledger.record_live_services, run.plan.deployment, live, removed)
    return None


def _can_remove_users(run: Run, service: Service) -> bool:
    return run.ports.platforms[service.platform].capabilities(service).can_unpublish


def _forward_move(run: Run, part: ServicePlan, version: Version) -> TrafficMove:
    """Return the move to the new version, with the variables that it starts with."""
    env, secrets = child_environment(
        run.ports, part.service, run.plan.environment, run.plan.release, run.candidate_commit(part)
    )
    return TrafficMove(part.service, version, env, secrets, part.version_before)


def _backward_move(run: Run, part: ServicePlan) -> TrafficMove:
    """Return the move to the previous version, with its variables if all their values are still available."""
    live = part.previous
    if live is None:
        return TrafficMove(part.service, part.version_before)
    move = TrafficMove(live.definition, part.version_before or live.version)
    with contextlib.suppress(UsageError):
        env, secrets = child_environment(run.ports, live.definition, run.plan.environment, live.release, live.commit)
        move = replace(move, env=env, secrets=secrets)
    return move


async def _apply_moves(run: Run, moves: Sequence[TrafficMove], chapter: Chapter = Chapter.TURN) -> None:
    ordered = sorted(moves, key=lambda move: move.service.platform)
    batches = groupby(ordered, key=lambda move: move.service.platform)
    report = run.reporter(chapter)
    await asyncio.gather(*(run.ports.platforms[name].switch_traffic(list(batch), report) for name, batch in batches))
