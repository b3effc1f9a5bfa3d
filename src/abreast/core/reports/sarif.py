"""Findings as SARIF 2.1.0, for editors and code scanning (https://docs.oasis-open.org/sarif/sarif/v2.1.0/)."""

from collections.abc import Sequence
from typing import Any

from abreast.core.gates import Finding, Severity

_LEVELS = {Severity.LOW: "note", Severity.MEDIUM: "warning"}
_SCORES = {Severity.LOW: "3.0", Severity.MEDIUM: "5.5", Severity.HIGH: "8.0", Severity.CRITICAL: "9.5"}


def document(gate: str, findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings of a gate as a SARIF log with one run."""
    worst = {finding.rule: finding for finding in sorted(findings, key=lambda finding: finding.severity.rank)}
    rules = [
        {"id": rule, "shortDescription": {"text": rule}, "properties": {"security-severity": _SCORES[finding.severity]}}
        for rule, finding in worst.items()
    ]
    driver = {"name": f"abreast {gate}", "rules": rules}
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": [_result(finding) for finding in findings]}],
    }


def _result(finding: Finding) -> dict[str, Any]:
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "level": _LEVELS.get(finding.severity, "error"),
        "message": {"text": finding.message},
    }
    if finding.file:
        where: dict[str, Any] = {"artifactLocation": {"uri": finding.file}}
        if finding.line:
            where["region"] = {"startLine": finding.line}
        result["locations"] = [{"physicalLocation": where}]
    return result
