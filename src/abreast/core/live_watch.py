"""When what is live counts as degraded, and when as recovered, by a series of looks at it."""

from collections.abc import Mapping
from dataclasses import field

from abreast.core.frozen_dataclass import dataclass
from abreast.core.probes import FAILURE_THRESHOLD


@dataclass(frozen=True, slots=True)
class LiveWatch:
    """The services that are degraded, with what is wrong, and how often each was found otherwise in a row.

    A service changes sides after FAILURE_THRESHOLD looks in a row, so that one lost packet alarms nobody.
    """

    degraded: Mapping[str, str] = field(default_factory=dict)
    streaks: Mapping[str, int] = field(default_factory=dict)

    def with_look(self, faults: Mapping[str, str], services: frozenset[str]) -> "LiveWatch":
        """Return the watch after one more look at ``services``: ``faults`` says what is wrong with those not well."""
        streaks, degraded = dict[str, int](), dict(self.degraded)
        for service in services:
            if (service in faults) is (service in self.degraded):
                continue
            streak = self.streaks.get(service, 0) + 1
            if streak < FAILURE_THRESHOLD:
                streaks[service] = streak
            elif service in faults:
                degraded[service] = faults[service]
            else:
                del degraded[service]
        known = {service: fault for service, fault in degraded.items() if service in services}
        return LiveWatch(known, streaks)


def describe_change(before: LiveWatch, after: LiveWatch) -> str:
    """Return what became worse or better between two looks, "" if nothing did."""
    worse = [f"{service}: {fault}" for service, fault in after.degraded.items() if service not in before.degraded]
    better = [f"{service} answers again" for service in before.degraded if service not in after.degraded]
    return "; ".join((*worse, *better))
