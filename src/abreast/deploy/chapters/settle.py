"""Settle: retire previous versions, tag the release, prune artifacts."""

from collections.abc import Collection
from contextlib import suppress
from datetime import datetime, timedelta

from abreast.core.errors import ArtifactError
from abreast.deploy.chapters.stage import version_id
from abreast.deploy.runtime.run import Run
from abreast.machine.tasks import run_all
from abreast.platforms.interface import VersionRef


async def retire_versions(run: Run, names: Collection[str], drain: float, *, new: bool) -> None:
    """Retire the new versions of the named services (``new``), or their previous ones. Raises PlatformError.

    Requests in flight have ``drain`` seconds to finish.
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
    await run_all(*(run.ports.platforms[name].retire(versions, drain) for name, versions in retired.items()))


def tag_release(run: Run) -> None:
    """Tag the release in git, if the environment asks for it. Raises UsageError if the tag exists elsewhere."""
    if run.plan.tag:
        release = run.ports.ledger.release(run.plan.release)
        run.ports.source.tag(release.version, release.commit, f"{run.plan.project} {release.version}")


def prune_artifacts(run: Run) -> int:
    """Delete artifacts, and environments, of no live service, recent release or unfinished deployment.

    Then copy dependencies for the next one: users have this release by now. Returns the number of artifacts.
    """
    ledger, retention = run.ports.ledger, run.ports.retention
    oldest = datetime.fromisoformat(run.ports.now()) - timedelta(seconds=retention.keep_within)
    releases = ledger.releases(100_000)
    recent = [
        release for release in releases[retention.keep_last :] if datetime.fromisoformat(release.created) >= oldest
    ]
    needed = {
        part.artifact for release in (*releases[: retention.keep_last], *recent) for part in release.parts.values()
    }
    needed |= ledger.artifacts_in_use()
    run.ports.installs.prune(needed)
    with suppress(ArtifactError, OSError):  # the next build copies them itself
        run.ports.installs.prepare()
    return run.ports.artifacts.prune(needed)
