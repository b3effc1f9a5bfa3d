"""Undo the migration of a failed deployment, if its files declare that safe; else record that the schema stays."""

import asyncio
from dataclasses import replace
from functools import partial

from abreast.core.events import EventKind
from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import Chapter, Failure
from abreast.core.plan import DatabasePlan, ServicePlan
from abreast.core.schema import migration_files
from abreast.deploy.data.migrate import reverse_migration
from abreast.deploy.data.migration_runner import migration_stem
from abreast.deploy.data.plan import has_changed_schema, migrations_at_commit
from abreast.deploy.runtime.run import Run


@dataclass(frozen=True, slots=True)
class SchemaLeftover:
    """Migrations that a failed deployment applied: how to revert them, or why they stay."""

    applied: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    kept_reason: str = ""


async def undo_failed_migration(run: Run, part: ServicePlan) -> str:
    """Revert the migrations of a failed deployment, or record and return why they stay; "" if none do."""
    events = await asyncio.to_thread(run.ports.ledger.events, run.plan.deployment)
    started = any(event.chapter is Chapter.MIGRATE and event.service == part.name for event in events)
    data = part.database_plan
    if not started or data is None or not data.is_forward:
        return ""
    if part.service.database and part.service.database.copy:
        return ""  # the next deployment of the preview migrates its database on, or makes it anew
    inspect = partial(asyncio.to_thread, _schema_leftover, run, part, data)
    leftover = await run.run_chapter(Chapter.SETTLE, inspect, SchemaLeftover, part.name, variant="left")
    if isinstance(leftover, Failure):
        return leftover.message
    if not leftover.applied:
        return ""
    kept_reason = leftover.kept_reason
    if not kept_reason:
        back = replace(data, up=(), down=leftover.down, since=part.commit)
        failure = await reverse_migration(run, replace(part, database_plan=back), run.built_part(part))
        kept_reason = failure.message if failure else ""
    if kept_reason:
        text = f"the schema keeps {', '.join(leftover.applied)}: {kept_reason}"
        await run.record(f"{part.name}/stays", EventKind.NOTE, text, service=part.name, chapter=Chapter.SETTLE)
    return kept_reason


def _schema_leftover(run: Run, part: ServicePlan, data: DatabasePlan) -> SchemaLeftover:
    used = part.service.database
    assert used
    live = run.ports.ledger.live_services(run.plan.environment).get(part.name)
    if live and live.deployment == run.plan.deployment:
        return SchemaLeftover()  # this service stays on its new version: only another one was turned back
    if used.command:
        ended = f"{part.name}/{Chapter.MIGRATE}/ended"
        completed = any(event.key == ended for event in run.ports.ledger.events(run.plan.deployment))
        if not completed or not has_changed_schema(run.ports, run.plan.deployment, part.name):
            return SchemaLeftover()  # any change is an earlier release's
        return SchemaLeftover(
            (f"`{used.command}`",), kept_reason="" if used.down and run.built_part(part) else "it has no `down`"
        )
    assert used.migrations
    ran = {migration_stem(migration.name) for migration in run.ports.open_database(part.service).applied_migrations()}
    applied = tuple(name for name in data.up if migration_stem(name) in ran)
    steps, why = migration_files.plan_down(applied, migrations_at_commit(run.ports, part.commit, used.migrations))
    return SchemaLeftover(applied, tuple(migration.name for migration in steps), why)
