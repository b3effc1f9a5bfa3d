"""Proposals in the entries of a ledger: an entry for each, and another one for its end. Neither can be there twice."""

from abreast.core.codec import dump, load
from abreast.core.proposals import Proposal, ProposalEnd, ProposalState
from abreast.ledger.entries import Entry, EntryKind
from abreast.ledger.entry_file import EntryFile

PROPOSAL_END = "/end"
"""Ends the key of the entry that says how a proposal ended."""

_STORED = ("command", "options", "plan", "summary", "reason", "by", "person", "expires")


def record_proposal(file: EntryFile, proposal: Proposal, now: str) -> Proposal:
    """Record a proposal, unless the same plan is open already, and return the one that is open."""
    with file.transaction() as appended:
        same = [known for known in read_proposals(file, proposal.environment) if known.digest == proposal.digest]
        number = len(same) + 1
        if same and same[0].state(now) is ProposalState.OPEN:
            return same[0]
        fields = dump(proposal)
        key, data = f"{proposal.digest}/{number}", {name: fields[name] for name in _STORED}
        file.append(EntryKind.PROPOSAL, proposal.environment, key, data)
    file.settle(appended)
    found = read_proposals(file, proposal.environment)
    return next(known for known in found if known.key == key)


def end_proposal(file: EntryFile, proposal: Proposal, end: ProposalEnd) -> bool:
    """Record how a proposal ended, and return whether it ended by this: somebody else can have been faster."""
    with file.transaction() as appended:
        file.append(EntryKind.PROPOSAL, proposal.environment, f"{proposal.key}{PROPOSAL_END}", dump(end))
    own = [entry for entry in appended if entry.kind is EntryKind.PROPOSAL]
    return bool(own) and bool(file.settle(own))


def read_proposals(file: EntryFile, environment: str | None = None) -> list[Proposal]:
    """Return proposals, newest first."""
    query = "SELECT entry FROM entries WHERE kind = 'proposal' AND subject = coalesce(?, subject) ORDER BY id DESC"
    entries = [Entry.parse(text) for (text,) in file.query(query, environment)]
    ends = {(entry.subject, entry.key): entry for entry in entries if entry.key.endswith(PROPOSAL_END)}
    return [
        _proposal(entry, ends.get((entry.subject, f"{entry.key}{PROPOSAL_END}")))
        for entry in entries
        if not entry.key.endswith(PROPOSAL_END)
    ]


def _proposal(entry: Entry, end: Entry | None) -> Proposal:
    digest, _, number = entry.key.partition("/")
    told = load(ProposalEnd, end.data) if end else None
    return Proposal(entry.subject, digest, **entry.data, number=int(number), at=entry.at, end=told)
