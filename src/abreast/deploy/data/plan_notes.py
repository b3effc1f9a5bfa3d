"""What the plan says of a service's database, beside what happens to it."""

from collections.abc import Iterator

from abreast.core.plan import DatabasePlan, ServicePlan
from abreast.deploy.runtime.ports import Ports

_REHEARSAL_NOTE = (
    "the rehearsal starts the new version on a copy of the database, and it can reach everything else: let it send "
    "nothing while ABREAST_REHEARSAL is set, or give it other variables with `rehearsal: {env: …}` of the database"
)


def database_notes(ports: Ports, part: ServicePlan, data: DatabasePlan, has_candidates: bool) -> Iterator[str]:
    """Yield what a person should know of the plan. ``has_candidates``: the platform can start one on a copy."""
    if part.service.database and part.service.database.copy:
        if data.copy_of is not None and part.previous:
            yield "what is in the preview's database now is lost: it cannot be migrated to this commit"
        return
    if data.is_forward and not has_candidates:
        what = part.strategy or part.service.platform
        yield f"the rehearsal cannot start it on the migrated copy: {what} has no candidates"
    if "backups" in ports.only_here:
        yield "its backup stays on this machine: `backups: {store: …}` keeps it where every machine reads it"
    if data.is_forward and _is_first_rehearsal(part):
        yield _REHEARSAL_NOTE
    if data.kept_reason:
        yield f"the schema is not reverted: {data.kept_reason}"


def _is_first_rehearsal(part: ServicePlan) -> bool:
    """Whether nobody has been told yet what a rehearsal does, by the plan of a release that is live."""
    database, live = part.service.database, part.previous
    known = live and live.definition.database and live.definition.database.has_migrations
    return bool(database and not database.rehearsal_env and not known)
