"""The risk of a plan, from the plan itself and from what the ledger knows of earlier deployments."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from abreast.core.environment import Environment
from abreast.core.errors import AbreastError
from abreast.core.gates import COVERAGE
from abreast.core.model import Chapter
from abreast.core.plan import Action, DatabasePlan, DeploymentKind, Plan, ServicePlan
from abreast.core.risk import MigrationClass, RiskFacts, ServiceRiskFacts, assess_risk
from abreast.core.rollback import release_number
from abreast.core.states import DeploymentState
from abreast.deploy.runtime.platform_state import rollout_capabilities
from abreast.deploy.runtime.ports import Ports
from abreast.ledger.interface import PastRollout
from abreast.machine.cron_schedule import read_timezone

MAX_DEPLOYMENTS = 30
"""How many deployments of the environment are looked at."""

COUNTED_DEPLOYMENTS = 10
"""How many deployments of a service count for the share that failed."""

_FAILED = frozenset({DeploymentState.TURNED_BACK, DeploymentState.STUCK})
_WITHOUT_RISK = frozenset({DeploymentKind.REHEARSE, DeploymentKind.DRILL})
"""What changes nothing that users reach."""


def with_risk(ports: Ports, environment: Environment, plan: Plan) -> Plan:
    """Return the plan with its risk, None if it changes nothing."""
    if plan.is_empty or plan.superseded or plan.kind in _WITHOUT_RISK:
        return plan
    history = ports.ledger.past_rollouts(plan.environment, MAX_DEPLOYMENTS)
    parts = [part for part in plan.services if part.action is Action.DEPLOY or part.database_plan]
    services = tuple(_service_facts(ports, plan, part, history) for part in parts)
    zone = read_timezone(environment.freeze[0].timezone if environment.freeze else "UTC")
    moment = datetime.fromisoformat(ports.now()).astimezone(zone)
    facts = RiskFacts(services, moment, plan.emergency, tuple(_skipped(plan)))
    return replace(plan, risk=assess_risk(facts))


def broken_deployments(history: Sequence[PastRollout]) -> frozenset[str]:
    """Return the deployments of one service that failed, or that a later one rolled back; ``history`` is newest first.

    One that a person did not approve has not failed.
    """
    broken, rolled_back_to = set[str](), 0
    for past in history:
        if past.state in _FAILED and past.chapter is not Chapter.APPROVAL:
            broken.add(past.deployment)
        if past.state is not DeploymentState.SUCCEEDED:
            continue
        number = release_number(past.release)
        if past.kind is DeploymentKind.ROLLBACK:
            rolled_back_to = number
        elif rolled_back_to and number > rolled_back_to:
            broken.add(past.deployment)
        else:
            rolled_back_to = 0
    return frozenset(broken)


def _service_facts(ports: Ports, plan: Plan, part: ServicePlan, history: Sequence[PastRollout]) -> ServiceRiskFacts:
    own = [past for past in history if past.service == part.name]
    broken = broken_deployments(own)
    ended = [
        past for past in own if past.kind is DeploymentKind.DEPLOY and (past.state.is_final or past.state in _FAILED)
    ]
    counted = ended[:COUNTED_DEPLOYMENTS]
    changed = frozenset(file for file, _ in part.changed_files)
    before = frozenset[str]().union(*(past.changed_files for past in own if past.deployment in broken))
    is_rollout = part.action is Action.DEPLOY
    return ServiceRiskFacts(
        part.name,
        changed,
        tuple(sorted(changed & before)),
        _migration_class(part.database_plan, plan.kind),
        failed=sum(past.deployment in broken for past in counted),
        deployed=len(counted),
        is_first=is_rollout and part.previous is None and part.version_before is None,
        no_way_back=_no_way_back(ports, part) if is_rollout else "",
    )


def _migration_class(data: DatabasePlan | None, kind: DeploymentKind) -> MigrationClass:
    if data is None or data.copy_of is not None:  # a copy is a preview's own
        return MigrationClass.NONE
    if data.risks:
        return MigrationClass.BREAKING
    if data.irreversible or kind is DeploymentKind.RESTORE:
        return MigrationClass.IRREVERSIBLE
    if data.is_backward:
        return MigrationClass.BACKWARD
    if data.command:
        return MigrationClass.COMMAND
    return MigrationClass.REVERSIBLE if data.up else MigrationClass.NONE


def _no_way_back(ports: Ports, part: ServicePlan) -> str:
    """Return why the version that users reach now may not come back as it was, "" if it does."""
    if not rollout_capabilities(ports, part).has_candidates:
        what = part.strategy or part.service.platform
        return f"{what} has no candidate without users: it is checked once they are on it"
    if part.previous is None or not part.previous.artifact or part.version_before:  # its platform has it
        return ""
    with suppress(AbreastError):
        if not ports.artifacts.has(part.previous.artifact):
            return f"the artifact of {part.previous.release} is gone: it cannot be started again"
    return ""


def _skipped(plan: Plan) -> list[str]:
    """Return what a person skipped."""
    gates = [gate.key for gate in plan.gates if gate.skipped is not None]
    coverage = [
        f"{COVERAGE}/{gate.key}" for gate in plan.gates if gate.threshold and gate.threshold.skipped is not None
    ]
    freeze = ["freeze"] if plan.freeze_skipped is not None else []
    backups = [f"backup/{part.name}" for part in plan.services if part.database_plan and part.database_plan.unverified]
    return [*gates, *coverage, *freeze, *backups]
