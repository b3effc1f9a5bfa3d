"""The doctor checks everything a deployment needs, and changes nothing."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from abreast.cli.redaction import redact
from abreast.cli.selection import locate_workspace
from abreast.cli.views.diagnostics import diagnostic_lines
from abreast.config.flags import built_in_flag_notes
from abreast.config.render_blueprint import diagnose_blueprint, read_blueprint
from abreast.core.codec import dump
from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.errors import AbreastError, ConfigError, StateError, UsageError
from abreast.core.wording import counted
from abreast.deploy.doctor import diagnose_environment, diagnose_repository
from abreast.detection.comparison import compare_with_repository
from abreast.detection.detect import draft_config
from abreast.ledger.sqlite import SqliteLedger
from abreast.wiring.assembly import Assembly

PROJECT = "project"
FAILING_SEVERITIES = frozenset({DiagnosticSeverity.FAULT, DiagnosticSeverity.UNKNOWN})

Findings = dict[str, list[Diagnostic]]
"""Diagnostics by environment, and those of the whole project under PROJECT."""


def doctor(environment: str | None, *, github: bool, fix: bool, as_json: bool) -> int:
    """Print all diagnostics. Returns 1 if something is wrong or could not be checked."""
    if fix and not github:
        raise UsageError("--fix mends settings at GitHub only", need="--github", next="abreast doctor --github --fix")
    if github:
        from abreast.cli.commands.github_settings import check_github  # noqa: PLC0415 (slow, and only this needs it)

        return check_github(environment, fix=fix, as_json=as_json)
    findings = _collect_findings(Assembly(locate_workspace()), environment)
    if as_json:
        document = {where: [dump(diagnostic, Diagnostic) for diagnostic in found] for where, found in findings.items()}
        print(redact(json.dumps(document, indent=2)))
    else:
        for line in _report_lines(findings):
            print(redact(line))
    return (
        1 if any(diagnostic.level in FAILING_SEVERITIES for found in findings.values() for diagnostic in found) else 0
    )


def _collect_findings(assembly: Assembly, requested: str | None) -> Findings:
    try:
        project = assembly.project
    except ConfigError as error:
        return {PROJECT: _config_diagnostics(error)}
    if requested is not None and requested not in project.environments:
        project.environment(requested)
    summary = f"{counted(len(project.environments), 'environment')}: {', '.join(project.environments)}"
    drift = [
        Diagnostic(DiagnosticSeverity.WARNING, "abreast.yml", missing, "the same variables in both")
        for missing in project.resolver.variable_drift()
    ]
    drift += [
        Diagnostic(
            DiagnosticSeverity.WARNING, "abreast.yml", note, "the same value in both, or code that asks a backend"
        )
        for name in project.environments
        for note in built_in_flag_notes(project.resolver.project, name)
    ]
    findings: Findings = {PROJECT: [Diagnostic(DiagnosticSeverity.OK, "abreast.yml", summary), *drift]}
    try:
        ledger = assembly.workspace.open_ledger()
    except AbreastError as error:
        findings[PROJECT].append(Diagnostic.from_error("record", error))
        return findings
    with ledger:
        findings[PROJECT].append(_check_audit_trail(ledger))
        names = [requested] if requested else project.environments
        asyncio.run(_check_environments(assembly, ledger, names, findings))
    return findings


def _check_audit_trail(ledger: SqliteLedger) -> Diagnostic:
    try:
        damage = ledger.find_damage()
    except StateError as error:
        return Diagnostic.from_error("record", error)
    if damage:
        return Diagnostic(DiagnosticSeverity.FAULT, "record", damage, "the ledger as abreast wrote it")
    return Diagnostic(DiagnosticSeverity.OK, "record", "the audit trail is intact")


async def _check_environments(
    assembly: Assembly, ledger: SqliteLedger, names: Sequence[str], findings: Findings
) -> None:
    project = assembly.project
    findings[PROJECT] += await diagnose_repository(assembly.ports(names[0], ledger))
    drafts = draft_config(assembly.workspace.root).services
    for name in names:
        try:
            environment = project.environment(name)
        except ConfigError as error:
            findings[name] = _config_diagnostics(error)
            continue
        findings[name] = [
            *_lock_diagnostics(ledger, name),
            *diagnose_blueprint(environment, read_blueprint(assembly.workspace.root)),
            *compare_with_repository(environment, drafts),
        ]
        findings[name] += await diagnose_environment(assembly.ports(name, ledger), environment)


def _lock_diagnostics(ledger: SqliteLedger, name: str) -> Iterator[Diagnostic]:
    if operator := ledger.operator_lock(name):
        what = f"locked by {operator['by']} since {operator['since']}: {operator['reason']}"
        yield Diagnostic(DiagnosticSeverity.WARNING, "lock", what, next=f"abreast unlock --env {name}")


def _config_diagnostics(error: ConfigError) -> list[Diagnostic]:
    return [Diagnostic(DiagnosticSeverity.FAULT, "abreast.yml", str(fault), next=error.next) for fault in error.faults]


def _report_lines(findings: Mapping[str, Sequence[Diagnostic]]) -> Iterator[str]:
    for where, found in findings.items():
        yield where
        yield from diagnostic_lines(found)
    count = Counter(diagnostic.level for found in findings.values() for diagnostic in found)
    del count[DiagnosticSeverity.OK]
    if not count:
        yield "no problems found. next: abreast plan"
        return
    yield ", ".join(f"{number} {level}{'s' if number > 1 else ''}" for level, number in sorted(count.items()))
