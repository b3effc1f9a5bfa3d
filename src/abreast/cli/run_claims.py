"""Compares who started runs of GitHub Actions, as the record has it, with what GitHub says of these runs."""

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from abreast.core.frozen_dataclass import dataclass
from abreast.core.identity import Identity
from abreast.core.wording import counted
from abreast.github.api import VariableSettings, connect_github, repository_name
from abreast.github.client import GitHubClient
from abreast.github.resources import WorkflowRun
from abreast.ledger.acts import read_identity
from abreast.ledger.entries import Entry, EntryKind
from abreast.ledger.hash_chain import Link

SLACK = timedelta(minutes=5)
"""How much the clocks of two machines may differ."""

AT_ONCE = 8
"""Requests to GitHub at the same time."""

_RUN = re.compile(r"https?://[^/]+/(?P<repository>[^/]+/[^/]+)/actions/runs/(?P<id>\d+)/attempts/(?P<attempt>\d+)")


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that recorded entries: who started it as it claimed, and when its first and last entry were recorded."""

    who: Identity
    seq: int
    first: str
    last: str


def read_claims(links: Iterable[Link]) -> list[Claim]:
    """Return the claims of runs of GitHub Actions in a chain."""
    identities: dict[str, tuple[int, Identity]] = {}
    times: dict[str, tuple[str, str]] = {}
    for link in links:
        entry = Entry.parse(link.entry)
        if entry.kind is EntryKind.IDENTITY:
            identities[entry.key] = (link.seq, read_identity(entry))
        first, last = times.get(entry.by, (entry.at, entry.at))
        times[entry.by] = (min(first, entry.at), max(last, entry.at))
    return [
        Claim(who, seq, *times[key])
        for key, (seq, who) in identities.items()
        if who.kind == "github-actions" and key in times
    ]


def check_claims(variables: Mapping[str, str], links: Iterable[Link]) -> tuple[list[str], list[str]]:
    """Return what GitHub contradicts of the claims in a chain, and in words what it confirms and does not know."""
    settings = VariableSettings(variables)
    github, claims = GitHubClient(connect_github(settings), repository_name(settings.variable)), read_claims(links)
    runs = asyncio.run(_ask(github, claims))
    faults, confirmed, lines = list[str](), 0, list[str]()
    for claim, run in zip(claims, runs, strict=True):
        if fault := find_contradiction(github.repository, claim, run):
            faults.append(f"entry {claim.seq}: {fault}")
        elif run is None:
            lines.append(f"GitHub does not know this run, or not any more: {claim.who.url}")
        else:
            confirmed += 1
    return faults, [f"GitHub confirms who started {counted(confirmed, 'run')}", *lines]


async def _ask(github: GitHubClient, claims: Sequence[Claim]) -> list[WorkflowRun | None]:
    """Return the run of each claim, None if GitHub does not know it. Closes the client."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def ask(claim: Claim) -> WorkflowRun | None:
        async with limit:
            named = _parse_url(claim.who.url, github.repository)
            return await github.get_workflow_run(*named) if named else None

    try:
        return await asyncio.gather(*map(ask, claims))
    finally:
        await github.close()


def _parse_url(url: str, repository: str) -> tuple[int, int] | None:
    """Return the number of a run and the attempt at it, None for a run elsewhere."""
    named = _RUN.fullmatch(url)
    if not named or named["repository"].casefold() != repository.casefold():
        return None
    return int(named["id"]), int(named["attempt"])


def find_contradiction(repository: str, claim: Claim, run: WorkflowRun | None) -> str:
    """Return what is not as a run claimed, "" if all of it is, or if GitHub does not know the run."""
    who = claim.who
    if not _parse_url(who.url, repository):
        return f"{who.url} is no run of {repository}"
    if run is None:
        return ""
    actor = run.triggering_actor
    if actor and not (who.id == str(actor.id) if who.id else who.name.casefold() == actor.login.casefold()):
        return f"{who.url} was started by {actor.login} ({actor.id}), not by {who.name} ({who.id or 'no id'})"
    first, last = datetime.fromisoformat(claim.first), datetime.fromisoformat(claim.last)
    has_ended = run.status == "completed"
    if first < run.run_started_at - SLACK or (has_ended and last > run.updated_at + SLACK):
        ended = f" to {run.updated_at.isoformat()}" if has_ended else ""
        return (
            f"{who.url} ran from {run.run_started_at.isoformat()}{ended},"
            f" and recorded entries from {claim.first} to {claim.last}"
        )
    return ""
