"""A proposal, as text and as JSON."""

from collections.abc import Iterator
from typing import Any

from abreast.core.proposals import Proposal, ProposalState


def proposal_lines(proposal: Proposal, now: str) -> Iterator[str]:
    """Yield what was proposed, by whom and why, and what a person may do about it."""
    yield f"proposal {proposal.hash}: {proposal.summary}"
    yield f"  by {proposal.by}, at {proposal.at}"
    yield f"  why: {proposal.reason}"
    state = proposal.state(now)
    if state is ProposalState.OPEN:
        yield f"  open until {proposal.expires}. a person decides: abreast approve {proposal.hash}"
        yield f"  or: abreast reject {proposal.hash} --reason …"
    elif end := proposal.end:
        carried_out = f", deployment {end.deployment}" if end.deployment else ""
        yield f"  {state} by {end.by}{f': {end.reason}' if end.reason else ''}{carried_out}"
    else:
        yield f"  {state} at {proposal.expires}"


def proposal_json(proposal: Proposal, now: str) -> dict[str, Any]:
    """Return a proposal as JSON values."""
    end = proposal.end
    return {
        "hash": proposal.hash,
        "digest": proposal.digest,
        "environment": proposal.environment,
        "command": proposal.command_line,
        "summary": proposal.summary,
        "reason": proposal.reason,
        "by": proposal.by,
        "at": proposal.at,
        "expires": proposal.expires,
        "state": proposal.state(now).value,
        "ended_by": end.by if end else None,
        "end_reason": end.reason if end else None,
        "deployment": (end.deployment or None) if end else None,
        "next": f"abreast approve {proposal.hash}" if proposal.state(now) is ProposalState.OPEN else None,
    }
