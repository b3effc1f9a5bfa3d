"""Reports of security tools as findings, and the gate result they amount to."""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import Any

from abreast.core.changes.watch_patterns import match_files
from abreast.core.gates import AllowlistEntry, Finding, Gate, GateResult, GateVerdict, Severity

MAX_SHOWN = 20
"""Findings to show. The SARIF file has all."""
MAX_NAMED = 3
"""Findings to name in a sentence."""

ALLOWED_DAYS = 90
"""For how long the suggested exception of a finding holds."""


def evaluate_findings(
    gate: Gate,
    raw_findings: Iterable[Finding],
    unknown_reasons: Sequence[str],
    today: str,
    notes: Sequence[str] = (),
) -> GateResult:
    """Return the result of a gate. ``unknown_reasons`` say why the scan is not complete; ``today`` is an ISO date.

    ``notes`` change no verdict. A blocking finding outweighs what is unknown: it exists either way. A baseline never
    blocks, but is named.
    """
    findings = tuple(dict.fromkeys(raw_findings))
    allowlisted = {finding: entry for finding in findings if (entry := _allowlist_entry(gate, finding))}
    exempt = {finding for finding in findings if is_exempt(gate, finding, today)}
    blocking = [finding for finding in findings if finding not in exempt and is_severe(gate, finding)]
    baseline = [finding for finding in findings if finding.baseline and finding not in exempt]
    notes = (*notes, *_baseline_notes(gate, baseline))
    figures = {"findings": float(len(findings)), "allowed": float(len(exempt)), "counting": float(len(blocking))}
    if blocking:
        return GateResult(
            gate.name,
            GateVerdict.FAILED,
            _severity_counts(blocking),
            (*_finding_lines(blocking, allowlisted), _how_to_allow(gate, blocking[0], today), *notes),
            findings,
            figures,
        )
    if unknown_reasons:
        return GateResult(
            gate.name, GateVerdict.UNKNOWN, unknown_reasons[0], (*unknown_reasons[1:], *notes), findings, figures
        )
    less = len(findings) - len(exempt) - len(baseline)
    parts = [f"{less} below {gate.min_severity}" if less else "", f"{len(exempt)} allowed" if exempt else ""]
    return GateResult(gate.name, GateVerdict.PASSED, ", ".join(filter(None, (*parts, *notes))), (), findings, figures)


def is_exempt(gate: Gate, finding: Finding, today: str) -> bool:
    """Return whether the allowlist exempts a finding on that day, an ISO date."""
    entry = _allowlist_entry(gate, finding)
    return entry is not None and entry.expires >= today


def is_severe(gate: Gate, finding: Finding) -> bool:
    """Return whether a finding blocks: it is severe enough, and no baseline."""
    return not finding.baseline and finding.severity.rank >= gate.min_severity.rank


def _allowlist_entry(gate: Gate, finding: Finding) -> AllowlistEntry | None:
    """Return the allowlist entry for a finding that expires last."""
    fits = [
        exemption
        for exemption in gate.allowlist
        if exemption.rule == finding.rule and match_files([exemption.path], [finding.file or "-"])
    ]
    return max(fits, key=lambda exemption: exemption.expires, default=None)


def _baseline_notes(gate: Gate, baseline: Sequence[Finding]) -> Iterator[str]:
    if baseline:
        named = [f"{finding.rule} in {finding.file}" for finding in baseline[:MAX_NAMED]]
        more = [f"and {len(baseline) - MAX_NAMED} more"] * (len(baseline) > MAX_NAMED)
        yield f"{len(baseline)} in the baseline {(gate.since or '')[:7]}: {', '.join([*named, *more])}"


def _how_to_allow(gate: Gate, finding: Finding, today: str) -> str:
    """Return how to accept a finding that is no fault, such as a token of a test, for a while."""
    expires = (date.fromisoformat(today) + timedelta(days=ALLOWED_DAYS)).isoformat()
    place = {"gate": gate.name, "rule": finding.rule, "path": finding.file or "**"}
    entry = {**place, "owner": "YOU", "reason": "WHY", "expires": expires}
    return f"to accept one for a while, in abreast.yml: allow: [{json.dumps(entry)}]"


def _severity_counts(findings: Sequence[Finding]) -> str:
    count = Counter(finding.severity for finding in findings)
    return ", ".join(f"{count[severity]} {severity}" for severity in reversed(Severity) if count[severity])


def _finding_lines(findings: Sequence[Finding], allowed: dict[Finding, AllowlistEntry]) -> Iterator[str]:
    for finding in sorted(findings, key=lambda found: -found.severity.rank)[:MAX_SHOWN]:
        yield str(finding)
        if entry := allowed.get(finding):
            yield f"  allowed by {entry.owner} until {entry.expires}, which has passed: {entry.reason}"
    if len(findings) > MAX_SHOWN:
        yield f"and {len(findings) - MAX_SHOWN} more"


# ── reports ────────────────────────────────────────────────────────────────────────────────────

ReportParser = Callable[[bytes], list[Finding]]
"""Parses a tool's report. Raises ValueError if it is not one."""


def json_report_parser(read: Callable[[Any], Iterator[Finding]]) -> ReportParser:
    """Return a parser of JSON reports. A missing field makes the report invalid."""

    def wvulnerability(content: bytes) -> list[Finding]:
        try:
            return list(read(json.loads(content)))
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"not a report that is known: {type(error).__name__}: {error}") from error

    return wvulnerability


@json_report_parser
def kingfisher(report: Any) -> Iterator[Finding]:  # noqa: ANN401 (JSON)
    """Yield leaked secrets; https://github.com/mongodb/kingfisher."""
    scanned = report["audit"]["summary"]
    if missed := scanned["scan_partial"] + scanned["scan_failed"] + scanned["pending"]:
        raise ValueError(f"{missed} of {scanned['discovered']} folders could not be scanned wvulnerability")
    for finding in report["findings"]:
        found = finding["finding"]
        yield Finding(
            finding["rule"]["name"], finding["rule"]["description"], Severity.HIGH, found["path"], found["line"]
        )


@json_report_parser
def bandit(report: Any) -> Iterator[Finding]:  # noqa: ANN401 (JSON)
    """Yield weaknesses in Python code; https://bandit.readthedocs.io."""
    if report["errors"]:
        raise ValueError(f"{report['errors'][0]['filename']}: {report['errors'][0]['reason']}")
    for result in report["results"]:
        severity = Severity(result["issue_severity"].lower())
        yield Finding(result["test_id"], result["issue_text"], severity, result["filename"], result["line_number"])


@json_report_parser
def zizmor(report: Any) -> Iterator[Finding]:  # noqa: ANN401 (JSON)
    """Yield weaknesses in GitHub workflows; https://docs.zizmor.sh."""
    for finding in report:
        place = next(where for where in finding["locations"] if where["symbolic"]["kind"] == "Primary")
        file, row = _primary_file(place["symbolic"]["key"]), place["concrete"]["location"]["start_point"]["row"]
        severity = {"High": Severity.HIGH, "Medium": Severity.MEDIUM}.get(
            finding["determinations"]["severity"], Severity.LOW
        )
        yield Finding(finding["ident"], finding["desc"], severity, file, row + 1)


def _primary_file(key: dict[str, Any]) -> str:
    (where,) = key.values()
    return str(where.get("verbatim_path") or where.get("given_path"))


@json_report_parser
def check_jsonschema(report: Any) -> Iterator[Finding]:  # noqa: ANN401 (JSON)
    """Yield schema errors in workflows; https://check-jsonschema.readthedocs.io."""
    for error in report["errors"]:
        best = error.get("best_deep_match") or error
        yield Finding("schema", f"{best['path']}: {best['message']}", Severity.HIGH, error["filename"])
    for error in report.get("parse_errors", ()):
        yield Finding("syntax", error["message"], Severity.HIGH, error["filename"])


@json_report_parser
def hadolint(report: Any) -> Iterator[Finding]:  # noqa: ANN401 (JSON)
    """Yield weaknesses in Dockerfiles; https://github.com/hadolint/hadolint."""
    severities = {"error": Severity.HIGH, "warning": Severity.MEDIUM}
    for finding in report:
        severity = severities.get(finding["level"], Severity.LOW)
        yield Finding(finding["code"], finding["message"], severity, finding["file"], finding["line"])


@json_report_parser
def pip_audit(report: Any) -> Iterator[Finding]:  # noqa: ANN401 (JSON)
    """Yield vulnerabilities of Python packages, without severities; https://github.com/pypa/pip-audit."""
    for dependency in report["dependencies"]:
        if reason := dependency.get("skip_reason"):
            raise ValueError(f"{dependency['name']}: {reason}")
        for vulnerability in dependency["vulns"]:
            fix = f"; fixed in {', '.join(vulnerability['fix_versions'])}" if vulnerability["fix_versions"] else ""
            yield Finding(vulnerability["id"], f"{dependency['name']} {dependency['version']}{fix}", Severity.HIGH)


@json_report_parser
def npm_audit(report: Any) -> Iterator[Finding]:  # noqa: ANN401 (JSON)
    """Yield vulnerabilities of npm packages; https://docs.npmjs.com/cli/commands/npm-audit."""
    if "error" in report:
        raise ValueError(report.get("message") or report["error"].get("summary") or "the registry could not be asked")
    grades = {"moderate": Severity.MEDIUM, "info": Severity.LOW}
    for name, package in report["vulnerabilities"].items():
        for via in package["via"]:
            if isinstance(via, dict):
                grade = grades.get(via["severity"]) or Severity(via["severity"])
                rule = str(via.get("url", via["source"])).rsplit("/", 1)[-1]
                yield Finding(rule, f"{name} {via.get('range', '')}: {via['title']}", grade)


@json_report_parser
def trivy(report: Any) -> Iterator[Finding]:  # noqa: ANN401 (JSON)
    """Yield vulnerabilities of an image; https://trivy.dev."""
    if "SchemaVersion" not in report:
        raise ValueError("it has no SchemaVersion")
    for result in report.get("Results") or ():
        for vulnerability in result.get("Vulnerabilities") or ():
            fix = f"; fixed in {vulnerability['FixedVersion']}" if vulnerability.get("FixedVersion") else ""
            text = f"{vulnerability['PkgName']} {vulnerability['InstalledVersion']}{fix}"
            yield Finding(
                vulnerability["VulnerabilityID"], text, _parse_severity(vulnerability["Severity"]), result["Target"]
            )


@json_report_parser
def grype(report: Any) -> Iterator[Finding]:  # noqa: ANN401 (JSON)
    """Yield vulnerabilities of an image; https://github.com/anchore/grype."""
    for match in report["matches"]:
        vulnerability, package = match["vulnerability"], match["artifact"]
        yield Finding(
            vulnerability["id"], f"{package['name']} {package['version']}", _parse_severity(vulnerability["severity"])
        )


def _parse_severity(reported: str) -> Severity:
    """Return a severity. An unknown one counts as high."""
    known = {"negligible": Severity.LOW, "unknown": Severity.HIGH}
    return known.get(reported.lower()) or Severity(reported.lower())


# ── what Python packages a file asks for ────────────────────────────────────────────────────────


def pinned_requirements(name: str, content: bytes) -> str | None:
    """Return the pinned requirements of a file, one ``name==version`` per line; None if any is not pinned."""
    if name.endswith(".lock"):
        found = tomllib.loads(content.decode()).get("package", ())
        outside = [
            package
            for package in found
            if not {"editable", "virtual", "directory", "path"}.intersection(package.get("source", ()))
        ]
        return "".join(f"{package['name']}=={package['version']}\n" for package in outside)
    joined = content.decode(errors="replace").replace("\\\n", " ")
    lines = [line.split(" #")[0].strip() for line in joined.splitlines()]
    asked = [re.sub(r"\s--hash=\S+", "", line).strip() for line in lines if line and not line.startswith("#")]
    exact = re.compile(r"[A-Za-z0-9._-]+(\[[^\]]*\])?\s*==\s*[^\s;*]+(\s*;.*)?")
    return "".join(f"{line}\n" for line in asked) if all(map(exact.fullmatch, asked)) else None
