"""What a deployment would do, and why: facts in, a plan's parts out."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from abreast.core.dependency_order import dependency_waves
from abreast.core.model import Action, LiveService, Service, ServicePlan


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """What is known of one service before planning.

    ``changed``: pairs of a file and the pattern that counts it, between what is live and the commit; None
    where that cannot be told. ``running``: its platform sees the live version. ``forced``: it is deployed anyway.
    """

    live: LiveService | None
    changed_files: Sequence[tuple[str, str]] | None
    is_running: bool
    force: bool = False


def plan_services(
    services: Sequence[Service],
    facts: Mapping[str, ServiceFacts],
    commit: str,
    only: Collection[str] = (),
    notes: Mapping[str, tuple[str, ...]] | None = None,
) -> tuple[ServicePlan, ...]:
    """Plan a deployment of ``commit``; ``only`` names services where not all are meant."""
    return tuple(
        _plan_service(service, facts[service.name], commit, only, (notes or {}).get(service.name, ()))
        for service in services
    )


def plan_removals(
    live: Mapping[str, LiveService], wanted: Collection[str], only: Collection[str] = ()
) -> tuple[ServicePlan, ...]:
    """Plan to take away what is live and not ``wanted``; nothing where just some services are meant."""
    return tuple(
        ServicePlan(one.definition, Action.REMOVE, "not in this release any more", one.commit, one.artifact, one)
        for name, one in live.items()
        if name not in wanted and not only
    )


def include_routing_services(
    parts: Sequence[ServicePlan], routes: Mapping[str, Collection[str]]
) -> tuple[ServicePlan, ...]:
    """Take along each service that leads its users to one which gets a new address; as it is live, if it is kept.

    ``leads``: by service, those with an address for each version that it leads its users to.
    """
    moving = {part.name for part in parts if part.action is Action.DEPLOY}
    return tuple(_redeploy_with_routes(part, tuple(moving.intersection(routes.get(part.name, ())))) for part in parts)


def stage_dependencies(part: ServicePlan, rollouts: Sequence[ServicePlan]) -> tuple[str, ...]:
    """Return whose candidates must be there before this one's is brought up.

    Those that it needs, and those to which it leads users, as long as their address is not settled with the plan.
    """
    unsettled = {one.name for one in rollouts if not one.reserved_url}
    return (*part.service.needs, *(name for name in part.routes_to if name in unsettled))


def rollout_waves(rollouts: Sequence[ServicePlan]) -> tuple[tuple[str, ...], ...]:
    """Group rollouts so that each comes after all it waits for; raises ValueError that names a circle."""
    return dependency_waves({part.name: stage_dependencies(part, rollouts) for part in rollouts})


def _redeploy_with_routes(part: ServicePlan, routes_to: tuple[str, ...]) -> ServicePlan:
    live = part.previous
    if not routes_to or part.action is Action.REMOVE or (part.action is Action.KEEP and live is None):
        return part
    if part.action is Action.DEPLOY or live is None:
        return replace(part, routes_to=routes_to)
    return replace(
        part,
        service=live.definition,
        action=Action.DEPLOY,
        why=f"as it is, since it leads users to the new address of {', '.join(routes_to)}",
        commit=live.commit,
        artifact=live.artifact,
        routes_to=routes_to,
    )


def _plan_service(
    service: Service, facts: ServiceFacts, commit: str, only: Collection[str], notes: tuple[str, ...]
) -> ServicePlan:
    why = None if only and service.name not in only else reason_to_deploy(service, facts)
    changed = tuple(facts.changed_files or ())
    if why:
        return ServicePlan(service, Action.DEPLOY, why, commit, previous=facts.live, notes=notes, changed_files=changed)
    kept = f"kept: not among --service {', '.join(sorted(only))}" if only and service.name not in only else ""
    live = facts.live
    return ServicePlan(
        service,
        Action.KEEP,
        kept or "no change since " + (f"{live.release} ({live.commit[:7]})" if live else "the start"),
        live.commit if live else commit,
        artifact=live.artifact if live else None,
        previous=live,
        notes=notes,
        changed_files=changed,
    )


def reason_to_deploy(service: Service, facts: ServiceFacts) -> str | None:
    """Say why a service must be deployed, None if what is live is what is wanted."""
    live = facts.live
    if live is None:
        return "never deployed here"
    if live.definition != service:
        return "its definition in abreast.yml changed: " + ", ".join(_changed_fields(live.definition, service))
    if facts.changed_files is None:
        return f"what changed since {live.commit[:7]} cannot be told: that commit is not in this repository"
    if facts.changed_files:
        (file, pattern), more = facts.changed_files[0], len(facts.changed_files) - 1
        return f"{file} changed ({pattern})" + (f" and {more} more" if more else "")
    if not facts.is_running:
        return f"{live.release} is not running"
    if facts.force:
        return "nothing changed; forced"
    return None


def _changed_fields(old: Service, new: Service) -> list[str]:
    return [name for name in Service.__slots__ if getattr(old, name) != getattr(new, name)]
