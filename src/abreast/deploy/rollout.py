"""A rollout prepares one service for the traffic switch: build, migrate, release command, stage, check."""

import asyncio
from collections.abc import Sequence
from functools import partial

from abreast.core.model import Chapter, Failure, Version
from abreast.core.plan import ServicePlan
from abreast.core.planner import stage_dependencies
from abreast.deploy.chapters.build import build_and_verify
from abreast.deploy.chapters.check import wait_until_healthy
from abreast.deploy.chapters.release_command import run_release_command
from abreast.deploy.chapters.stage import stage, supports_candidates
from abreast.deploy.data.candidate_check import check_on_database_copy
from abreast.deploy.data.migrate import back_up_and_migrate
from abreast.deploy.data.preview_database import make_preview_database, migrate_preview_database
from abreast.deploy.runtime.release_commands import runs_release_command_here
from abreast.deploy.runtime.run import Run
from abreast.ledger.interface import ReleasePart


async def roll_out(run: Run, part: ServicePlan) -> Version | Failure:
    """Return the service's healthy candidate, or the failure."""
    if failure := await make_preview_database(run, part):
        return failure
    built = await run.run_chapter(Chapter.BUILD, lambda: build_and_verify(run, part), ReleasePart, part.name)
    if isinstance(built, Failure):
        return built
    run.built[part.name].set_result(built)
    await _wait_for_prerequisites(run, part)
    if part.database_plan and part.database_plan.is_forward and (failure := await _migrate_database(run, part, built)):
        return failure
    if runs_release_command_here(run.ports.platforms, part.service) and (
        failure := await run.run_chapter(
            Chapter.RELEASE, lambda: run_release_command(run, part, built), None, part.name
        )
    ):
        return failure
    version = await run.run_chapter(Chapter.STAGE, lambda: stage(run, part, built), Version, part.name)
    if isinstance(version, Failure):
        return version
    if supports_candidates(run, part) and (
        failure := await run.run_chapter(Chapter.CHECK, lambda: wait_until_healthy(run, part, version), None, part.name)
    ):
        return failure
    run.mark_candidate_ready(version)
    return version


async def _migrate_database(run: Run, part: ServicePlan, built: ReleasePart) -> Failure | None:
    if part.service.database and part.service.database.copy:
        return await migrate_preview_database(run, part, built)
    return await back_up_and_migrate(run, part, built, partial(check_on_database_copy, run, part, built))


async def _wait_for_prerequisites(run: Run, part: ServicePlan) -> None:
    """Wait for all gates, the approval and the candidates that this one needs, or until the run halts."""
    others = [run.staged[name] for name in stage_dependencies(part, run.plan.rollouts) if name in run.staged]
    events = [event for event in (run.gates_passed, run.approved, *others) if not event.is_set()]
    # A build that fails must fail before any database is migrated.
    builds = [asyncio.shield(built) for built in run.built.values() if part.database_plan and not built.done()]
    if not events and not builds:
        return
    ready: asyncio.Future[object] = asyncio.ensure_future(_wait_for_all(events, builds))
    halted: asyncio.Future[object] = asyncio.ensure_future(run.halt.wait())
    await asyncio.wait([ready, halted], return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    halted.cancel()


async def _wait_for_all(events: Sequence[asyncio.Event], builds: Sequence[asyncio.Future[ReleasePart]]) -> None:
    await asyncio.gather(*(event.wait() for event in events), *builds)
