"""Backups: their metadata, names and retention."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, replace
from datetime import UTC, datetime, timedelta

from abreast.core.frozen_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup. ``rows``: row counts by table. ``sealed``: the digest of the stored file.

    ``sequence`` counts the backups of a database, since a clock can go back: it orders them. A backup that is restored
    becomes the newest: those made after it are of a history that was left.
    ``verified``: when a test restore succeeded, "" for never. ``migrations``: those applied by then. ``release``: the
    live release. ``before_restore``: it holds what a restore was about to replace, which may be the damage.
    ``gaps``: what the test restore did not bring back as it was. ``recorded``: it is no dump but the moment ``at`` of
    the continuous backup, and its rows are not known yet.
    """

    name: str
    project: str
    environment: str
    service: str
    release: str
    at: str
    engine: str
    version: str
    rows: Mapping[str, int] = field(default_factory=dict)
    migrations: tuple[str, ...] = ()
    size: int = 0
    stored: int = 0
    sealed: str = ""
    verified: str = ""
    before_restore: bool = False
    sequence: int = 0
    gaps: tuple[str, ...] = ()
    recorded: bool = False

    @property
    def order(self) -> tuple[int, str]:
        """The key that sorts the backups of a database, oldest first."""
        return self.sequence, self.at

    @property
    def is_trusted(self) -> bool:
        """Whether the backup is restored where none is named."""
        return bool(self.verified) and not self.before_restore

    def as_verified(self, at: str, gaps: Sequence[str] = ()) -> "Backup":
        """Return the backup, marked as verified by a test restore, which had ``gaps``."""
        return replace(self, verified=at, gaps=tuple(gaps))


def next_sequence(earlier: Sequence[Backup]) -> int:
    """Return the sequence that makes a backup the newest of its database."""
    return max((backup.sequence for backup in earlier), default=0) + 1


LATEST = "latest"
"""The newest moment of the continuous backup."""


def parse_moment(text: str) -> datetime | None:
    """Return the moment that a text names, in UTC; None if it names none. Without an offset, it is local time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.astimezone(UTC) if len(text) > len("2026-11-21") else None


def format_moment(moment: datetime) -> str:
    """Return a moment as ISO 8601 in UTC, to the millisecond."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def backup_name(environment: str, service: str, at: str, release: str) -> str:
    """Return a backup's name, which sorts by time: ``production/backend/20261121T010203456Z-v42``."""
    moment = "".join(letter for letter in at if letter not in "-:.")
    return f"{environment}/{service}/{moment}-{release or 'v0'}"


@dataclass(frozen=True, slots=True)
class BackupRetention:
    """Which backups of a database are kept: the last ``keep``, and the newest of each hour, day and week (UTC).

    ``hourly``, ``daily`` and ``weekly`` count those hours, days and weeks; only those with a backup count.
    """

    keep: int = 5
    hourly: int = 24
    daily: int = 30
    weekly: int = 8


_PERIODS = (("hourly", "%Y-%m-%d %H"), ("daily", "%Y-%m-%d"), ("weekly", "%G-%V"))
UNVERIFIED_MAX_AGE = timedelta(days=1)
"""The age after which a backup is deleted that was never verified."""


def expired(
    backups: Sequence[Backup], retention: BackupRetention, now: str, needed: Collection[str] = ()
) -> tuple[Backup, ...]:
    """Return the backups of one database that can be deleted.

    Kept are those that ``retention`` keeps, the newest of each release in ``needed`` (rollback targets), and the newest
    trusted one at any age. Backups before a restore are kept as many besides, and unverified ones for a day.
    """
    ordered = sorted(backups, key=lambda backup: backup.order, reverse=True)
    good = [backup for backup in ordered if backup.is_trusted]
    if not good:
        return ()
    replaced = [backup for backup in ordered if backup.verified and backup.before_restore]
    stay = {backup.name for backup in (*good[: max(1, retention.keep)], *replaced[: retention.keep])}
    for setting, period in _PERIODS:
        stay |= {backup.name for backup in _newest_of_each(good, period)[: getattr(retention, setting)]}
    for release in set(needed):
        stay |= {backup.name for backup in [backup for backup in good if backup.release == release][:1]}
    moment = datetime.fromisoformat(now)
    return tuple(
        backup
        for backup in ordered
        if backup.name not in stay
        and (backup.verified or moment - datetime.fromisoformat(backup.at) > UNVERIFIED_MAX_AGE)
    )


def _newest_of_each(newest_first: Sequence[Backup], period: str) -> list[Backup]:
    """Return the newest backup of each period, which a format of strftime(3) names."""
    by_period: dict[str, Backup] = {}
    for backup in newest_first:
        by_period.setdefault(datetime.fromisoformat(backup.at).strftime(period), backup)
    return list(by_period.values())
