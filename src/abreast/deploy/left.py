"""What a deployment that failed left in a database: taken back where that is declared safe, told where it stays."""

import asyncio
from dataclasses import dataclass, replace
from functools import partial

from abreast.core import migrations
from abreast.core.events import What
from abreast.core.model import Chapter, DataPlan, Failure, ServicePlan
from abreast.deploy.course import changed_schema, folder
from abreast.deploy.migrate import reverse
from abreast.deploy.migrator import stem
from abreast.deploy.run import Run


@dataclass(frozen=True, slots=True)
class Left:
    """What a deployment that failed has brought to a database; what takes it back, or why it stays."""

    brought: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    stays: str = ""


async def left_behind(run: Run, part: ServicePlan) -> None:
    """After a failure, take back what the migration brought, if that is declared safe, or say that it stays."""
    events = await asyncio.to_thread(run.ports.ledger.events, run.plan.deployment)
    begun = any(one.chapter is Chapter.MIGRATE and one.service == part.name for one in events)
    data = part.data
    if not begun or data is None or not data.forward:
        return
    look = partial(asyncio.to_thread, _left, run, part, data)
    left = await run.chapter(Chapter.SETTLE, look, Left, part.name, turn="left")
    if isinstance(left, Failure) or not left.brought:
        return
    stays = left.stays
    if not stays:
        back = replace(data, up=(), down=left.down, since=part.commit)
        failure = await reverse(run, replace(part, data=back), run.made(part))
        stays = failure.what if failure else ""
    if stays:
        text = f"the schema stays as {', '.join(left.brought)} left it: {stays}"
        await run.tell(f"{part.name}/stays", What.NOTE, text, service=part.name, chapter=Chapter.SETTLE)


def _left(run: Run, part: ServicePlan, data: DataPlan) -> Left:
    used = part.service.database
    assert used
    live = run.ports.ledger.live(run.plan.environment).get(part.name)
    if live and live.deployment == run.plan.deployment:
        return Left()  # its new version stays, since another's failed alone
    if used.command:
        ended = f"{part.name}/{Chapter.MIGRATE}/ended"
        through = any(one.key == ended for one in run.ports.ledger.events(run.plan.deployment))
        if not through or not changed_schema(run.ports, run.plan.deployment, part.name):
            return Left()  # what an earlier release brought is not this one's to take back
        return Left((f"`{used.command}`",), stays="" if used.down and run.made(part) else "it has no `down`")
    assert used.migrations
    ran = {stem(one.name) for one in run.ports.database(part.service).applied()}
    brought = tuple(name for name in data.up if stem(name) in ran)
    steps, why = migrations.way_down(brought, folder(run.ports, part.commit, used.migrations))
    return Left(brought, tuple(one.name for one in steps), why)
