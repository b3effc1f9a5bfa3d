"""Render's plans for services that run: what an instance of each has (https://render.com/pricing)."""

from abreast.core.model import Resources
from abreast.platforms.instance_sizes import InstanceSize, size_of

PLANS = (
    InstanceSize("starter", Resources(0.5, 512_000_000)),
    InstanceSize("standard", Resources(1, 2_000_000_000)),
    InstanceSize("pro", Resources(2, 4_000_000_000)),
    InstanceSize("pro_plus", Resources(4, 8_000_000_000)),
    InstanceSize("pro_max", Resources(4, 16_000_000_000)),
    InstanceSize("pro_ultra", Resources(8, 32_000_000_000)),
)
"""From the smallest on, in Render's decimal units. The free plan is none to choose: it sleeps."""


def plan_for(resources: Resources) -> str | None:
    """Return the plan that has these resources, None without any, or if no plan has them."""
    found = size_of(PLANS, resources) if resources else None
    return found.name if found else None
