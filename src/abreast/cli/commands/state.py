"""Commands on the record itself: where it is, whether it is intact, and how it moves."""

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from abreast.cli.confirmation import confirm
from abreast.cli.selection import locate_workspace, read_record
from abreast.cli.target import hold_environment
from abreast.core.errors import RefusedError, StateError, UsageError
from abreast.core.model import DEFAULT_PLATFORM
from abreast.core.wording import counted
from abreast.ledger.entries import Entry, EntryKind
from abreast.ledger.entry_file import EntryFile
from abreast.ledger.hash_chain import Link, chain
from abreast.ledger.mirror import Mirror
from abreast.wiring.state_folder import state_folder
from abreast.wiring.state_homes import create_home, home_title, mirror_folder
from abreast.wiring.state_location import is_elsewhere, state_location
from abreast.wiring.workspace import Workspace, utc_now

PORTION = 500
"""Entries that are sent to another home at once."""


def show(*, as_json: bool) -> int:
    """Show where the record is, and what of it is not there yet."""
    workspace = locate_workspace()
    with read_record(workspace) as ledger:
        mirror = ledger.file if isinstance(ledger.file, Mirror) else None
        last = ledger.file.last_link()
        document = {
            "location": mirror.home.title if mirror else str(workspace.state),
            "folder": str(ledger.file.folder),
            "entries": last.seq if last else 0,
            "hash": last.hash if last else None,
            "pending": len(mirror.pending()) if mirror else 0,
            "trouble": mirror.trouble if mirror else "",
        }
    if as_json:
        print(json.dumps(document, indent=2))
        return 0
    print(f"{document['location']}: {counted(int(str(document['entries'])), 'entry', 'entries')}")
    if mirror:
        print(f"  a copy is in {document['folder']}")
    if document["pending"]:
        print(f"  {document['pending']} more are on this machine only, until it answers")
    if document["trouble"]:
        print(f"  no answer: {document['trouble']}")
    return 0


def move(to: str, *, yes: bool) -> int:
    """Copy the record to another home, and lock the environments here, so that nobody goes on with the old one."""
    workspace = locate_workspace()
    if _is_there(to, workspace):
        raise UsageError(f"the record is in {to} already", next="abreast state show")
    with workspace.open_ledger() as ledger, ExitStack() as held:
        if not is_elsewhere(to):
            _refuse_running_services(workspace, ledger.file, _folder(to))
        environments = _environments(workspace, ledger.file)
        for name in environments:
            held.enter_context(hold_environment(workspace, name, ledger))
        confirm(f"Move the record to {home_title(to)}?", "that", yes=yes)
        ledger.record_act("", "state move", "begun", detail=f"to {home_title(to)}")
        if why := ledger.flush(0):
            raise StateError(f"what is recorded here is not yet in its home: {why}", next="abreast state show")
        count = _copy(_with_leases_given_back(list(ledger.file.links())), to, workspace)
        if not _is_copy_of(to, ledger.file, workspace):
            moved = f"the record moved to {home_title(to)}"
            for name in environments:
                ledger.lock_environment(name, {"reason": moved, "by": workspace.operator, "since": utc_now()})
            print("The environments are locked where it was.")
    print(f"{counted(count, 'entry', 'entries')} moved to {home_title(to)}.")
    print(f"next: set ABREAST_STATE={home_title(to)} wherever this project is deployed, then: abreast state verify")
    return 0


def _is_there(to: str, workspace: Workspace) -> bool:
    """Whether a location is where the record is now."""
    now = state_location(workspace.variables)
    return to == now if is_elsewhere(to) or is_elsewhere(now) else _folder(to) == workspace.state


def _is_copy_of(to: str, file: EntryFile, workspace: Workspace) -> bool:
    """Whether a file is this machine's copy of the home, so that it is the record again from now on."""
    folder = state_folder(workspace.root, {"ABREAST_STATE": to})
    return is_elsewhere(to) and file.folder == mirror_folder(to, workspace.config_file, folder)


def _refuse_running_services(workspace: Workspace, file: EntryFile, folder: Path) -> None:
    """Raise RefusedError if services run here: what tells how to stop them stays in the folder where it is."""
    query = "SELECT environment FROM live WHERE json_extract(live, '$.platform') = ? LIMIT 1"
    running = file.query(query, DEFAULT_PLATFORM)
    if running and folder != workspace.state:
        raise RefusedError(
            f"services of {running[0][0]} run on this machine, with their state in {workspace.state}",
            need="none, before the record moves to another folder",
            next=f"abreast down --env {running[0][0]}",
        )


def _environments(workspace: Workspace, file: EntryFile) -> list[str]:
    deployed = [name for (name,) in file.query("SELECT DISTINCT environment FROM deployments")]
    return sorted({*workspace.environment_names(), *deployed})


def _copy(links: Sequence[Link], to: str, workspace: Workspace) -> int:
    """Copy links to an empty home, or go on where an earlier copy was cut off. Returns how many there are now."""
    if not is_elsewhere(to):
        with EntryFile.open(_folder(to), lambda: datetime.now(UTC)) as file:
            file.adopt(links[_continue(links, list(file.links())) :])
        return len(links)
    home = create_home(to, workspace.config_file)
    try:
        done = _continue(links, home.read(0))
        while done < len(links):
            portion = links[done : done + PORTION]
            if not home.append(links[done - 1] if done else None, portion):
                raise RefusedError(f"somebody else writes to {home.title}", next="abreast state show")
            done += len(portion)
    finally:
        home.close()
    return done


def _with_leases_given_back(links: Sequence[Link]) -> Sequence[Link]:
    """Return links after which nobody holds an environment: this command does, and nobody beats for it elsewhere.

    They are the same each time, so that a copy that was cut off can go on.
    """
    leases = {entry.subject: entry for link in links if (entry := Entry.parse(link.entry)).kind is EntryKind.LEASE}
    ends = [
        replace(lease, key=str(int(lease.key) + 1), data={"holder": None}).text
        for lease in leases.values()
        if lease.data["holder"]
    ]
    return [*links, *chain(links[-1], ends)] if ends else links


def _continue(links: Sequence[Link], there: Sequence[Link]) -> int:
    if list(there) != list(links[: len(there)]):
        raise RefusedError("there is another record already", need="an empty place, or a part of this record")
    return len(there)


def _folder(to: str) -> Path:
    if "://" in to and not to.startswith("sqlite:///"):
        raise UsageError(f"--to {to.split('://', 1)[0]}://…", need="git, postgresql://…, or a folder")
    path = Path(to.removeprefix("sqlite:///"))
    return Path(os.path.abspath(path.parent if to.startswith("sqlite:///") else path))  # noqa: PTH100 (as it is)
