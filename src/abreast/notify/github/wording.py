"""What GitHub is told of a deployment: states, reports and texts. Nothing here talks to GitHub."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

from abreast.core.approvals.request import request_sections
from abreast.core.events import Event, EventKind
from abreast.core.gates import Finding, Severity
from abreast.core.model import LiveService
from abreast.core.plan import DeploymentKind, ServicePlan
from abreast.core.states import DeploymentState
from abreast.github.resources import Annotation, AnnotationLevel, CheckReport, Conclusion
from abreast.github.resources import DeploymentState as State
from abreast.notify.interface import Snapshot

MAX_OUTPUT_LINES, MAX_OUTPUT = 20, 3000
"""Lines and characters of a failed command's output."""

MAX_SECTION_LINES, MAX_LINE = 20, 200
"""Lines of each section of a request for an approval, and characters of each."""

_ICONS = {
    State.QUEUED: "⏳", State.PENDING: "✋", State.IN_PROGRESS: "🔄", State.SUCCESS: "✅", State.FAILURE: "❌",
    State.ERROR: "🚨", State.INACTIVE: "⚪",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ServiceReport:
    """What is told of one service. ``url`` is where users reach it, "" before the deployment is over."""

    state: State
    text: str
    url: str = ""


def service_report(snapshot: Snapshot, part: ServicePlan) -> ServiceReport:
    """Return what is told of a service that gets a new version."""
    if snapshot.is_removed:
        return ServiceReport(State.INACTIVE, "removed")
    match snapshot.state:
        case DeploymentState.WAITING:
            return ServiceReport(State.QUEUED, "waits for its turn")
        case DeploymentState.RUNNING:
            return ServiceReport(State.IN_PROGRESS, f"{snapshot.plan.release}: {snapshot.chapter}")
        case DeploymentState.APPROVING:
            return ServiceReport(State.PENDING, "waits for an approval")
        case DeploymentState.TURNING_BACK:
            return ServiceReport(State.IN_PROGRESS, "is turned back")
        case DeploymentState.SUCCEEDED:
            return _live_report(snapshot, part)
        case DeploymentState.TURNED_BACK:
            return _live_report(snapshot, part, State.FAILURE, "failed")
        case DeploymentState.CANCELLED:
            return _live_report(snapshot, part, State.INACTIVE, "cancelled")
        case DeploymentState.SUPERSEDED:
            return _live_report(snapshot, part, State.INACTIVE, "a newer commit is deployed instead")
        case DeploymentState.STUCK:
            return ServiceReport(State.ERROR, "failed and is not fully turned back: a person is needed")
        case _:
            assert_never(snapshot.state)


def _live_report(
    snapshot: Snapshot, part: ServicePlan, otherwise: State = State.SUCCESS, how: str = ""
) -> ServiceReport:
    """Return what is told at the end: which release of the service users reach."""
    live = snapshot.live.get(part.name)
    if live is None:
        return ServiceReport(otherwise, f"{how or 'done'}; no release is live")
    if live.deployment == snapshot.plan.deployment or otherwise is State.SUCCESS:
        return ServiceReport(State.SUCCESS, f"{live.release} is live", live.version.url)
    return ServiceReport(otherwise, f"{how}; {live.release} is live", live.version.url)


# ── the check run ──────────────────────────────────────────────────────────────────────────────


def check_report(snapshot: Snapshot) -> CheckReport:
    """Return what the check run says."""
    summary = "\n".join([*_table(snapshot), *_request(snapshot), *_failures(snapshot), *_next_command(snapshot)])
    conclusion = _conclusion(snapshot)
    notes = tuple(_annotations(snapshot.events)) if conclusion else ()
    return CheckReport(title(snapshot), summary, conclusion, snapshot.plan.run_url, notes)


def _conclusion(snapshot: Snapshot) -> Conclusion | None:
    """Return how the check run ended, None while it goes on."""
    match snapshot.state:
        case DeploymentState.SUCCEEDED:
            return Conclusion.SUCCESS
        case DeploymentState.TURNED_BACK:
            return Conclusion.FAILURE
        case DeploymentState.CANCELLED:
            return Conclusion.CANCELLED
        case DeploymentState.SUPERSEDED:
            return Conclusion.NEUTRAL
        case DeploymentState.STUCK | DeploymentState.APPROVING:
            return Conclusion.ACTION_REQUIRED
        case _:
            return None


def _annotations(events: Sequence[Event]) -> Iterator[Annotation]:
    """Yield the findings of gates that name a line."""
    for event in events:
        found = event.data.get("findings") if event.kind is EventKind.JUDGED else None
        for finding in found if isinstance(found, list) else ():
            if finding.get("file") and finding.get("line"):
                yield _annotation(Finding(**{**finding, "severity": Severity(finding["severity"])}))


def _annotation(finding: Finding) -> Annotation:
    is_grave = finding.severity in {Severity.HIGH, Severity.CRITICAL}
    level = AnnotationLevel.FAILURE if is_grave else AnnotationLevel.WARNING
    return Annotation(finding.file, finding.line, level, f"{finding.rule}: {finding.message}")


# ── the comment ────────────────────────────────────────────────────────────────────────────────


def deploy_marker(environment: str) -> str:
    """Return the first line of the comment about an environment, which GitHub does not show."""
    return f"<!-- abreast:deploy:{environment} -->"


def comment_body(snapshot: Snapshot) -> str:
    """Return the comment about a deployment."""
    commit = f"Commit {snapshot.plan.commit[:7]}"
    log = f" · [log]({snapshot.plan.run_url})" if snapshot.plan.run_url else ""
    return "\n".join(
        [
            deploy_marker(snapshot.plan.environment), f"**{title(snapshot)}**", "", *_table(snapshot),
            *_request(snapshot), *_failures(snapshot), *_next_command(snapshot), "", f"{commit}{log}",
        ]
    )  # fmt: skip


# ── what both have ─────────────────────────────────────────────────────────────────────────────


def title(snapshot: Snapshot) -> str:
    """Return a deployment in a sentence."""
    release, environment = snapshot.plan.release, snapshot.plan.environment
    if snapshot.is_removed:
        return f"The preview {environment} is removed"
    match snapshot.state:
        case DeploymentState.SUCCEEDED:
            return f"{release} is live in {environment}"
        case DeploymentState.TURNED_BACK:
            return f"{release} failed and was turned back in {environment}"
        case DeploymentState.CANCELLED:
            return f"{release} was cancelled in {environment}"
        case DeploymentState.SUPERSEDED:
            return f"{release} was not deployed to {environment}: a newer commit is"
        case DeploymentState.STUCK:
            return f"{release} failed and is NOT fully turned back in {environment}: a person is needed"
        case DeploymentState.APPROVING:
            return f"{release} waits for an approval in {environment}"
        case DeploymentState.WAITING:
            return f"{release} waits for its turn in {environment}"
        case DeploymentState.TURNING_BACK:
            return f"{release} failed and is turned back in {environment}"
        case DeploymentState.RUNNING:
            verb = "Rolling back to" if snapshot.plan.kind is DeploymentKind.ROLLBACK else "Deploying"
            return f"{verb} {release} in {environment}: {snapshot.chapter}"
        case _:
            assert_never(snapshot.state)


def _table(snapshot: Snapshot) -> list[str]:
    rows = [_row(part, service_report(snapshot, part)) for part in snapshot.plan.rollouts]
    rows += [_shared_row(part, part.shared) for part in snapshot.plan.services if part.shared]
    return ["| service | platform | |", "|---|---|---|", *rows] if rows else []


def _row(part: ServicePlan, report: ServiceReport) -> str:
    url = f" {report.url}" if report.url else ""
    return f"| {part.name} | {part.service.platform} | {_ICONS[report.state]} {_cell(report.text)}{url} |"


def _shared_row(part: ServicePlan, shared: LiveService) -> str:
    return f"| {part.name} | {shared.platform} | ↪️ {_cell(part.why)} {shared.version.url} |"


def _cell(text: str) -> str:
    return re.sub(r"[\n|]", " ", text)


def _failures(snapshot: Snapshot) -> list[str]:
    if snapshot.state is DeploymentState.SUCCEEDED:
        return []
    return [line for event in snapshot.failures for line in _failure(event)]


def _request(snapshot: Snapshot) -> list[str]:
    """Return what people are asked to approve, each section in a block, as failures are."""
    sections = request_sections(snapshot.request) if snapshot.request else ()
    shown = (section.shortened(MAX_SECTION_LINES, MAX_LINE) for section in sections)
    return [line for section in shown for line in ("", f"**{section.title}**", "", *_block("\n".join(section.lines)))]


def _failure(event: Event) -> list[str]:
    """Return a failure, with the end of its output."""
    where = " ".join(filter(None, [event.service, event.chapter]))
    lines = event.message.strip().splitlines()[-MAX_OUTPUT_LINES:]
    text = "\n".join(lines)[-MAX_OUTPUT:]
    return ["", f"{where or 'The deployment'} failed:", "", *_block(text)]


def _block(text: str) -> list[str]:
    """Return a block of code: nothing in it mentions anybody or makes a link."""
    fence = "`" * max(3, 1 + max(map(len, re.findall(r"`+", text)), default=0))
    return [fence, text, fence]


def _next_command(snapshot: Snapshot) -> list[str]:
    if snapshot.state is DeploymentState.APPROVING:
        return ["", f"Next: `abreast approve {snapshot.plan.deployment}`"]
    if snapshot.state in {DeploymentState.TURNED_BACK, DeploymentState.STUCK}:
        return ["", f"Next: `abreast logs {snapshot.plan.deployment}`"]
    return []
