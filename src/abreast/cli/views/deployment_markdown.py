"""How a deployment ended, as Markdown for the summary of a CI run."""

from collections.abc import Iterator, Sequence

from abreast.cli.views.attestations import attestations
from abreast.cli.views.event_lines import log_lines
from abreast.cli.views.markdown import code, code_block, join_blocks, link, plain, table
from abreast.cli.views.service_outcomes import ServiceOutcome
from abreast.cli.views.timeline import timeline
from abreast.core.approvals.request import Section
from abreast.core.events import Event, EventKind
from abreast.core.next_commands import next_commands
from abreast.core.states import DeploymentState
from abreast.ledger.interface import Deployment

MAX_BYTES = 250_000
"""A step can deploy four times before its summaries are too long for GitHub, which takes 1 MiB."""

MAX_FAILURES = 10
MAX_ROWS = 200


def deployment_markdown(
    deployment: Deployment, events: Sequence[Event], outcomes: Sequence[ServiceOutcome], *, repository: str, back: str,
    asked: Sequence[Section] = (),
) -> str:  # fmt: skip
    """Return how a deployment ended: what failed first, then its services, its timeline, and the way back.

    ``repository`` is the repository's URL, "" if unknown; ``back`` is the release to roll back to, "" if there is none.
    ``asked`` is what people are asked to approve, if it waits for that.
    """
    heading, *blocks = _blocks(deployment, events, outcomes, repository, back)
    return join_blocks((heading, *_asked(asked), *blocks), MAX_BYTES)


def _asked(sections: Sequence[Section]) -> Iterator[str]:
    for section in sections:
        yield f"**{section.title}**"
        yield code_block(section.lines)


def _blocks(
    deployment: Deployment, events: Sequence[Event], outcomes: Sequence[ServiceOutcome], repository: str, back: str
) -> Iterator[str]:
    ended = "is live in" if deployment.state is DeploymentState.SUCCEEDED else f"{deployment.state} in"
    yield f"### {plain(deployment.project)} {plain(deployment.release)} {ended} {plain(deployment.environment)}"
    for event in events:
        if event.state is DeploymentState.SUPERSEDED:
            yield f"Nothing was deployed: {plain(event.message)}."
    failures = [event for event in events if event.kind is EventKind.FAILED]
    for event in failures[:MAX_FAILURES]:
        yield f"**{plain(event.service or 'all')} failed in {event.chapter}**"
        yield code_block([*event.message.splitlines(), *log_lines(event)])
    if len(failures) > MAX_FAILURES:
        yield f"and {len(failures) - MAX_FAILURES} more failures"
    heads = ("service", "outcome", "version", "URL", "health", "duration", "commit")
    yield table(heads, (_row(each, repository) for each in outcomes[:MAX_ROWS]))
    yield "\n".join(f"- {plain(name)}: {code(str(found))}" for name, found in attestations(events).items())
    yield timeline(events)
    for command in next_commands(deployment.state, deployment.kind, deployment.id, deployment.environment):
        yield f"Next: {code(command)}"
    if deployment.state is DeploymentState.SUCCEEDED and back:
        yield "To roll back:"
        yield code_block([f"abreast rollback --env {deployment.environment} --to {back} --reason …"])
    reason = f" because {code(deployment.reason)}" if deployment.reason else ""
    run = f" in {link('this run', deployment.run_url)}" if deployment.run_url else ""
    yield f"Deployment {code(deployment.id)}, started by {code(deployment.author or '?')}{run}{reason}."


def _row(each: ServiceOutcome, repository: str) -> tuple[str, ...]:
    duration = f"{each.seconds:.1f} s" if each.seconds is not None else ""
    commit = link(f"`{each.commit[:7]}`", f"{repository}/commit/{each.commit}") if each.commit else ""
    url = link(code(each.url), each.url)
    return plain(each.name), each.outcome, plain(each.release), url, each.health, duration, commit
