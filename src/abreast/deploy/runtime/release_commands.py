"""Who runs a release command, and whether it is known to have succeeded, by the events of the ledger."""

from collections.abc import Mapping
from dataclasses import replace

from abreast.core.events import Event, EventKind
from abreast.core.model import Chapter, Service
from abreast.core.plan import Action, Plan, ServicePlan
from abreast.deploy.runtime.ports import Ports
from abreast.ledger.interface import Ledger
from abreast.platforms.interface import Platform

MAX_DEPLOYMENTS = 1000
"""How many deployments of an environment are looked at."""


def runs_release_command_here(platforms: Mapping[str, Platform], service: Service) -> bool:
    """Whether abreast runs the release command of a service. It has none, or its platform runs it, if not."""
    if service.release is None:
        return False
    return not platforms[service.platform].capabilities(service).runs_release_command


def with_release_command_notes(ports: Ports, plan: Plan) -> Plan:
    """Return the plan with what it does with each release command that runs here."""
    return replace(plan, services=tuple(_with_note(ports, plan, part) for part in plan.services))


def _with_note(ports: Ports, plan: Plan, part: ServicePlan) -> ServicePlan:
    command = part.service.release
    if part.action is not Action.DEPLOY or not command or not runs_release_command_here(ports.platforms, part.service):
        return part
    note = f"`{command.run}` runs here, once, before the new version starts"
    if ran := deployment_that_ran_it(ports.ledger, plan, part) if plan.release else "":
        note = f"`{command.run}` does not run again: it succeeded for {plan.release} in {ran}"
    return replace(part, notes=(*part.notes, note))


def deployment_that_ran_it(ledger: Ledger, plan: Plan, part: ServicePlan) -> str:
    """Return the first deployment in which the release command of the part's release succeeded, "" if none did."""
    release = _release_of(plan, part)
    known = [known for known in ledger.deployments(plan.environment, MAX_DEPLOYMENTS) if known.release == release]
    for deployment in reversed(known):
        if any(_is_success(event, part.name) for event in ledger.events(deployment.id)):
            return deployment.id
    return ""


def _release_of(plan: Plan, part: ServicePlan) -> str:
    """Return the release of what is deployed. A service that only follows others keeps its own."""
    follows = part.previous and part.routes_to and part.artifact == part.previous.artifact
    return part.previous.release if part.previous and follows else plan.release


def _is_success(event: Event, service: str) -> bool:
    return (event.chapter, event.kind, event.service) == (Chapter.RELEASE, EventKind.FINISHED, service)
