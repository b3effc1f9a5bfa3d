"""The turn, and the turn back: all services of a platform move in one step, platforms side by side."""

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
    """Move users of every service to its new version, then record it; raises PlatformError.

    First those that come up only with users, since they can still fail, then all that stand ready.
    """
    ready = [part for part in run.plan.rollouts if supports_candidates(run, part)]
    waiting = [part for part in run.plan.rollouts if part not in ready]
    await _apply_moves(run, [_forward_move(run, part, versions[part.name]) for part in waiting])
    checked = await asyncio.gather(
        *(wait_until_healthy(run, part, with_live_probes(versions[part.name])) for part in waiting)
    )
    if failures := only_failures(checked):
        return replace(failures[0], chapter=Chapter.TURN)
    away = [TrafficMove(part.service, None) for part in run.plan.removals if _can_remove_users(run, part.service)]
    await _apply_moves(run, [*(TrafficMove(part.service, versions[part.name]) for part in ready), *away])
    await _record_live(run, versions)
    return None


async def _record_live(run: Run, versions: Mapping[str, Version]) -> None:
    release = await asyncio.to_thread(run.ports.ledger.release, run.plan.release)
    now = run.ports.now()
    lives = [_live_service(run, part, versions[part.name], release, now) for part in run.plan.rollouts]
    gone = [part.name for part in run.plan.removals]
    await asyncio.to_thread(run.ports.ledger.record_live_services, run.plan.deployment, lives, gone)


def _live_service(run: Run, part: ServicePlan, version: Version, release: Release, now: str) -> LiveService:
    in_release = release.parts[part.name].artifact
    artifact = part.artifact or in_release
    # One that was taken along with another's rollback is of the release that it was.
    stays = part.previous if artifact != in_release else None
    return LiveService(
        service=part.name,
        platform=part.service.platform,
        release=stays.release if stays else release.version,
        commit=run.candidate_commit(part),
        artifact=artifact,
        deployment=run.plan.deployment,
        since=now,
        version=version,
        definition=part.service,
    )


async def switch_traffic_back(run: Run, names: Collection[str]) -> Failure | None:
    """Move users of the named services to what they had before, then record it; raises PlatformError."""
    parts = [part for part in run.plan.traffic_changes if part.name in names]
    moves = [_backward_move(run, part) for part in parts]
    lost = [move.service for move in moves if not move.target and not _can_remove_users(run, move.service)]
    await _apply_moves(run, [move for move in moves if move.service not in lost], Chapter.TURN_BACK)
    if lost:
        what = f"users had nothing before, and {lost[0].platform} cannot take them off: {lost[0].name} stays as it is"
        return Failure(Chapter.TURN_BACK, what, lost[0].name)
    lives = [part.previous for part in parts if part.previous]
    gone = [part.name for part in parts if part.previous is None]
    await asyncio.to_thread(run.ports.ledger.record_live_services, run.plan.deployment, lives, gone)
    return None


def _can_remove_users(run: Run, service: Service) -> bool:
    return run.ports.platforms[service.platform].capabilities(service).can_unpublish


def _forward_move(run: Run, part: ServicePlan, version: Version) -> TrafficMove:
    """Return the move of a service that starts in the turn, with what it asks for."""
    env, secrets = child_environment(
        run.ports, part.service, run.plan.environment, run.plan.release, run.candidate_commit(part)
    )
    return TrafficMove(part.service, version, env, secrets, part.version_before)


def _backward_move(run: Run, part: ServicePlan) -> TrafficMove:
    """Return the move to what users had; its variables go along where all their values are still at hand."""
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
