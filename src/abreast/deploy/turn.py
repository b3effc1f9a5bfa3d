"""The turn, and the turn back: all services of a platform move in one step, platforms side by side."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from itertools import groupby

from abreast.core.model import Live, ServicePlan, Version
from abreast.deploy.rollout import version_id
from abreast.deploy.run import Run
from abreast.ledger.interface import Release
from abreast.platforms.interface import Move


async def turn(run: Run, versions: Mapping[str, Version]) -> None:
    """Move users of every service to its new version, then record it; raises PlatformError."""
    parts = run.plan.rollouts
    gone = [part.name for part in run.plan.removals]
    away = [Move(part.service, None) for part in run.plan.removals]
    await _move(run, [*(Move(part.service, versions[part.name]) for part in parts), *away])
    release = await asyncio.to_thread(run.ports.ledger.release, run.plan.release)
    now = run.ports.now()
    lives = [_live(run, part, versions[part.name], release, now) for part in parts]
    await asyncio.to_thread(run.ports.ledger.went_live, run.plan.deployment, lives, gone)


def _live(run: Run, part: ServicePlan, version: Version, release: Release, now: str) -> Live:
    return Live(
        service=part.name,
        platform=part.service.platform,
        release=run.plan.release,
        commit=part.commit,
        artifact=release.parts[part.name].artifact,
        deployment=run.plan.deployment,
        since=now,
        version=version,
        definition=part.service,
    )


async def turn_back(run: Run, names: Collection[str]) -> None:
    """Move users of the named services to what they had before, then record it; raises PlatformError."""
    parts = [part for part in run.plan.changes if part.name in names]
    await _move(run, [_back(part) for part in parts])
    lives = [part.previous for part in parts if part.previous]
    gone = [part.name for part in parts if part.previous is None]
    await asyncio.to_thread(run.ports.ledger.went_live, run.plan.deployment, lives, gone)


def _back(part: ServicePlan) -> Move:
    if part.previous is None:
        return Move(part.service, None)
    return Move(part.previous.definition, part.previous.version)


async def _move(run: Run, moves: Sequence[Move]) -> None:
    ordered = sorted(moves, key=lambda move: move.service.platform)
    batches = groupby(ordered, key=lambda move: move.service.platform)
    await asyncio.gather(*(run.ports.platforms[name].turn(list(batch)) for name, batch in batches))


async def retire(run: Run, names: Collection[str], *, new: bool) -> None:
    """Take away the new versions of the named services, or those that they replaced; raises PlatformError."""
    parts = [part for part in run.plan.changes if part.name in names]
    going: dict[str, list[str]] = {}
    for part in parts:
        if new:
            going.setdefault(part.service.platform, []).append(version_id(part, run.plan.deployment))
        elif part.previous:
            going.setdefault(part.previous.platform, []).append(part.previous.version.id)
    await asyncio.gather(*(run.ports.platforms[name].retire(ids, run.plan.drain) for name, ids in going.items()))
