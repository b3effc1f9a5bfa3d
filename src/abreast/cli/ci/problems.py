"""What failed in a deployment, as problems that a CI system shows where they are."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from abreast.cli.ci.interface import Problem
from abreast.core.codec import load
from abreast.core.events import Event, EventKind
from abreast.core.gates import Finding, Gate, GateResult
from abreast.core.plan import Plan
from abreast.core.reports.scan_results import is_exempt, is_severe


def deployment_problems(plan: Plan, events: Sequence[Event], project_folder: str) -> Iterator[Problem]:
    """Yield what stopped a deployment, then the failed tests and findings of its gates.

    ``project_folder`` is the project's folder in its repository, "" for its top.
    """
    for event in events:
        if event.kind is EventKind.FAILED:
            where = " ".join(filter(None, (event.service, event.chapter)))
            yield Problem(where or plan.environment, event.message)
    gates = {gate.key: gate for gate in plan.gates}
    for event in events:
        if event.kind is EventKind.JUDGED and (gate := gates.get(event.key.rsplit("/", 2)[0])):
            result = load(GateResult, event.data)
            for finding in result.findings:
                if not is_exempt(gate, finding, event.at[:10]):
                    yield _finding_problem(gate, result, finding, project_folder)


def _finding_problem(gate: Gate, result: GateResult, finding: Finding, project_folder: str) -> Problem:
    file = str(PurePosixPath(project_folder, finding.file)) if finding.file else ""
    is_error = result.is_blocking and is_severe(gate, finding)
    return Problem(f"{gate.key}: {finding.rule}", finding.message, file, finding.line, is_error)


def project_folder(root: Path) -> str:
    """Return the folder of a project in its repository, "" for the top."""
    top = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)
    return "" if top == root else root.relative_to(top).as_posix()
