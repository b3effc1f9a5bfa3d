"""Settle: old versions are retired, the release is tagged, and artifacts that nobody needs are pruned."""

import asyncio
from collections.abc import Collection
from datetime import datetime, timedelta

from abreast.deploy.chapters.stage import version_id
from abreast.deploy.runtime.run import Run
from abreast.platforms.interface import VersionRef


async def retire_versions(run: Run, names: Collection[str], drain: float, *, new: bool) -> None:
    """Take away the new versions of the named services, or those that they replaced; raises PlatformError.

    ``drain`` seconds at most for what is in flight.
    """
    parts = [part for part in run.plan.traffic_changes if part.name in names]
    retired: dict[str, list[VersionRef]] = {}
    for part in parts:
        if new:
            retired.setdefault(part.service.platform, []).append(
                VersionRef(part.service, version_id(part, run.plan.deployment))
            )
        elif part.previous:
            retired.setdefault(part.previous.platform, []).append(
                VersionRef(part.previous.definition, part.previous.version.id)
            )
    await asyncio.gather(*(run.ports.platforms[name].retire(versions, drain) for name, versions in retired.items()))


def tag_release(run: Run) -> None:
    """Give the release its tag in git, where the environment asks for it; raises UsageError where that is taken."""
    if run.plan.tag:
        release = run.ports.ledger.release(run.plan.release)
        run.ports.source.tag(release.version, release.commit, f"{run.plan.project} {release.version}")


def prune_artifacts(run: Run) -> int:
    """Take away artifacts that no live service, recent release or unfinished deployment has; returns how many."""
    ledger, retention = run.ports.ledger, run.ports.retention
    oldest = datetime.fromisoformat(run.ports.now()) - timedelta(seconds=retention.keep_within)
    releases = ledger.releases(100_000)
    young = [one for one in releases[retention.keep_last :] if datetime.fromisoformat(one.created) >= oldest]
    needed = {part.artifact for one in (*releases[: retention.keep_last], *young) for part in one.parts.values()}
    return run.ports.artifacts.prune(needed | ledger.artifacts_in_use())
