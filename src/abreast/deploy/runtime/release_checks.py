"""What has to be there before an earlier release is deployed: its variables, and its artifacts as they were built."""

import asyncio
from collections.abc import Collection, Iterator
from dataclasses import replace

from abreast.core.errors import AbreastError, ArtifactError, UsageError
from abreast.core.plan import Plan, ServicePlan
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.release_history import release_decisions


async def refuse_incomplete(ports: Ports, plan: Plan) -> tuple[AbreastError, ...]:
    """Return what the release of a plan needs and does not find here, nothing for a new release.

    An emergency leaves the artifacts to the chapter that takes them, which reads them too.
    """
    if not plan.release or not plan.kind.is_releasing:
        return ()
    return await asyncio.to_thread(lambda: tuple(_faults(ports, plan)))


def _faults(ports: Ports, plan: Plan) -> Iterator[AbreastError]:
    for part in plan.rollouts:
        try:
            ports.reveal_secrets(part.service)
        except UsageError as error:
            yield UsageError(f"{part.name} of {plan.release}: {error.what}", need=error.need, next=error.next)
        if plan.emergency or not part.artifact or not ports.artifacts.has(part.artifact):
            continue
        try:
            ports.artifacts.fetch(part.artifact)
        except ArtifactError as error:
            yield ArtifactError(f"{part.name} of {plan.release}: {error.what}", need=error.need, next=error.next)


def with_secret_notes(ports: Ports, plan: Plan) -> Plan:
    """Return the plan of an earlier release with what is said of secrets that have had a new value since it was live.

    Plain variables go back with a release. Secrets do not: the record has none, and an old one may not be valid.
    """
    decisions = release_decisions(ports.ledger, plan.environment, is_preview=bool(plan.base))
    before = next((decision.deployment for decision in decisions if decision.release == plan.release), "")
    compared = ports.ledger.compare_secrets(plan.environment, before) if before else {}
    changed = [name for name, is_same in compared.items() if is_same is False]
    parts = tuple(replace(part, notes=(*part.notes, *_secret_notes(part, changed))) for part in plan.services)
    return replace(plan, services=parts)


def _secret_notes(part: ServicePlan, changed: Collection[str]) -> Iterator[str]:
    newer = [name for name in part.service.secrets if f"{part.name}/{name}" in changed]
    if newer:
        yield f"secrets keep their present values, which are newer than the release: {', '.join(newer)}"
