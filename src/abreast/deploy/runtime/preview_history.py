"""What the record says of previews: each lives from its first deployment until it is removed, and may live again."""

from collections.abc import Sequence
from itertools import takewhile

from abreast.core.events import EventKind
from abreast.core.frozen_dataclass import dataclass
from abreast.core.plan import Plan
from abreast.ledger.interface import Deployment, Ledger

MAX_DEPLOYMENTS = 1000
"""How many deployments back a preview is looked for."""


@dataclass(frozen=True, slots=True)
class PreviewLife:
    """The deployments of a preview with their plans, newest first, and whether it was removed after them."""

    deployments: Sequence[Deployment]
    plans: Sequence[Plan]
    is_over: bool


def latest_life(ledger: Ledger, environment: str) -> PreviewLife | None:
    """Return the latest life of a preview. None if it was never deployed, or was not a preview in all of it.

    An environment of its own can have a name like that of a preview, before or after ``preview`` is in abreast.yml.
    """
    found = ledger.deployments(environment, MAX_DEPLOYMENTS)
    earlier = takewhile(lambda deployment: not was_removed(ledger, deployment), found[1:])
    deployments = (*found[:1], *earlier)
    plans = [ledger.stored_plan(deployment.id) for deployment in deployments]
    if not plans or not all(plan.base for plan in plans):
        return None
    return PreviewLife(deployments, plans, was_removed(ledger, deployments[0]))


def plans_since_removal(ledger: Ledger, environment: str) -> Sequence[Plan]:
    """Return the plans of a preview's deployments, newest first, since it was removed last."""
    life = latest_life(ledger, environment)
    return () if life is None or life.is_over else life.plans


def was_removed(ledger: Ledger, deployment: Deployment) -> bool:
    """Whether the environment of a deployment was removed after it."""
    return any(event.kind is EventKind.REMOVED for event in ledger.events(deployment.id))
