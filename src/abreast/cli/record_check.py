"""Whether the record is intact: where it is kept, here, and by what was signed."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from abreast.cli.selection import read_record
from abreast.config.names import project_name
from abreast.core.errors import UsageError
from abreast.core.frozen_dataclass import dataclass
from abreast.core.wording import counted
from abreast.ledger.audit import describe_break
from abreast.ledger.checkpoints import Checkpoint, Coverage, VerifierKey, check_exported, check_recorded
from abreast.ledger.entries import describe
from abreast.ledger.entry_file import EntryFile
from abreast.ledger.hash_chain import Link, find_break
from abreast.ledger.homes.interface import Home
from abreast.ledger.mirror import Mirror
from abreast.wiring.audit_key import known_signers
from abreast.wiring.state_homes import create_home
from abreast.wiring.state_location import is_elsewhere, state_location
from abreast.wiring.workspace import Workspace


@dataclass(frozen=True, slots=True)
class RecordCheck:
    """What was found: ``damage`` is "" for an intact record of ``entries``. ``lines`` say what was checked."""

    damage: str
    entries: int = 0
    lines: tuple[str, ...] = ()
    coverage: Coverage = Coverage()


class ChainEnd:
    """Where a chain that was read ends: the number of its last entry, 0 for none, and the hash."""

    def __init__(self) -> None:
        self.seq, self.hash = 0, ""

    def followed(self, links: Iterable[Link]) -> Iterator[Link]:
        """Yield the links, and know the last one."""
        for link in links:
            self.seq, self.hash = link.seq, link.hash
            yield link


@dataclass(frozen=True, slots=True)
class TrustAnchors:
    """What a reader brings to check a record with: exported checkpoints by the file's name, and public keys."""

    checkpoints: tuple[tuple[str, Checkpoint], ...] = ()
    keys: tuple[VerifierKey, ...] = ()


def read_trust_anchors(files: Sequence[Path]) -> TrustAnchors:
    """Return the checkpoints and keys in files. Raises UsageError for a file with neither."""
    checkpoints, keys = list[tuple[str, Checkpoint]](), list[VerifierKey]()
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
            if "\n\n" in text:
                checkpoints.append((str(file), Checkpoint.parse(text)))
            else:
                keys.append(VerifierKey.parse(text))
        except (OSError, ValueError) as error:
            need = "what `abreast audit export --checkpoint FILE` writes, or its public key, NAME+ID+KEY"
            raise UsageError(f"{file}: {error}", need=need) from error
    return TrustAnchors(tuple(checkpoints), tuple(keys))


def check_record(workspace: Workspace, anchors: TrustAnchors = TrustAnchors()) -> RecordCheck:  # noqa: B008 (frozen)
    """Check every entry where the record is kept and here, the tables that follow, and what was signed."""
    location, lines = state_location(workspace.variables), list[str]()
    end = ChainEnd()
    home = create_home(location, workspace.config_file) if is_elsewhere(location) else None
    try:
        if home:
            if broken := find_break(end.followed(home.stream(0))):
                return RecordCheck(f"{home.title}: {describe_break(broken)}")
            lines.append(f"{home.title}: {_count(end.seq)}, each follows from the one before")
        with read_record(workspace) as ledger:
            file = ledger.file
            if damage := file.find_damage() or (home and _difference(home, end, file)):
                return RecordCheck(f"{file.folder}: {damage}")
            last = file.last_link()
            entries = last.seq if last else 0
            lines.append(f"{file.folder}: {_count(entries)}, intact, and so is what follows")
            coverage, fault = _check_signatures(workspace, file, entries, anchors)
    finally:
        if home:
            home.close()
    lines += [_coverage_line(coverage, entries), *(f"{name} stands" for name, _ in anchors.checkpoints)]
    return RecordCheck(fault, entries, tuple(lines), coverage)


def _difference(home: Home, end: ChainEnd, file: EntryFile) -> str:
    """Return where a home, whose chain to its ``end`` is intact, is not what was recorded before.

    That is what the copy of this machine has, which is intact too. Others may append meanwhile.
    """
    assert isinstance(file, Mirror)
    if file.trouble:
        return ""
    is_same = file.hash_at(end.seq) == end.hash if end.seq else True  # then all before are, by the chain
    after = end.seq if is_same else 0
    last = after
    for link, other in zip_longest(file.links(after), home.stream(after)):
        if link and other and link != other:
            return f"entry {link.seq} ({describe(link.entry)}) is another one in {home.title}"
        if link and not other:
            recorded = file.last_link()
            assert recorded
            return f"{recorded.seq} entries were recorded, and {last} are left in {home.title}"
        last += 1
    return ""


def _check_signatures(
    workspace: Workspace, file: EntryFile, entries: int, anchors: TrustAnchors
) -> tuple[Coverage, str]:
    trusted = [*(signer.key for signer in known_signers(workspace)), *anchors.keys]
    coverage = check_recorded(file.checkpoints(), file.hash_at, trusted)
    if coverage.fault:
        return coverage, f"{file.folder}: {coverage.fault}"
    for name, checkpoint in anchors.checkpoints:
        if checkpoint.project != (project := project_name(workspace.config_file)):
            raise UsageError(f"{name} is of {checkpoint.project}", need=f"a checkpoint of {project}")
        if fault := check_exported(checkpoint, file.hash_at, entries, trusted):
            return coverage, f"{name}: {fault}"
    return coverage, ""


def _coverage_line(coverage: Coverage, entries: int) -> str:
    if not coverage.seq:
        return "signed: nothing. Deployments sign; where the record is kept for others, with ABREAST_AUDIT_KEY"
    whose = "" if coverage.is_trusted else ", which is not known here: give its file with --checkpoint"
    return f"signed: entries 1 to {coverage.seq} of {entries}, at {coverage.at}, by {coverage.key}{whose}"


def _count(number: int) -> str:
    return counted(number, "entry", "entries")
