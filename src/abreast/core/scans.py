"""What security tools report, to findings, and what those amount to: thresholds, and what is allowed for a while."""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from abreast.core.gates import Allowed, Finding, Gate, Judgement, Severity, Verdict
from abreast.core.watch import decide

SHOWN = 20
"""Findings that are shown; the SARIF file has all."""


def judged(gate: Gate, found: Iterable[Finding], unknown: Sequence[str], today: str) -> Judgement:
    """Return what findings amount to; ``unknown`` says what could not be looked at, ``today`` is an ISO date.

    A finding that counts outweighs what is not known: it is there either way.
    """
    findings = tuple(dict.fromkeys(found))
    allowed = {finding: entry for finding in findings if (entry := _allowing(gate, finding))}
    holding = {finding for finding, entry in allowed.items() if entry.expires >= today}
    counting = [one for one in findings if one not in holding and one.severity.rank >= gate.block.rank]
    figures = {"findings": float(len(findings)), "allowed": float(len(holding)), "counting": float(len(counting))}
    if counting:
        return Judgement(
            gate.name, Verdict.FAILED, _count(counting), tuple(_lines(counting, allowed)), findings, figures
        )
    if unknown:
        return Judgement(gate.name, Verdict.UNKNOWN, unknown[0], tuple(unknown[1:]), findings, figures)
    less = len(findings) - len(holding)
    told = [f"{less} below {gate.block}" if less else "", f"{len(holding)} allowed" if holding else ""]
    return Judgement(gate.name, Verdict.PASSED, ", ".join(filter(None, told)), (), findings, figures)


def _allowing(gate: Gate, finding: Finding) -> Allowed | None:
    """Return what allows a finding, the one that does so longest."""
    fits = [one for one in gate.allow if one.rule == finding.rule and decide([one.path], [finding.file or "-"])]
    return max(fits, key=lambda one: one.expires, default=None)


def _count(findings: Sequence[Finding]) -> str:
    count = Counter(one.severity for one in findings)
    return ", ".join(f"{count[severity]} {severity}" for severity in reversed(Severity) if count[severity])


def _lines(findings: Sequence[Finding], allowed: dict[Finding, Allowed]) -> Iterator[str]:
    for finding in sorted(findings, key=lambda one: -one.severity.rank)[:SHOWN]:
        yield str(finding)
        if entry := allowed.get(finding):
            yield f"  allowed by {entry.owner} until {entry.expires}, which has passed: {entry.reason}"
    if len(findings) > SHOWN:
        yield f"and {len(findings) - SHOWN} more"


# ── reports ────────────────────────────────────────────────────────────────────────────────────

Read = Callable[[bytes], list[Finding]]
"""Returns what a tool's report says; raises ValueError where it is none."""


def reader(read: Callable[[Any], Iterator[Finding]]) -> Read:
    """Return what reads a JSON report; whatever is missing in it makes it none."""

    def whole(content: bytes) -> list[Finding]:
        try:
            return list(read(json.loads(content)))
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"not a report that is known: {type(error).__name__}: {error}") from error

    return whole


@reader
def kingfisher(report: Any) -> Iterator[Finding]:  # noqa: ANN401 (JSON)
    """Yield secrets; https://github.com/mongodb/kingfisher."""
    scanned = report["audit"]["summary"]
    if missed := scanned["scan_partial"] + scanned["scan_failed"] + scanned["pending"]:
        raise ValueError(f"{missed} of {scanned['discovered']} folders could not be scanned whole")
    for one in report["findings"]:
        found = one["finding"]
        yield Finding(one["rule"]["name"], one["rule"]["description"], Severity.HIGH, found["path"], found["line"])


@reader
def bandit(report: Any) -> Iterator[Finding]:  # noqa: ANN401 (JSON)
    """Yield weak places in Python; https://bandit.readthedocs.io."""
    if report["errors"]:
        raise ValueError(f"{report['errors'][0]['filename']}: {report['errors'][0]['reason']}")
    for one in report["results"]:
        severity = Severity(one["issue_severity"].lower())
        yield Finding(one["test_id"], one["issue_text"], severity, one["filename"], one["line_number"])


@reader
def zizmor(report: Any) -> Iterator[Finding]:  # noqa: ANN401 (JSON)
    """Yield weak places in workflows; https://docs.zizmor.sh."""
    for one in report:
        place = next(where for where in one["locations"] if where["symbolic"]["kind"] == "Primary")
        file, row = _file_of(place["symbolic"]["key"]), place["concrete"]["location"]["start_point"]["row"]
        severity = {"High": Severity.HIGH, "Medium": Severity.MEDIUM}.get(
            one["determinations"]["severity"], Severity.LOW
        )
        yield Finding(one["ident"], one["desc"], severity, file, row + 1)


def _file_of(key: dict[str, Any]) -> str:
    (where,) = key.values()
    return str(where.get("verbatim_path") or where.get("given_path"))


@reader
def check_jsonschema(report: Any) -> Iterator[Finding]:  # noqa: ANN401 (JSON)
    """Yield where a workflow is none; https://check-jsonschema.readthedocs.io."""
    for one in report["errors"]:
        best = one.get("best_deep_match") or one
        yield Finding("schema", f"{best['path']}: {best['message']}", Severity.HIGH, one["filename"])
    for one in report.get("parse_errors", ()):
        yield Finding("syntax", one["message"], Severity.HIGH, one["filename"])


@reader
def hadolint(report: Any) -> Iterator[Finding]:  # noqa: ANN401 (JSON)
    """Yield weak places in Dockerfiles; https://github.com/hadolint/hadolint."""
    severities = {"error": Severity.HIGH, "warning": Severity.MEDIUM}
    for one in report:
        severity = severities.get(one["level"], Severity.LOW)
        yield Finding(one["code"], one["message"], severity, one["file"], one["line"])


@reader
def pip_audit(report: Any) -> Iterator[Finding]:  # noqa: ANN401 (JSON)
    """Yield known holes of Python packages, which it does not grade; https://github.com/pypa/pip-audit."""
    for one in report["dependencies"]:
        if reason := one.get("skip_reason"):
            raise ValueError(f"{one['name']}: {reason}")
        for hole in one["vulns"]:
            mended = f"; mended in {', '.join(hole['fix_versions'])}" if hole["fix_versions"] else ""
            yield Finding(hole["id"], f"{one['name']} {one['version']}{mended}", Severity.HIGH)


@reader
def npm_audit(report: Any) -> Iterator[Finding]:  # noqa: ANN401 (JSON)
    """Yield known holes of packages from npm; https://docs.npmjs.com/cli/commands/npm-audit."""
    if "error" in report:
        raise ValueError(report.get("message") or report["error"].get("summary") or "the registry could not be asked")
    grades = {"moderate": Severity.MEDIUM, "info": Severity.LOW}
    for name, one in report["vulnerabilities"].items():
        for via in one["via"]:
            if isinstance(via, dict):
                grade = grades.get(via["severity"]) or Severity(via["severity"])
                rule = str(via.get("url", via["source"])).rsplit("/", 1)[-1]
                yield Finding(rule, f"{name} {via.get('range', '')}: {via['title']}", grade)


@reader
def trivy(report: Any) -> Iterator[Finding]:  # noqa: ANN401 (JSON)
    """Yield known holes in an image; https://trivy.dev."""
    if "SchemaVersion" not in report:
        raise ValueError("it has no SchemaVersion")
    for result in report.get("Results") or ():
        for one in result.get("Vulnerabilities") or ():
            mended = f"; mended in {one['FixedVersion']}" if one.get("FixedVersion") else ""
            text = f"{one['PkgName']} {one['InstalledVersion']}{mended}"
            yield Finding(one["VulnerabilityID"], text, _grade(one["Severity"]), result["Target"])


@reader
def grype(report: Any) -> Iterator[Finding]:  # noqa: ANN401 (JSON)
    """Yield known holes in an image; https://github.com/anchore/grype."""
    for one in report["matches"]:
        hole, package = one["vulnerability"], one["artifact"]
        yield Finding(hole["id"], f"{package['name']} {package['version']}", _grade(hole["severity"]))


def _grade(said: str) -> Severity:
    """Return a severity; one that nobody graded counts as high."""
    known = {"negligible": Severity.LOW, "unknown": Severity.HIGH}
    return known.get(said.lower()) or Severity(said.lower())


# ── what Python packages a file asks for ────────────────────────────────────────────────────────


def pinned(name: str, content: bytes) -> str | None:
    """Return the requirements that a file settles, one ``name==version`` a line; None where it leaves any open."""
    if name.endswith(".lock"):
        found = tomllib.loads(content.decode()).get("package", ())
        outside = [
            one for one in found if not {"editable", "virtual", "directory", "path"}.intersection(one.get("source", ()))
        ]
        return "".join(f"{one['name']}=={one['version']}\n" for one in outside)
    joined = content.decode(errors="replace").replace("\\\n", " ")
    lines = [line.split(" #")[0].strip() for line in joined.splitlines()]
    asked = [re.sub(r"\s--hash=\S+", "", line).strip() for line in lines if line and not line.startswith("#")]
    exact = re.compile(r"[A-Za-z0-9._-]+(\[[^\]]*\])?\s*==\s*[^\s;*]+(\s*;.*)?")
    return "".join(f"{line}\n" for line in asked) if all(map(exact.fullmatch, asked)) else None
