"""Proposals that a person approved: whether they may still be carried out, and that each is at most once."""

from abreast.core.errors import RefusedError
from abreast.core.plan import Plan
from abreast.core.proposals import Proposal, ProposalEnd, ProposalState, canonical, changes, digest_of
from abreast.ledger.interface import Ledger


def refuse_ended(proposal: Proposal, now: str) -> None:
    """Raise RefusedError if a proposal is not open any more."""
    state, end = proposal.state(now), proposal.end
    if state is ProposalState.EXPIRED:
        raise RefusedError(
            f"the proposal {proposal.hash} expired at {proposal.expires}; {_author(proposal)}",
            need="a new proposal", next=f"{proposal.command_line} --reason …",
        )  # fmt: skip
    if end:
        why = f": {end.reason}" if end.reason else ""
        done = f"abreast show {end.deployment}" if end.deployment else "abreast proposals --all"
        raise RefusedError(f"the proposal {proposal.hash} was {end.state} by {end.by} before{why}", next=done)


def refuse_other_plan(proposal: Proposal, plan: Plan) -> None:
    """Raise RefusedError if what would be carried out now is not what was proposed."""
    now = canonical(plan)
    if digest_of(now) != proposal.digest:
        listed = "".join(f"\n  {change}" for change in changes(proposal.plan, now))
        raise RefusedError(
            f"the plan changed since it was proposed:{listed or ' abreast makes other plans now'}",
            need=f"a proposal of the plan as it is now; {_author(proposal)}",
            next=f"{proposal.command_line} --reason …, or: abreast reject {proposal.hash} --reason …",
        )


def end_proposal(ledger: Ledger, proposal: Proposal, end: ProposalEnd) -> None:
    """Record how a proposal ended. Raises RefusedError if it has ended already."""
    if not ledger.end_proposal(proposal, end):
        latest = next(known for known in ledger.proposals(proposal.environment) if known.key == proposal.key)
        refuse_ended(latest, latest.at)


def _author(proposal: Proposal) -> str:
    return f"{proposal.by} made it at {proposal.at}"
