"""Flags that a frontend was built with: another environment, or a later value, does not change them."""

from collections.abc import Iterator
from dataclasses import replace

from abreast.core.errors import UsageError
from abreast.core.flags import ALL_FLAGS, differing_flags, flag_variable, flag_word
from abreast.core.plan import Action, Plan, ServicePlan
from abreast.deploy.runtime.ports import Ports
from abreast.source.changed_files import build_input_files


def with_built_in_flag_notes(ports: Ports, plan: Plan) -> Plan:
    """Return the plan with the flags of existing artifacts that are others than those of the environment."""
    return replace(plan, services=tuple(_with_notes(ports, plan, part) for part in plan.services))


def _with_notes(ports: Ports, plan: Plan, part: ServicePlan) -> ServicePlan:
    if (
        part.action is not Action.DEPLOY
        or not part.artifact
        or part.service.run
        or not ports.artifacts.has(part.artifact)
    ):
        return part
    return replace(part, notes=(*part.notes, *_notes(ports, plan, part, part.artifact)))


def _notes(ports: Ports, plan: Plan, part: ServicePlan, artifact: str) -> Iterator[str]:
    built = ports.artifacts.metadata(artifact, part.name).get("flags", {})
    differing = list(differing_flags(built, part.service.flags))
    read = _variables_that_are_read(ports, part, [name for name, _, _ in differing])
    for name, before, after in differing:
        if {ALL_FLAGS, flag_variable(name)} & read:
            yield (
                f"it was built with the flag {name} {flag_word(before)}, and is not built again: "
                f"it does not become {flag_word(after)}, which is what {plan.environment} has"
            )


def _variables_that_are_read(ports: Ports, part: ServicePlan, flags: list[str]) -> set[str]:
    """Return which variables of flags the code may read, since a file or the build command names them."""
    if not flags:
        return set()
    names = {ALL_FLAGS, *map(flag_variable, flags)}
    in_command = {name for name in names if name in (part.service.build.run or "")}
    try:
        inputs = build_input_files(ports.source, part.service, part.commit)
        mentions = ports.source.find_mentions(part.commit, names)
    except UsageError:  # a commit that this clone does not have: say rather too much
        return names
    return in_command | {name for name, files in mentions.items() if not files.isdisjoint(inputs)}
