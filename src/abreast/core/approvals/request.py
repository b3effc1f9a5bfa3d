"""What people are shown who have to agree to a deployment, as one value for everything that shows it."""

from collections.abc import Iterable, Iterator

from abreast.core.approvals.rule import ApprovalRule, ApprovalState
from abreast.core.commits import CommitRange
from abreast.core.frozen_dataclass import dataclass
from abreast.core.risk import Risk
from abreast.core.wording import counted, rough_duration

SHORT_ID = 7


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """What happens to one service, and why. ``before`` is the release that is live of it, "" if none is.

    ``strategy`` is how users get to its new version, "" for the usual way.
    """

    name: str
    platform: str
    action: str
    why: str
    before: str = ""
    strategy: str = ""


@dataclass(frozen=True, slots=True)
class MigrationChange:
    """What happens to the database of a service, step by step, and what of it would break the running version."""

    service: str
    steps: tuple[str, ...]
    risks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GateOutcome:
    """What a gate said. ``service`` is "" for one of the whole project."""

    gate: str
    service: str
    verdict: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class VariableChange:
    """A variable that differs from what is live. ``before`` and ``after`` are None where it is not set.

    Of a secret they are "" where it is: no value is known here.
    """

    service: str
    name: str
    before: str | None
    after: str | None
    is_secret: bool = False


@dataclass(frozen=True, slots=True)
class ReleaseChanges:
    """What a deployment changes, as it was when people were asked. Texts are redacted.

    ``commits`` are those since what is live, or with ``is_backward`` those that are taken back. ``duration`` is how
    many seconds it takes from the approval on, as deployments before did, None if none did. ``way_back`` is the
    command that takes it back, and what that does, or why there is none. ``unknown`` names what could not be found out.
    """

    commits: CommitRange = CommitRange()
    is_backward: bool = False
    services: tuple[ServiceChange, ...] = ()
    migrations: tuple[MigrationChange, ...] = ()
    gates: tuple[GateOutcome, ...] = ()
    variables: tuple[VariableChange, ...] = ()
    duration: float | None = None
    way_back: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """The request for an approval of a deployment. It holds for its recorded plan, and until ``expires`` (ISO 8601).

    ``barred`` are those of the rule's people who may not approve, since they are authors. ``approved`` have.
    ``risk`` is as it was known when the deployment was planned. ``state`` is what the votes have made of it.
    """

    deployment: str
    environment: str
    release: str
    rule: ApprovalRule
    expires: str
    changes: ReleaseChanges = ReleaseChanges()
    barred: tuple[str, ...] = ()
    approved: tuple[str, ...] = ()
    risk: Risk | None = None
    state: ApprovalState = ApprovalState.PENDING

    @property
    def missing(self) -> int:
        """How many more people have to agree."""
        return max(0, self.rule.required - len(self.approved))


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, and lines below it."""

    title: str
    lines: tuple[str, ...]

    def shortened(self, lines: int, characters: int) -> "Section":
        """Return it with at most so many lines, one at least, of at most so many characters."""
        count = max(1, lines)
        rest = (f"and {len(self.lines) - count} more",) if len(self.lines) > count else ()
        return Section(self.title, (*(cut(line, characters) for line in self.lines[:count]), *rest))


def cut(text: str, length: int) -> str:
    """Return the text in one line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[: length - 1]}…"


def request_sections(request: ApprovalRequest) -> tuple[Section, ...]:
    """Return the request as text, what matters most first. Receivers shorten it from the end of each section."""
    changes = request.changes
    sections = (
        ("Approval", _who(request)),
        ("Risk", _risk(request.risk)),
        ("Commits", _commits(changes)),
        ("Services", map(_service, changes.services)),
        ("Migrations", _migrations(changes.migrations)),
        ("Gates", map(_gate, changes.gates)),
        ("Variables", map(_variable, changes.variables)),
        ("Not known", changes.unknown),
        ("Duration", [f"about {rough_duration(changes.duration)}"] if changes.duration else []),
        ("Way back", changes.way_back),
    )
    listed = [(title, tuple(lines)) for title, lines in sections]
    return tuple(Section(title, lines) for title, lines in listed if lines)


def _who(request: ApprovalRequest) -> Iterator[str]:
    rule = request.rule
    able = [person for person in rule.people if person not in request.barred]
    yield f"{rule.required} of {', '.join(able) or 'nobody'}, until {request.expires}"
    if request.barred:
        yield f"not {', '.join(request.barred)}: {counted(len(request.barred), 'author')} of it"
    if request.approved:
        yield f"approved by {', '.join(request.approved)}; {request.missing} more needed"


def _risk(risk: Risk | None) -> Iterator[str]:
    if risk:
        yield f"{risk.level} ({counted(risk.points, 'point')})"
        yield from (f"+{reason.points} {reason.text}" for reason in risk.reasons)


def _commits(changes: ReleaseChanges) -> Iterator[str]:
    commits = changes.commits
    is_first = not any(change.before for change in changes.services)
    verb = "taken back" if changes.is_backward else "in all" if is_first else "since what is live"
    if commits.count is None:
        yield f"not all commits {verb} are in this clone; the newest:"
    elif commits.count:
        yield f"{counted(commits.count, 'commit')} {verb}"
    yield from (f"{commit.id[:SHORT_ID]} {commit.subject} ({commit.author})" for commit in commits.newest)
    if (commits.count or 0) > len(commits.newest):
        yield f"and {(commits.count or 0) - len(commits.newest)} older"


def _service(change: ServiceChange) -> str:
    before = f", {change.before} is live" if change.before else ", for the first time"
    strategy = f"; strategy: {change.strategy}" if change.strategy else ""
    return f"{change.name}: {change.action} on {change.platform}{before}: {change.why}{strategy}"


def _migrations(migrations: Iterable[MigrationChange]) -> Iterator[str]:
    for migration in migrations:
        yield from (f"{migration.service}: RISK: {risk}" for risk in migration.risks)
        yield from (f"{migration.service}: {step}" for step in migration.steps)


def _gate(outcome: GateOutcome) -> str:
    name = f"{outcome.gate} of {outcome.service}" if outcome.service else outcome.gate
    return f"{name} {outcome.verdict}{': ' if outcome.why else ''}{outcome.why}"


def _variable(change: VariableChange) -> str:
    name = f"{change.service}: {change.name}"
    if change.after is None:
        return f"{name} is removed"
    if change.is_secret:
        return f"{name} (a secret) {'is new' if change.before is None else 'has another value'}"
    return f"{name} = {change.after}{' (new)' if change.before is None else f' (was {change.before})'}"
