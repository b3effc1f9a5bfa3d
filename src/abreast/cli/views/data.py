"""Databases and their backups, as a person reads them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from abreast.core.backups import Backup


def backups(found: Sequence[Backup]) -> Iterator[str]:
    """Yield one line a backup."""
    wide = max((len(one.name) for one in found), default=0)
    for one in found:
        rows = sum(one.rows.values())
        good = "verified" if one.verified else "NOT VERIFIED"
        yield (
            f"{one.name:<{wide}}  {_when(one.at)}  {one.engine} {size(one.size):>9}  {size(one.stored):>9} sealed  "
            f"{rows} rows in {len(one.rows)} tables  {good}"
        )


def status(found: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield how each database stands."""
    for service, one in found.items():
        if "engine" in one:
            rows = sum(one["rows"].values())
            engine = f"{one['engine']} {one['version']}, {size(one['size'])}"
            yield f"{service}: {engine}, {rows} rows in {len(one['rows'])} tables"
            last = one["applied"][-1] if one["applied"] else None
            yield f"  migrations: {len(one['applied'])} ran" + (f", {last['name']} last ({last['at']})" if last else "")
            for name in one.get("pending", ()):
                yield f"  pending: {name}"
            for risk in one.get("risks", ()):
                yield f"  BREAKING: {risk}"
        age = f"{span(one['backup_age'])} old" if one["backup"] else ""
        yield f"  newest backup: {one['backup']}, {age}" if age else "  no backup yet. next: abreast db backup"
        for fault in one["faults"]:
            first, *more = str(fault).splitlines()
            yield f"  FAULT: {first}"
            yield from (f"    {line.strip()}" for line in more)


def loss(service: str, chosen: Backup, rows: Mapping[str, tuple[int | None, int | None]] | None) -> Iterator[str]:
    """Yield what a restore would lose: minutes, and rows by table as they are and as they would be."""
    since = span(age(chosen.at))
    yield f"{service}: {chosen.name}, of {_when(chosen.at)}; all that was written in the {since} since would be lost"
    if rows is None:
        yield "  what is there now cannot be read, so that its rows cannot be counted"
        return
    for table, (now, then) in rows.items():
        yield f"  {table}: {_count(now)} now, {_count(then)} then"
    if not rows:
        yield "  each table has as many rows as then; which of them changed is not known"


def _count(rows: int | None) -> str:
    return "not there" if rows is None else f"{rows} rows"


def size(count: float) -> str:
    """Return a number of bytes in words."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def age(at: str) -> float:
    """Return how many seconds ago a moment was."""
    return (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()


def span(seconds: float) -> str:
    """Return a duration in words."""
    for unit, name in ((86400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} seconds"


def _when(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")
