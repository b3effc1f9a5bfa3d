"""How a deployment could be undone: what ``abreast rollback`` would do, or why there is no way back."""

from collections.abc import Iterator

from abreast.core.plan import Action, DatabasePlan, DeploymentKind, Plan, ServicePlan
from abreast.core.rollback import release_number, unlock_command
from abreast.core.strategy import Strategy


def way_back(plan: Plan) -> Iterator[str]:
    """Yield what a rollback of a deployment does, a line for each service and each database; the command first."""
    if plan.kind in {DeploymentKind.MIGRATE, DeploymentKind.RESTORE}:
        yield f"the backup that was made first: abreast db restore --env {plan.environment}"
        return
    if command := way_back_command(plan):
        yield command
    for part in plan.traffic_changes:
        yield f"{part.name}: {_service_way_back(part)}"
    for part in plan.database_changes:
        assert part.database_plan
        yield from (f"database of {part.name}: {text}" for text in _database_way_back(part, part.database_plan))


def way_back_command(plan: Plan) -> str:
    """Return the command that leads back to what is live now, "" if nothing is."""
    releases = [part.previous.release for part in plan.traffic_changes if part.previous]
    if not releases:
        return ""
    newest = max(releases, key=release_number)
    command = f"abreast rollback --env {plan.environment} --to {newest} --reason …"
    is_kept_out = plan.kind is DeploymentKind.ROLLBACK
    return f"{unlock_command(plan.environment, newest)}, then: {command}" if is_kept_out else command


def _service_way_back(part: ServicePlan) -> str:
    before = part.previous
    if before is None:
        return "none: nothing of it was live before"
    verb = "comes back as" if part.action is Action.REMOVE else "back to"
    longer = ", which starts when this one has stopped" if part.strategy is Strategy.RECREATE else ""
    return f"{verb} {before.release}, artifact {before.artifact or 'of its platform'}{longer}"


def _database_way_back(part: ServicePlan, data: DatabasePlan) -> Iterator[str]:
    used = part.service.database
    for name in data.up:
        if name in data.irreversible:
            yield f"{name} stays: no safe down step reverses it; abreast rollback --restore-data restores the backup"
        else:
            yield f"{name} is reversed, after a backup"
    if data.command and used:
        yield f"`{used.down}` runs, after a backup" if used.down else f"`{used.command}` stays: it has no `down`"
    yield from (f"{name} runs again with the newer release" for name in data.down)
