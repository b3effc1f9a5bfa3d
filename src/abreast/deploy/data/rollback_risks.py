"""Whether the release that a rollback leads to can run on the schema as it is."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from abreast.core.plan import ServicePlan
from abreast.core.schema.migration_files import Migration
from abreast.core.schema.sql_checks import find_risks
from abreast.core.states import DeploymentState
from abreast.database.interface import Database
from abreast.deploy.runtime.ports import Ports

MAX_DEPLOYMENTS = 200
"""How many deployments back a migration is looked for."""


def rollback_risks(
    ports: Ports, environment: str, part: ServicePlan, migrations: Sequence[Migration], database: Database
) -> tuple[str, ...]:
    """Return what of ``migrations``, which ran after a release, would break that release of a service.

    A migration may remove what the release just before it does not need, if it says so (``-- contract: REASON``). Of
    older releases, that says nothing.
    """
    judged = [_as_for(ports, environment, part, migration) for migration in migrations]
    found = find_risks(judged, database.engine, database.tables(), database.estimate_row_counts())
    return tuple(str(risk) for risk in found if not risk.only_waits)


def _as_for(ports: Ports, environment: str, part: ServicePlan, migration: Migration) -> Migration:
    """Return the migration as it is judged for a release: what it declares holds for the one that ran before it."""
    is_declared = migration.contract_reason and part.commit in _commits_before(ports, environment, part.name, migration)
    return migration if is_declared else replace(migration, contract_reason="")


def _commits_before(ports: Ports, environment: str, service: str, migration: Migration) -> Iterable[str]:
    """Yield the commits that were live of a service when a migration ran."""
    for deployment in ports.ledger.deployments(environment, MAX_DEPLOYMENTS):
        if deployment.state is not DeploymentState.SUCCEEDED:
            continue
        for ran in ports.ledger.stored_plan(deployment.id).services:
            if ran.name == service and ran.database_plan and migration.name in ran.database_plan.up and ran.previous:
                yield ran.previous.commit
