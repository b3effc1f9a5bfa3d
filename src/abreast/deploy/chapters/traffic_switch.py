"""The traffic switch (the turn) and its reversal: one step per platform, all platforms in parallel."""

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from abreast.core.errors import AbreastError, PlatformError, StateError, UnknownVersionError, UsageError
from abreast.core.model import Chapter, Failure, LiveService, Service, Version
from abreast.core.plan import ServicePlan
from abreast.core.probes import ProbeResult, ProbeSeries, ProbeVerdict
from abreast.core.strategy import Strategy
from abreast.deploy.chapters.check import check_health, probe_interval, wait_until_healthy, with_live_probes
from abreast.deploy.chapters.stage import request_for_live, supports_candidates
from abreast.deploy.runtime.child_environment import child_environment
from abreast.deploy.runtime.run import Run, only_failures
from abreast.ledger.interface import Release
from abreast.machine.tasks import run_all
from abreast.platforms.interface import Observation, ReportsLiveVersion, TrafficMove, VersionRef


async def switch_traffic(run: Run, versions: Mapping[str, Version]) -> Failure | None:
    """Switch the traffic of every service to its new version, then record what is live. Raises PlatformError.

    Services without candidates switch first, since their new versions can still fail their checks.
    """
    has_candidate = {part.name: supports_candidates(run, part) for part in run.plan.rollouts}
    ready = [part for part in run.plan.rollouts if has_candidate[part.name]]
    unstaged = [part for part in run.plan.rollouts if not has_candidate[part.name]]
    await _apply_moves(run, [_forward_move(run, part, versions[part.name]) for part in unstaged])
    checked = await asyncio.gather(
        *(wait_until_healthy(run, part, with_live_probes(run, versions[part.name])) for part in unstaged)
    )
    if failures := only_failures(checked):
        return replace(failures[0], chapter=Chapter.TURN)
    removals = [
        TrafficMove(part.service, None)
        for part in run.plan.removals
        if not part.taken_over_by and _can_remove_users(run, part.service)
    ]
    await _apply_moves(run, [*(TrafficMove(part.service, versions[part.name]) for part in ready), *removals])
    await _record_live(run, versions, run.plan.rollouts, [part.name for part in run.plan.removals])
    return None


async def _record_live(
    run: Run, versions: Mapping[str, Version], parts: Sequence[ServicePlan], removed: Sequence[str] = ()
) -> None:
    release = await asyncio.to_thread(run.ports.ledger.release, run.plan.release)
    now = run.ports.now()
    live = [_live_service(run, part, versions[part.name], release, now) for part in parts]
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
    """Switch the traffic of the named services back, then record what is live. Raises PlatformError.

    A previous version that is gone is started again, and must answer. Returns a failure if one does not, or if users
    reach a first version that its platform cannot take off.
    """
    parts = [part for part in run.plan.traffic_changes if part.name in names]
    unremovable = [part for part in parts if await _is_unremovable(run, part)]
    staying = {part.name for part in unremovable}
    others = [part for part in parts if part.name not in staying]
    restored = await _switch_to_previous(run, others)
    # Where the platform told what was live before, it has also told that this is live again.
    unknown = [part for part in others if part.previous and not part.version_before]
    started_again = {
        part.name: part.strategy is Strategy.RECREATE or part.previous != restored[part.name] for part in unknown
    }
    answers = await asyncio.gather(
        *(_await_answer(run, restored[part.name], is_new=started_again[part.name]) for part in unknown)
    )
    for part, why in zip(unknown, answers, strict=True):
        if why and started_again[part.name]:
            return Failure(Chapter.TURN_BACK, f"the previous version was started again, but {why}", part.name)
        if why:
            await run.reporter(Chapter.TURN_BACK)(part.name, f"the previous version does not answer: {why}")
    if unremovable:
        part = unremovable[0]
        what = f"there is no previous version, and {part.service.platform} cannot unpublish the new one: it stays live"
        return Failure(Chapter.TURN_BACK, what, part.name)
    return None


async def switch_back_what_can_be(run: Run, names: Collection[str]) -> list[str]:
    """Switch each named service back on its own, record what is live, and return those that stay as they are."""
    staying = []
    for part in (part for part in run.plan.traffic_changes if part.name in names):
        failure = await _switch_back_alone(run, part)
        if failure:
            staying.append(part.name)
            await run.reporter(Chapter.TURN_BACK)(part.name, f"stays as it is: {failure}")
    return staying


async def _switch_back_alone(run: Run, part: ServicePlan) -> str:
    """Switch one service back and return "", or return why it stays as it is."""
    try:
        if await _is_unremovable(run, part):
            await _record_live(run, {part.name: run.candidates[part.name]}, [part])
            return f"{part.service.platform} cannot unpublish it"
        await _switch_to_previous(run, [part])
    except StateError:
        raise
    except AbreastError as error:
        return error.what
    return ""


async def _is_unremovable(run: Run, part: ServicePlan) -> bool:
    """Whether users reach a new version that has no predecessor, on a platform that cannot unpublish it."""
    if part.previous or part.version_before or _can_remove_users(run, part.service):
        return False
    platform, candidate = run.ports.platforms[part.service.platform], run.candidates.get(part.name)
    if candidate is None:
        return False
    if not isinstance(platform, ReportsLiveVersion):
        return True
    try:
        live = await platform.live_version(part.service)
    except UnknownVersionError:
        return True
    return live is not None and candidate.handle.items() <= live.handle.items()


async def _switch_to_previous(run: Run, parts: Sequence[ServicePlan]) -> dict[str, LiveService]:
    """Switch to the versions before the deployment, record them, and return them by service.

    Those that are gone are started again, unless the platform told that users reached another one.
    Raises PlatformError, or UsageError that names the secrets that have no value any more.
    """
    restored = {
        part.name: part.previous if part.version_before else await _ensure_present(run, part.previous, part.strategy)
        for part in parts
        if part.previous
    }
    moves = [_backward_move(run, part, restored.get(part.name)) for part in parts if not part.taken_over_by]
    await _apply_moves(run, moves, Chapter.TURN_BACK)
    removed = [part.name for part in parts if part.previous is None]
    live = list(restored.values())
    await asyncio.to_thread(run.ports.ledger.record_live_services, run.plan.deployment, live, removed)
    return restored


async def _ensure_present(run: Run, live: LiveService, strategy: Strategy | None) -> LiveService:
    """Start a previous version again if it is gone, such as after a power failure. Return it as it runs now.

    If the new version has to stop first, the traffic switch starts it.
    """
    platform, version = run.ports.platforms[live.platform], live.version
    if not platform.capabilities(live.definition).has_candidates:
        return live  # the traffic switch starts it
    observed = await platform.observe([VersionRef(live.definition, version.id, version.handle)])
    if observed[version.id].present:
        return live
    report = run.reporter(Chapter.TURN_BACK)
    await report(live.service, "the previous version is gone: starting it again")
    return replace(live, version=await platform.stage(await request_for_live(run, live, strategy), report))


async def _await_answer(run: Run, live: LiveService, *, is_new: bool) -> str:
    """Wait until a previous version answers; return why it does not, "" if it does.

    One whose processes are new has to stay healthy, as when it was a candidate.
    """
    version, health = with_live_probes(run, live.version), live.definition.health
    platform = run.ports.platforms[live.platform]
    series = ProbeSeries(health.start, health.hold if is_new else 0.0)
    clock = asyncio.get_running_loop().time
    began = clock()
    while series.verdict is ProbeVerdict.OPEN:
        observed = Observation(present=True)
        with contextlib.suppress(PlatformError):  # then its addresses are as recorded
            reference = VersionRef(live.definition, version.id, version.handle)
            observed = (await platform.observe([reference]))[version.id]
        version = replace(version, probes=observed.probes or version.probes)
        found = await check_health(run, live.definition, version, live.commit, observed)
        series = series.with_result(ProbeResult(clock() - began, found.success, found.why, found.final))
        if series.verdict is ProbeVerdict.OPEN:
            await asyncio.sleep(probe_interval(run, live.definition))
    return "" if series.verdict is ProbeVerdict.PASSED else series.why


def _can_remove_users(run: Run, service: Service) -> bool:
    return run.ports.platforms[service.platform].capabilities(service).can_unpublish


def _forward_move(run: Run, part: ServicePlan, version: Version) -> TrafficMove:
    """Return the move to the new version, with the variables that it starts with."""
    env, secrets = child_environment(
        run.ports, part.service, run.plan.environment, run.plan.release, run.candidate_commit(part)
    )
    return TrafficMove(part.rollout_service, version, env, secrets, part.version_before, run.plan.drain)


def _backward_move(run: Run, part: ServicePlan, live: LiveService | None) -> TrafficMove:
    """Return the move to the previous version, with its variables if all their values are still available."""
    if live is None:
        return TrafficMove(part.service, part.version_before)
    move = TrafficMove(live.definition, part.version_before or live.version, drain=run.plan.drain)
    with contextlib.suppress(UsageError):
        env, secrets = child_environment(run.ports, live.definition, run.plan.environment, live.release, live.commit)
        move = replace(move, env=env, secrets=secrets)
    return move


async def _apply_moves(run: Run, moves: Sequence[TrafficMove], chapter: Chapter = Chapter.TURN) -> None:
    """Apply the moves of all platforms. Raises the first error once every platform has ended: nothing goes on."""
    ordered = sorted(moves, key=lambda move: move.service.platform)
    batches = groupby(ordered, key=lambda move: move.service.platform)
    report = run.reporter(chapter)
    await run_all(*(run.ports.platforms[name].switch_traffic(list(batch), report) for name, batch in batches))
