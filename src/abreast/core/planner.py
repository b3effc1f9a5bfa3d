"""Plan what a deployment does with each service, and why."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from abreast.core.dependency_order import dependency_waves
from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import DEFAULT_PLATFORM, LiveService, Service
from abreast.core.plan import Action, ServicePlan


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """The facts about one service before planning.

    ``changed_files``: (file, pattern) pairs between the live commit and the new one, None if unknown. ``is_running``:
    the platform reports the live version as running. ``force``: deploy without changes too.
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
    """Return the plan of each service for ``commit``. ``only`` limits it to some services, empty for all."""
    return tuple(
        _plan_service(service, facts[service.name], commit, only, (notes or {}).get(service.name, ()))
        for service in services
    )


def plan_removals(
    live: Mapping[str, LiveService], wanted: Collection[str], only: Collection[str] = ()
) -> tuple[ServicePlan, ...]:
    """Return the removal of live services that are not ``wanted``. Nothing is removed if ``only`` is set."""
    return tuple(
        ServicePlan(part.definition, Action.REMOVE, "no longer in this release", part.commit, part.artifact, part)
        for name, part in live.items()
        if name not in wanted and not only
    )


def with_takeovers(parts: Sequence[ServicePlan]) -> tuple[ServicePlan, ...]:
    """Return the parts; of those that are removed, with the service that is at the same place of a platform instead.

    Elsewhere than on this machine, a service is what its settings name there, whatever it is called in abreast.yml.
    """
    stays = [part for part in parts if part.action is not Action.REMOVE]
    return tuple(
        replace(part, taken_over_by=_taken_over_by(part.service, stays)) if part.action is Action.REMOVE else part
        for part in parts
    )


def _taken_over_by(service: Service, parts: Sequence[ServicePlan]) -> str:
    if service.platform == DEFAULT_PLATFORM or not service.settings:
        return ""
    place = service.platform, dict(service.settings)
    same = (part.name for part in parts if (part.service.platform, dict(part.service.settings)) == place)
    return next(same, "")


def include_routing_services(
    parts: Sequence[ServicePlan], routes: Mapping[str, Collection[str]]
) -> tuple[ServicePlan, ...]:
    """Redeploy the services that route to one with a new address. A kept service is redeployed as it is live.

    ``routes``: service to its targets that have an address per version.
    """
    moving = {part.name for part in parts if part.action is Action.DEPLOY}
    return tuple(_redeploy_with_routes(part, tuple(moving.intersection(routes.get(part.name, ())))) for part in parts)


def share_services(
    parts: Sequence[ServicePlan], base: Mapping[str, ServiceFacts], definitions: Mapping[str, Service], name: str
) -> tuple[ServicePlan, ...]:
    """Let a preview use the services of the environment ``name`` that it has not changed, and has not deployed itself.

    ``base``: the facts about each service there; ``definitions``: each as configured there.
    """
    return tuple(_share_service(part, base[part.name], definitions[part.name], name) for part in parts)


def _share_service(part: ServicePlan, base: ServiceFacts, definition: Service, name: str) -> ServicePlan:
    """Return the part, shared with the base if it is not needed here."""
    if part.previous or base.live is None:
        return part
    why = reason_to_deploy(definition, base) if part.action is Action.DEPLOY else None
    if why:
        return replace(part, why=why, changed_files=tuple(base.changed_files or ()))
    since = f"no change since {base.live.release} ({base.live.commit[:7]})"
    kept = since if part.action is Action.DEPLOY else part.why.removeprefix("kept: ")
    return replace(part, action=Action.KEEP, why=f"shared with {name}: {kept}", shared=base.live, notes=())


def stage_dependencies(part: ServicePlan, rollouts: Sequence[ServicePlan]) -> tuple[str, ...]:
    """Return the services whose candidates must be up before this one's.

    These are its ``needs``, and its route targets without a reserved address.
    """
    unsettled = {rollout.name for rollout in rollouts if not rollout.reserved_url}
    targets = (*part.service.routes.values(), *part.routes_to)
    return tuple(dict.fromkeys((*part.service.needs, *(name for name in targets if name in unsettled))))


def rollout_waves(rollouts: Sequence[ServicePlan]) -> tuple[tuple[str, ...], ...]:
    """Group rollouts into waves, each after its dependencies. Raises ValueError with a cycle."""
    return dependency_waves({part.name: stage_dependencies(part, rollouts) for part in rollouts})


def _redeploy_with_routes(part: ServicePlan, routes_to: tuple[str, ...]) -> ServicePlan:
    live = part.previous
    if routes_to and part.shared:
        why = f"it leads users to {', '.join(routes_to)}"
        return replace(part, action=Action.DEPLOY, why=why, routes_to=routes_to, shared=None)
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
    """Return why a service must be deployed, None if the live version is up to date."""
    live = facts.live
    if live is None:
        return "never deployed here"
    if live.definition != service:
        return "its definition in abreast.yml changed: " + ", ".join(_changed_fields(live.definition, service))
    if facts.changed_files is None:
        missing = "that commit is not in this repository (in a shallow clone: fetch-depth: 0)"
        return f"what changed since {live.commit[:7]} cannot be told: {missing}"
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
