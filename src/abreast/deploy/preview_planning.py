"""Plan a preview: what a pull request did not change is shared with the environment that it is a preview of."""

from dataclasses import replace

from abreast.core.environment import Environment
from abreast.core.plan import Action, DeploymentKind, Plan, ServicePlan
from abreast.core.planner import ServiceFacts, share_services
from abreast.deploy.runtime.ports import Ports
from abreast.source.changed_files import changed_files_by_service


def share_with_base(ports: Ports, preview: Environment, plan: Plan, *, force: bool) -> Plan:
    """Return the plan of a preview, which uses those services of its base that it did not change as they are.

    A service that the preview has deployed before is its own from then on. An earlier release takes nothing away.
    """
    base = preview.base
    assert base
    if plan.kind is not DeploymentKind.DEPLOY or plan.release:
        return _with_services_of_later_releases(ports, preview, base, plan)
    live = ports.ledger.live_services(base.name)
    forks = {name: ports.source.merge_base(part.commit, plan.commit) for name, part in live.items()}
    since = {name: fork for name, fork in forks.items() if fork}
    changed = changed_files_by_service(ports.source, base.services, since, plan.commit)
    facts = {
        name: ServiceFacts(live.get(name), files if name in since else None, is_running=True, force=force)
        for name, files in changed.items()
    }
    own = [part for part in plan.services if part.name in facts]
    removed = [part for part in plan.services if part.name not in facts]
    definitions = {service.name: service for service in base.services}
    return replace(plan, services=(*share_services(own, facts, definitions, base.name), *removed))


def _with_services_of_later_releases(ports: Ports, preview: Environment, base: Environment, plan: Plan) -> Plan:
    """Return the plan of an earlier release, with what it does not have: it stays, or is shared."""
    why = f"not in {plan.release}"
    parts = [
        replace(part, action=Action.KEEP, why=why) if part.action is Action.REMOVE else part for part in plan.services
    ]
    known, live = {part.name for part in parts}, ports.ledger.live_services(base.name)
    shared = [
        ServicePlan(service, Action.KEEP, f"shared with {base.name}: {why}", plan.commit, shared=live[service.name])
        for service in preview.services
        if service.name in live.keys() - known
    ]
    return replace(plan, services=(*parts, *shared))
