"""What is kept of artifacts: what gates said of each, and how long it stays."""

from datetime import datetime, timedelta

from abreast.core.events import What
from abreast.deploy.run import Run
from abreast.ledger.interface import Part


def note_results(run: Run, made: Part) -> None:
    """Put down beside an artifact what the gates said of it."""
    if not run.plan.gates:
        return
    events = run.ports.ledger.events(run.plan.deployment)
    told = [one.data for one in events if one.what is What.JUDGED and one.service in {None, made.service}]
    results = [{key: one.get(key) for key in ("gate", "verdict", "why", "figures")} for one in told]
    run.ports.artifacts.note(made.artifact, made.service, results=results, tested=run.plan.release)


def tag(run: Run) -> None:
    """Give the release its tag in git, where the environment asks for it; raises UsageError where that is taken."""
    if run.plan.tag:
        release = run.ports.ledger.release(run.plan.release)
        run.ports.source.tag(release.version, release.commit, f"{run.plan.project} {release.version}")


def tidy(run: Run) -> int:
    """Take away artifacts that no live service, recent release or unfinished deployment has; returns how many."""
    ledger, kept = run.ports.ledger, run.ports.retention
    oldest = datetime.fromisoformat(run.ports.now()) - timedelta(seconds=kept.seconds)
    releases = ledger.releases(100_000)
    young = [one for one in releases[kept.releases :] if datetime.fromisoformat(one.created) >= oldest]
    stay = {part.artifact for one in (*releases[: kept.releases], *young) for part in one.parts.values()}
    return run.ports.artifacts.forget(stay | ledger.used())
