"""Who may approve, with groups resolved to people; and where releases are promoted from."""

from collections.abc import Iterator

from abreast.config import schema
from abreast.config.environment_schema import Approval, Environment
from abreast.config.fault_messages import suggestion
from abreast.config.yaml_document import Document
from abreast.core.approvals.rule import ApprovalRule
from abreast.core.errors import Fault


def resolve_approval(project: schema.Project, environment: Environment) -> ApprovalRule | None:
    """Return the rule of an environment, None if it needs no approval."""
    config = environment.approval
    if config is None:
        return None
    return ApprovalRule(
        config.required, _people(project, config), config.not_author, config.expires, config.url or "",
        environment.identity is not None,
    )  # fmt: skip


def approval_faults(document: Document, project: schema.Project) -> Iterator[Fault]:
    """Yield people who are unknown, and environments to which nobody could deploy, since too few people may approve."""
    yield from _unknown_people(document, project)
    for name, environment in project.environments.items():
        if environment.approval is None:
            continue
        people = _people(project, environment.approval)
        if len(people) < environment.approval.required:
            text = f"expected at least {environment.approval.required} people, found {len(people)}: {', '.join(people)}"
            yield document.fault(("environments", name, "approval", "by"), text)


def _unknown_people(document: Document, project: schema.Project) -> Iterator[Fault]:
    """Yield those who are named and not among ``people``, if anybody is there."""
    known = {person.casefold() for person in project.people}
    groups = [(("groups", name), people, ()) for name, people in project.groups.items()]
    rules = [
        (("environments", name, "approval", "by"), environment.approval.by, tuple(project.groups))
        for name, environment in project.environments.items()
        if environment.approval
    ]
    for path, named, others in (*groups, *rules) if known else ():
        for number, person in enumerate(named):
            if person.casefold() not in known and person not in others:
                choices = (*others, *project.people)
                expected = f"expected one of: {', '.join(choices)}"
                yield document.fault((*path, number), f"nobody {person!r}{suggestion(person, choices)}, {expected}")


def promotion_faults(document: Document, project: schema.Project) -> Iterator[Fault]:
    """Yield the environments whose releases come from nowhere."""
    for name, environment in project.environments.items():
        rule = environment.promotion
        if rule and (rule.source == name or rule.source not in project.environments):
            others = ", ".join(other for other in project.environments if other != name) or "there is none"
            text = f"expected another environment ({others}), found {rule.source!r}"
            yield document.fault(("environments", name, "promotion", "source"), text)
        if rule and environment.branch:
            text = f"releases come from {rule.source} by promotion, so no push deploys here; remove one of both"
            yield document.fault(("environments", name, "branch"), text, at_key=True)


def _people(project: schema.Project, config: Approval) -> tuple[str, ...]:
    named = [person for entry in config.by for person in project.groups.get(entry, [entry])]
    return tuple(dict.fromkeys(named))
