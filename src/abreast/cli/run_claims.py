"""Compares who started runs of a CI system, as the record has it, with what the CI system says of these runs."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from abreast.core.frozen_dataclass import dataclass
from abreast.core.identity import Identity
from abreast.core.wording import counted
from abreast.ledger.acts import read_identity
from abreast.ledger.entries import Entry, EntryKind
from abreast.ledger.hash_chain import Link

SLACK = timedelta(minutes=5)
"""How much the clocks of two machines may differ."""

AT_ONCE = 8
"""Requests at the same time."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that recorded entries: who started it as it claimed, and when its first and last entry were recorded.

    ``commits`` are those that it gave the number of a release.
    """

    who: Identity
    seq: int
    first: str
    last: str
    commits: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class StartedRun:
    """What a CI system says of a run. ``name`` and ``id`` are of the account that started it, "" if it is gone.

    ``ended`` is None while it runs. ``commit`` is "" where the run may have checked out another one.
    """

    name: str
    id: str
    began: datetime
    ended: datetime | None
    commit: str = ""


class KnowsRuns(Protocol):
    """A CI system that answers for who started its runs, of one repository."""

    name: str
    """What people call it."""
    kind: str
    """The kind of the identities of its runs."""
    repository: str
    one_run: str
    """What it calls one of its runs."""
    issuer: str
    """Who signs the ID tokens of its runs."""

    def is_own(self, url: str) -> bool:
        """Whether a URL is that of a run of the repository."""

    async def find_run(self, url: str) -> StartedRun | None:
        """Return a run, None if it is not known, or not any more. Raises PlatformError."""

    async def require_access(self) -> None:
        """Raise PlatformError if no run would be known for want of a right."""

    async def close(self) -> None:
        """Close all connections."""


def read_claims(links: Iterable[Link], kind: str) -> list[Claim]:
    """Return the claims of runs of a CI system in a chain."""
    identities: dict[str, tuple[int, Identity]] = {}
    times: dict[str, tuple[str, str]] = {}
    commits: dict[str, frozenset[str]] = {}
    for link in links:
        entry = Entry.parse(link.entry)
        if entry.kind is EntryKind.IDENTITY:
            identities[entry.key] = (link.seq, read_identity(entry))
        if entry.kind is EntryKind.RELEASE:
            commits[entry.by] = commits.get(entry.by, frozenset()) | {entry.data["commit"]}
        first, last = times.get(entry.by, (entry.at, entry.at))
        times[entry.by] = (min(first, entry.at), max(last, entry.at))
    return [
        Claim(who, seq, *times[key], commits.get(key, frozenset()))
        for key, (seq, who) in identities.items()
        if who.kind == kind and key in times
    ]


def check_claims(ci: KnowsRuns, links: Iterable[Link]) -> tuple[list[str], list[str]]:
    """Return what a CI system contradicts of the claims in a chain, and in words what it confirms and does not know."""
    claims = read_claims(links, ci.kind)
    runs = asyncio.run(_find_runs(ci, list(dict.fromkeys(claim.who.url for claim in claims))))
    faults, confirmed, unknown = list[str](), set[str](), dict[str, None]()
    for claim in claims:
        url = claim.who.url
        if fault := find_contradiction(ci, claim, runs[url]):
            faults.append(f"entry {claim.seq}: {fault}")
        elif runs[url] is None:
            unknown[url] = None
        else:
            confirmed.add(url)
    lines = [f"{ci.name} does not know this {ci.one_run}, or not any more: {url}" for url in unknown]
    return faults, [f"{ci.name} confirms who started {counted(len(confirmed), ci.one_run)}", *lines]


async def _find_runs(ci: KnowsRuns, urls: Sequence[str]) -> dict[str, StartedRun | None]:
    """Return the run at each URL, None if it is not known. Closes the connection."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def find(url: str) -> StartedRun | None:
        async with limit:
            return await ci.find_run(url) if ci.is_own(url) else None

    try:
        await ci.require_access()
        return dict(zip(urls, await asyncio.gather(*map(find, urls)), strict=True))
    finally:
        await ci.close()


def find_contradiction(ci: KnowsRuns, claim: Claim, run: StartedRun | None) -> str:
    """Return what is not as a run claimed, "" if all of it is, or if the CI system does not know the run."""
    who = claim.who
    if not ci.is_own(who.url):
        return f"{who.url} is no {ci.one_run} of {ci.repository}"
    if who.token and who.token.issuer != ci.issuer:
        return f"the ID token of {who.url} is by {who.token.issuer}, not by {ci.issuer}"
    if run is None:
        return ""
    if run.name and not (who.id == run.id if who.id else who.name.casefold() == run.name.casefold()):
        return f"{who.url} was started by {run.name} ({run.id}), not by {who.name} ({who.id or 'no id'})"
    first, last = datetime.fromisoformat(claim.first), datetime.fromisoformat(claim.last)
    if first < run.began - SLACK or (run.ended and last > run.ended + SLACK):
        ended = f" to {run.ended.isoformat()}" if run.ended else ""
        recorded = f"recorded entries from {claim.first} to {claim.last}"
        return f"{who.url} ran from {run.began.isoformat()}{ended}, and {recorded}"
    if run.commit and (others := sorted(claim.commits - {run.commit})):
        return f"{who.url} was of the commit {run.commit}, and made a release of {others[0]}"
    return ""
