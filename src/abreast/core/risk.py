"""The risk of a deployment: points for facts that are known before it begins. A table, not a judgement."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum

from abreast.core.frozen_dataclass import dataclass
from abreast.core.wording import counted

MANY_FILES, VERY_MANY_FILES, MANY_SERVICES = 20, 100, 3
"""More changed files, and more services, are a point each; very many files are two."""

MEDIUM, HIGH = 3, 6
"""The points from which a risk is medium, and high."""

FRIDAY, EVENING, NIGHT, MORNING = 4, 16, 22, 6
"""The weekday after whose evening nobody works; the hours of a day that begin its evening, its night and its work."""

LISTED_FILES = 3


class RiskLevel(StrEnum):
    """How risky a deployment is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class MigrationClass(StrEnum):
    """What a deployment does to the schema of a database, the riskiest last."""

    NONE = "none"
    REVERSIBLE = "reversible"
    BACKWARD = "backward"
    COMMAND = "command"
    IRREVERSIBLE = "irreversible"
    BREAKING = "breaking"


@dataclass(frozen=True, slots=True)
class RiskReason:
    """One fact, and the points that it counts."""

    points: int
    text: str


@dataclass(frozen=True, slots=True)
class Risk:
    """The risk of a deployment, as it was known when it was planned."""

    level: RiskLevel
    reasons: tuple[RiskReason, ...] = ()

    @property
    def points(self) -> int:
        """The sum of the points."""
        return sum(reason.points for reason in self.reasons)


@dataclass(frozen=True, slots=True)
class ServiceRiskFacts:
    """What is known of one service that gets another version.

    ``broke_before`` names changed files that earlier deployments changed too, which were turned back or rolled back.
    ``failed`` of the latest ``deployed`` deployments of it ended like that. ``no_way_back`` says why there is none.
    """

    name: str
    changed_files: frozenset[str] = frozenset()
    broke_before: tuple[str, ...] = ()
    migration: MigrationClass = MigrationClass.NONE
    failed: int = 0
    deployed: int = 0
    is_first: bool = False
    no_way_back: str = ""


@dataclass(frozen=True, slots=True)
class RiskFacts:
    """What is known of a deployment before it begins. ``moment`` is now, by the clocks of the people who run it."""

    services: Sequence[ServiceRiskFacts]
    moment: datetime
    is_emergency: bool = False
    skipped: Sequence[str] = ()


def assess_risk(facts: RiskFacts) -> Risk:
    """Return the risk that follows from facts: the sum of their points, and why."""
    reasons = tuple(reason for reason in _reasons(facts) if reason.points)
    points = sum(reason.points for reason in reasons)
    level = RiskLevel.HIGH if points >= HIGH else RiskLevel.MEDIUM if points >= MEDIUM else RiskLevel.LOW
    return Risk(level, reasons)


_MIGRATIONS = {
    MigrationClass.NONE: RiskReason(0, ""),
    MigrationClass.REVERSIBLE: RiskReason(1, "a migration that can be reversed"),
    MigrationClass.BACKWARD: RiskReason(2, "a migration is reversed: data that only the newer schema holds goes"),
    MigrationClass.COMMAND: RiskReason(2, "a command migrates, and nothing tells beforehand what it does"),
    MigrationClass.IRREVERSIBLE: RiskReason(3, "a migration that cannot be reversed"),
    MigrationClass.BREAKING: RiskReason(3, "a migration that breaks the running version"),
}


def _reasons(facts: RiskFacts) -> Iterator[RiskReason]:
    yield from _size(facts.services)
    for of_service in (_broke_before, _migration, _failures, _first, _no_way_back):
        yield _worst(list(map(of_service, facts.services)))
    yield _time(facts.moment)
    if facts.is_emergency:
        yield RiskReason(2, "an emergency: nobody is waited for, and less is checked")
    if facts.skipped:
        yield RiskReason(min(3, len(facts.skipped)), f"skipped: {', '.join(facts.skipped)}")


def _size(services: Sequence[ServiceRiskFacts]) -> Iterator[RiskReason]:
    changed = len(frozenset[str]().union(*(service.changed_files for service in services)))
    yield RiskReason((changed > MANY_FILES) + (changed > VERY_MANY_FILES), f"{counted(changed, 'file')} changed")
    yield RiskReason(int(len(services) > MANY_SERVICES), f"{counted(len(services), 'service')} at once")


def _worst(reasons: Sequence[RiskReason]) -> RiskReason:
    """Return what one fact counts for all services: as much as for the worst of them, with the reason of each."""
    counting = [reason for reason in reasons if reason.points]
    points = max((reason.points for reason in counting), default=0)
    return RiskReason(points, "; ".join(reason.text for reason in counting))


def _broke_before(service: ServiceRiskFacts) -> RiskReason:
    more = len(service.broke_before) - LISTED_FILES
    files = ", ".join(service.broke_before[:LISTED_FILES]) + (f" and {more} more" if more > 0 else "")
    points = 2 if service.broke_before else 0
    return RiskReason(points, f"{service.name}: changes of {files} were turned back or rolled back before")


def _migration(service: ServiceRiskFacts) -> RiskReason:
    found = _MIGRATIONS[service.migration]
    return RiskReason(found.points, f"{service.name}: {found.text}")


def _failures(service: ServiceRiskFacts) -> RiskReason:
    points = (2 if 3 * service.failed >= service.deployed else 1) if service.failed else 0
    return RiskReason(points, f"{service.name}: {service.failed} of its last {service.deployed} deployments failed")


def _first(service: ServiceRiskFacts) -> RiskReason:
    return RiskReason(int(service.is_first), f"{service.name}: first deployment here, nothing to go back to")


def _no_way_back(service: ServiceRiskFacts) -> RiskReason:
    return RiskReason(2 if service.no_way_back else 0, f"{service.name}: {service.no_way_back}")


def _time(moment: datetime) -> RiskReason:
    when = f"{moment:%A %H:%M} {moment.tzname() or ''}".rstrip()
    if moment.weekday() > FRIDAY:
        return RiskReason(1, f"on a weekend: {when}")
    if moment.hour >= NIGHT or moment.hour < MORNING:
        return RiskReason(1, f"at night: {when}")
    is_friday_evening = moment.weekday() == FRIDAY and moment.hour >= EVENING
    return RiskReason(int(is_friday_evening), f"before a weekend: {when}")
