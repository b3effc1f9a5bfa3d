"""The turn, and the turn back: all services of a platform move in one step, platforms side by side."""

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from abreast.core.errors import UsageError
from abreast.core.model import Chapter, Failure, Live, Service, ServicePlan, Version
from abreast.deploy.rollout import check, comes_without_users, version_id, with_users
from abreast.deploy.run import Run, only_failures
from abreast.deploy.surroundings import surroundings
from abreast.ledger.interface import Release
from abreast.platforms.interface import TrafficMove, VersionRef


async def turn(run: Run, versions: Mapping[str, Version]) -> Failure | None:
    """Move users of every service to its new version, then record it; raises PlatformError.

    First those that come up only with users, since they can still fail, then all that stand ready.
    """
    ready = [part for part in run.plan.rollouts if comes_without_users(run, part)]
    waiting = [part for part in run.plan.rollouts if part not in ready]
    await _move(run, [_forth(run, part, versions[part.name]) for part in waiting])
    checked = await asyncio.gather(*(check(run, part, with_users(versions[part.name])) for part in waiting))
    if failures := only_failures(checked):
        return replace(failures[0], chapter=Chapter.TURN)
    away = [TrafficMove(part.service, None) for part in run.plan.removals if _empties(run, part.service)]
    await _move(run, [*(TrafficMove(part.service, versions[part.name]) for part in ready), *away])
    await _record(run, versions)
    return None


async def _record(run: Run, versions: Mapping[str, Version]) -> None:
    release = await asyncio.to_thread(run.ports.ledger.release, run.plan.release)
    now = run.ports.now()
    lives = [_live(run, part, versions[part.name], release, now) for part in run.plan.rollouts]
    gone = [part.name for part in run.plan.removals]
    await asyncio.to_thread(run.ports.ledger.went_live, run.plan.deployment, lives, gone)


def _live(run: Run, part: ServicePlan, version: Version, release: Release, now: str) -> Live:
    in_release = release.parts[part.name].artifact
    artifact = part.artifact or in_release
    # One that was taken along with another's rollback is of the release that it was.
    stays = part.previous if artifact != in_release else None
    return Live(
        service=part.name,
        platform=part.service.platform,
        release=stays.release if stays else release.version,
        commit=run.commit_of(part),
        artifact=artifact,
        deployment=run.plan.deployment,
        since=now,
        version=version,
        definition=part.service,
    )


async def turn_back(run: Run, names: Collection[str]) -> Failure | None:
    """Move users of the named services to what they had before, then record it; raises PlatformError."""
    parts = [part for part in run.plan.changes if part.name in names]
    moves = [_back(run, part) for part in parts]
    lost = [move.service for move in moves if not move.target and not _empties(run, move.service)]
    await _move(run, [move for move in moves if move.service not in lost], Chapter.TURN_BACK)
    if lost:
        what = f"users had nothing before, and {lost[0].platform} cannot take them off: {lost[0].name} stays as it is"
        return Failure(Chapter.TURN_BACK, what, lost[0].name)
    lives = [part.previous for part in parts if part.previous]
    gone = [part.name for part in parts if part.previous is None]
    await asyncio.to_thread(run.ports.ledger.went_live, run.plan.deployment, lives, gone)
    return None


def _empties(run: Run, service: Service) -> bool:
    return run.ports.platforms[service.platform].capabilities(service).can_unpublish


def _forth(run: Run, part: ServicePlan, version: Version) -> TrafficMove:
    """Return the move of a service that starts in the turn, with what it asks for."""
    env, secrets = surroundings(run.ports, part.service, run.plan.environment, run.plan.release, run.commit_of(part))
    return TrafficMove(part.service, version, env, secrets, part.before)


def _back(run: Run, part: ServicePlan) -> TrafficMove:
    """Return the move to what users had; its variables go along where all their values are still at hand."""
    live = part.previous
    if live is None:
        return TrafficMove(part.service, part.before)
    move = TrafficMove(live.definition, part.before or live.version)
    with contextlib.suppress(UsageError):
        env, secrets = surroundings(run.ports, live.definition, run.plan.environment, live.release, live.commit)
        move = replace(move, env=env, secrets=secrets)
    return move


async def _move(run: Run, moves: Sequence[TrafficMove], chapter: Chapter = Chapter.TURN) -> None:
    ordered = sorted(moves, key=lambda move: move.service.platform)
    batches = groupby(ordered, key=lambda move: move.service.platform)
    tell = run.teller(chapter)
    await asyncio.gather(*(run.ports.platforms[name].switch_traffic(list(batch), tell) for name, batch in batches))


async def retire(run: Run, names: Collection[str], drain: float, *, new: bool) -> None:
    """Take away the new versions of the named services, or those that they replaced; raises PlatformError.

    ``drain`` seconds at most for what is in flight.
    """
    parts = [part for part in run.plan.changes if part.name in names]
    going: dict[str, list[VersionRef]] = {}
    for part in parts:
        if new:
            going.setdefault(part.service.platform, []).append(
                VersionRef(part.service, version_id(part, run.plan.deployment))
            )
        elif part.previous:
            going.setdefault(part.previous.platform, []).append(
                VersionRef(part.previous.definition, part.previous.version.id)
            )
    await asyncio.gather(*(run.ports.platforms[name].retire(versions, drain) for name, versions in going.items()))
