"""Databases and their backups as text."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from abreast.core.backups import Backup
from abreast.core.wording import counted

if TYPE_CHECKING:  # slow, and often not needed
    from abreast.database.change_archive import Manifest


def backup_lines(backups: Sequence[Backup]) -> Iterator[str]:
    """Yield one line per backup."""
    width = max((len(backup.name) for backup in backups), default=0)
    for backup in backups:
        rows = sum(backup.rows.values())
        yield (
            f"{backup.name:<{width}}  {_local_time(backup.at)}  {backup.engine} {format_size(backup.size):>9}  "
            f"{format_size(backup.stored):>9} sealed  "
            f"{counted(rows, 'row')} in {counted(len(backup.rows), 'table')}  {verdict(backup)}"
        )


def verdict(backup: Backup) -> str:
    """Return whether a backup was verified, and what its test restore did not bring back."""
    text = "verified" if backup.verified else "NOT VERIFIED"
    if backup.gaps:
        text += f", except for {'; '.join(backup.gaps)}"
    return f"{text}, before a restore" if backup.before_restore else text


def moments_line(service: str, manifest: "Manifest") -> str:
    """Return a line about what the continuous backup of a service can restore."""
    first, last = _local_time(manifest.since), _local_time(manifest.until)
    age = format_duration(seconds_since(manifest.until))
    return f"{service}: any moment from {first} to {last}, {age} ago, such as: abreast db restore '{last}'"


def status_lines(databases: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield migrations, size, newest backup and faults of each database."""
    for service, state in databases.items():
        if "engine" in state:
            rows = sum(state["rows"].values())
            engine = f"{state['engine']} {state['version']}, {format_size(state['size'])}"
            yield f"{service}: {engine}, {counted(rows, 'row')} in {counted(len(state['rows']), 'table')}"
            yield f"  migrations: {_migrations_text(state)}"
            for name in state.get("pending", ()):
                yield f"  pending: {name}"
            for risk in state.get("risks", ()):
                yield f"  BREAKING: {risk}"
        if state.get("copies"):
            yield f"  copies: {', '.join(state['copies'])}. next: abreast db list --copies"
        age = f"{format_duration(state['backup_age'])} old" if state["backup"] else ""
        yield (
            f"  newest backup: {state['backup']}, {age}" if age else "  no verified backup yet. next: abreast db backup"
        )
        if state.get("recorded_until"):
            yield f"  every change is recorded until {format_duration(seconds_since(state['recorded_until']))} ago"
        for fault in state["faults"]:
            first, *more = str(fault).splitlines()
            yield f"  FAULT: {first}"
            yield from (f"    {line.strip()}" for line in more)


def _migrations_text(state: Mapping[str, Any]) -> str:
    if state["command"] and not state["applied"]:
        return f"run by `{state['command']}`, which alone knows what is applied"
    last = state["applied"][-1] if state["applied"] else None
    return f"{len(state['applied'])} applied" + (f", latest {last['name']} ({last['at']})" if last else "")


def data_loss_lines(
    service: str, backup: Backup, rows: Mapping[str, tuple[int | None, int | None]] | None
) -> Iterator[str]:
    """Yield what a restore would lose: the time since the backup, and per table its rows now and after."""
    since = format_duration(seconds_since(backup.at))
    what = "the state" if backup.recorded else backup.name
    yield f"{service}: restore {what} of {_local_time(backup.at)}; writes of the last {since} would be lost"
    if backup.recorded:
        yield "  the rows of that moment are known once it is recovered, on a copy, which is checked before the swap"
        return
    if rows is None:
        yield "  the current database cannot be read, so the lost rows cannot be counted"
        return
    for table, (now, then) in rows.items():
        yield f"  {table}: {_format_count(now)} now, {_format_count(then)} in the backup"
    if not rows:
        yield "  every table has as many rows as the backup; which rows changed is unknown"


def waiting_lines(backup: Backup, seconds_before: float | None) -> Iterator[str]:
    """Yield how long applications wait for a restore. ``seconds_before``: the usual duration of restores, if known."""
    if backup.engine == "sqlite":
        usually = f"; a restore usually takes {seconds_before:.0f} s" if seconds_before else ""
        size = format_size(backup.size) if backup.size else "all pages"
        yield f"  applications that have the file open wait until {size} are replaced{usually}"
    else:
        yield "  applications lose their connections for a moment, and connect again"


def _format_count(rows: int | None) -> str:
    return "no table" if rows is None else counted(rows, "row")


def format_size(byte_count: float) -> str:
    """Return a number of bytes as kB or MB."""
    return f"{byte_count / 1e6:.1f} MB" if byte_count >= 1e5 else f"{byte_count / 1e3:.1f} kB"


def seconds_since(at: str) -> float:
    """Return the seconds since a time in ISO 8601."""
    return (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()


def format_duration(seconds: float) -> str:
    """Return a duration in its largest unit of which there are at least two, such as ``3 hours``."""
    for unit, name in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return counted(round(seconds), "second")


def _local_time(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")
