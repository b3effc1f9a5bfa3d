"""Security gates: real tools on real files, against databases that are servers of ours."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from abreast.commands.interface import Command
from abreast.commands.shell import run
from abreast.config.gate_schema import AllowedFinding
from abreast.core.gates import AllowlistEntry, Finding, Gate, GateResult, GateVerdict, ScanKind, Severity
from abreast.core.reports import sarif, scan_results
from abreast.gates import scan_gate, scan_tool
from abreast.gates.interface import CommandOutcome, GateContext
from advisory_database import AdvisoryDatabase, served
from sample_project import SampleProject, require_programs

KEY = "AKIA" + "QYLPMN5HHHFPZAM2"
"""Looks like one of AWS, with the secret below."""
SECRET = "1tUm636uS1yOEcfP5pvfqJ/" + "ml36mF7AkyHsEU0IU"
LEAK = f'AWS = "{KEY}"\nSECRET = "{SECRET}"\n'
WEAK = "import subprocess\ndef run(x):\n    subprocess.call(x, shell=True)\n"
WORKFLOW = "name: ci\non: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo ${{ github.event.issue.title }}\n"


@pytest.fixture(autouse=True)
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "PATH",
        f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:{Path(shutil.which('npm') or '/x/npm').parent}",
    )
    require_programs("kingfisher", "bandit", "zizmor", "hadolint", "pip-audit", "check-jsonschema", "npm")


@pytest.fixture
def database() -> Iterator[tuple[AdvisoryDatabase, dict[str, str]]]:
    """A database, and the variables by which tools ask it."""
    known = AdvisoryDatabase()
    with served(known) as env:
        yield known, env


def add(project: SampleProject, **files: str) -> None:
    for name, text in files.items():
        file = project.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def judged(project: SampleProject, gate: str) -> dict[str, Any]:
    events: list[dict[str, Any]] = project.latest_deployment()["events"]
    return next(dict(event["data"]) for event in events if event["kind"] == "judged" and event["data"]["gate"] == gate)


# ── secrets ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.exhaustive
def test_a_planted_key_exits_3_and_is_nowhere_in_the_output(project: SampleProject) -> None:
    project.config["gates"] = {"secrets": "block"}
    project.commit()
    project.deploy()
    assert judged(project, "secrets")["verdict"] == "passed"
    before = project.served_commits()
    add(project, **{"config/keys.py": LEAK})
    project.commit("Add keys")
    (project.folder / "config" / "keys.py").unlink()
    project.commit("Take them away again: they are in the history that goes out")
    done = project.deploy(code=3)
    assert "config/keys.py:1  aws-access-token" in done.stdout
    assert project.served_commits() == before
    shown = (
        project.run("show").stdout
        + project.run("logs", project.latest_deployment()["id"]).stdout
        + done.stdout
        + done.stderr
    )
    for secret in (KEY, SECRET):
        assert secret not in shown
        found = subprocess.run(
            ["grep", "-rlF", secret, ".abreast"], cwd=project.folder, capture_output=True, text=True, check=False
        )
        assert found.stdout == ""


@pytest.mark.exhaustive
def test_each_place_of_a_secret_counts_whatever_its_comment_says(project: SampleProject) -> None:
    project.config["gates"] = {"secrets": "block"}
    project.config["allow"] = [
        {
            "gate": "secrets",
            "rule": "aws-access-token",
            "path": "tests/**",
            "owner": "ada",
            "reason": "of an example",
            "expires": "2099-01-01",
        }
    ]
    project.commit()
    project.deploy()
    add(project, **{"tests/keys.py": LEAK})
    project.commit()
    project.deploy()
    add(project, **{"a/keys.py": LEAK.replace("\n", "  # kingfisher:ignore\n"), "b/keys.py": LEAK})
    project.commit()
    told = project.deploy(code=3).stdout
    assert ["a/keys.py:1" in told, "b/keys.py:1" in told, "tests/keys.py" in told] == [True, True, False]


@pytest.mark.exhaustive
def test_in_full_what_was_built_is_looked_at_too(project: SampleProject) -> None:
    build = project.config["services"]["frontend"]["build"]
    parts = " ".join((KEY[:9], KEY[9:], SECRET[:20], SECRET[20:]))
    build["run"] += f'; printf \'AWS = "%s%s"\\nSECRET = "%s%s"\\n\' {parts} > dist/app.js'
    project.config["gates"] = {"secrets": "block"}
    project.commit()
    project.deploy()
    project.config["environments"]["local"]["gates"] = "full"
    project.commit()
    told = project.deploy(code=3).stdout
    assert "app.js:1  " in told
    assert "(built for frontend)" in told


# ── code, workflows, Dockerfiles ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("gate", "file", "text", "rule"),
    [
        ("code", "weak.py", WEAK, "B602"), ("workflows", ".github/workflows/ci.yml", WORKFLOW, "template-injection"),
        ("workflows", ".github/workflows/ci.yml", WORKFLOW.replace("steps", "stps"), "schema"),
        ("dockerfiles", "api/Dockerfile", "FROM debian:12\nADD . /app\n", "DL3020"),
    ],
)  # fmt: skip
def test_weak_places(tmp_path: Path, gate: str, file: str, text: str, rule: str) -> None:
    (tmp_path / "room" / file).parent.mkdir(parents=True)
    (tmp_path / "room" / file).write_text(text)
    found = look(Gate(gate, scan=ScanKind(gate), min_severity=Severity.HIGH), tmp_path / "room")
    assert found.verdict is GateVerdict.FAILED
    (one,) = [finding for finding in found.findings if finding.rule == rule]
    assert (one.file, one.severity) == (file, Severity.HIGH)
    assert str(one) in found.lines


@pytest.mark.exhaustive
def test_full_asks_more_than_quick_and_leaves_a_report_for_others(project: SampleProject) -> None:
    project.config["gates"] = {"code": True}
    add(project, **{"weak.py": WEAK})
    project.commit()
    assert "gates:" not in project.deploy().stdout
    project.config["environments"]["local"]["gates"] = "full"
    project.commit()
    assert "high  weak.py:3  B602: " in project.deploy(code=3).stdout
    log = json.loads(next((project.folder / ".abreast" / "logs" / "deployments").glob("*/code.sarif")).read_text())
    assert log["version"] == "2.1.0"
    place = next(result for result in log["runs"][0]["results"] if result["ruleId"] == "B602")["locations"][0][
        "physicalLocation"
    ]
    assert place == {"artifactLocation": {"uri": "weak.py"}, "region": {"startLine": 3}}


@pytest.mark.parametrize("gate", ["code", "workflows", "dockerfiles", "dependencies"])
def test_where_there_is_nothing_to_look_at_it_passes(tmp_path: Path, gate: str) -> None:
    (tmp_path / "room").mkdir()
    assert look(Gate(gate, scan=ScanKind(gate)), tmp_path / "room").verdict is GateVerdict.PASSED


# ── dependencies ───────────────────────────────────────────────────────────────────────────────

LOCK = {
    "name": "x", "version": "1.0.0", "lockfileVersion": 3, "requires": True,
    "packages": {"": {"name": "x", "version": "1.0.0", "dependencies": {"left": "1.0.0"}},
                 "node_modules/left": {"version": "1.0.0", "resolved": "https://example.com/left.tgz", "integrity": "sha512-AA=="}},
}  # fmt: skip


def look(gate: Gate, room: Path, today: str = "2026-11-21") -> GateResult:
    """Ask a gate about a folder as it stands, with the real tools."""
    scratch = room.parent / "scratch"
    scratch.mkdir(exist_ok=True)

    async def command(name: str, text: str, env: Mapping[str, str], timeout: float) -> CommandOutcome:
        asked = Command(text, room, scratch / f"{name}.log", timeout, {**os.environ, **env})
        ended = await run(asked, asyncio.Event().wait())  # type: ignore[arg-type]
        return CommandOutcome(ended.why, ended.tail, ended.exit_code)

    nothing: Any = None
    (found,) = asyncio.run(
        scan_gate.evaluate(gate, GateContext(room, scratch, today, command, nothing, nothing, nothing, nothing))
    )
    return found


@pytest.mark.exhaustive
def test_known_holes_of_packages(tmp_path: Path, database: tuple[AdvisoryDatabase, dict[str, str]]) -> None:
    known, env = database
    room = tmp_path / "room"
    (room / "web").mkdir(parents=True)
    (room / "web" / "package-lock.json").write_text(json.dumps(LOCK))
    (room / "web" / "package.json").write_text(json.dumps(LOCK["packages"][""]))  # type: ignore[index]
    (room / "uv.lock").write_text('[[package]]\nname = "deep"\nversion = "4"\n')
    gate = Gate("dependencies", scan=ScanKind.DEPENDENCIES, min_severity=Severity.HIGH, env=env)
    assert look(gate, room).verdict is GateVerdict.PASSED
    assert len(known.asked) == 2
    known.npm["left"] = {
        "id": 1,
        "url": "https://github.com/advisories/GHSA-aaaa",
        "title": "Bad",
        "severity": "high",
        "vulnerable_versions": "<2",
    }
    known.python |= {"deep": ["PYSEC-2026-1"]}
    found = look(gate, room)
    assert found.verdict is GateVerdict.FAILED
    *holes, advice = found.lines
    assert sorted(holes) == [
        "high  uv.lock  PYSEC-2026-1: deep 4; fixed in 9.9", "high  web/package-lock.json  GHSA-aaaa: left <2: Bad",
    ]  # fmt: skip
    assert '"gate": "dependencies"' in advice


def test_who_could_not_be_asked_is_unknown(tmp_path: Path, database: tuple[AdvisoryDatabase, dict[str, str]]) -> None:
    known, env = database
    known.status = 500
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "requirements.txt").write_text("shop-lib==1.2\n")
    gate = Gate("dependencies", scan=ScanKind.DEPENDENCIES, env=env)
    found = look(gate, tmp_path / "room")
    assert found.verdict is GateVerdict.UNKNOWN
    assert found.why.startswith("requirements.txt: pip-audit: exit code 1")


@pytest.mark.exhaustive
def test_unknown_stops_it_unless_that_is_allowed(
    project: SampleProject, database: tuple[AdvisoryDatabase, dict[str, str]]
) -> None:
    known, env = database
    known.status = 500
    project.config["gates"] = {"dependencies": {"env": {**env, "npm_config_fetch_retries": "0"}}}
    add(project, **{"package-lock.json": json.dumps(LOCK), "package.json": json.dumps(LOCK["packages"][""])})  # type: ignore[index]
    project.commit()
    assert "dependencies: unknown: package-lock.json: npm: " in project.deploy(code=3).stdout
    project.config["gates"]["dependencies"]["unknown"] = "allow"
    project.commit()
    told = project.deploy().stdout
    assert "dependencies unknown: package-lock.json: npm: " in told
    assert judged(project, "dependencies")["verdict"] == "unknown"


def test_a_tool_that_is_not_there_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_tool, "find_program", lambda program: None)
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    nothing: Any = None
    scene = GateContext(tmp_path, tmp_path, "2026-01-01", nothing, nothing, nothing, nothing, nothing)
    (found,) = asyncio.run(scan_gate.evaluate(Gate("dockerfiles", scan=ScanKind.DOCKERFILES), scene))
    assert found.verdict is GateVerdict.UNKNOWN
    assert found.why == "hadolint is not installed: pip install 'abreast[security]'"


# ── what reports amount to ─────────────────────────────────────────────────────────────────────

FOUND = [Finding("R1", "bad", Severity.MEDIUM, "a.py", 3), Finding("R2", "worse", Severity.CRITICAL, "b/c.py", 0)]


@pytest.mark.parametrize(
    ("block", "unknown", "verdict", "why"),
    [
        (Severity.LOW, [], GateVerdict.FAILED, "1 critical, 1 medium"), (Severity.HIGH, ["x"], GateVerdict.FAILED, "1 critical"),
        (Severity.CRITICAL, [], GateVerdict.FAILED, "1 critical"),
    ],
)  # fmt: skip
def test_thresholds(block: Severity, unknown: list[str], verdict: GateVerdict, why: str) -> None:
    found = scan_results.evaluate_findings(
        Gate("code", scan=ScanKind.CODE, min_severity=block), FOUND, unknown, "2026-01-01"
    )
    assert (found.verdict, found.why) == (verdict, why)


def test_what_is_allowed_ends_on_its_day() -> None:
    allow = AllowlistEntry("code", "R2", "b/**", "ada", "soon", "2026-11-21")
    gate = Gate("code", scan=ScanKind.CODE, min_severity=Severity.HIGH, allowlist=(allow,))
    assert scan_results.evaluate_findings(gate, FOUND, [], "2026-11-21").why == "1 below high, 1 allowed"
    assert (
        scan_results.evaluate_findings(gate, FOUND, ["nobody was there"], "2026-11-21").verdict is GateVerdict.UNKNOWN
    )
    late = scan_results.evaluate_findings(gate, FOUND, [], "2026-11-22")
    assert late.verdict is GateVerdict.FAILED
    assert late.lines[:-1] == (
        "critical  b/c.py  R2: worse",
        "  allowed by ada until 2026-11-21, which has passed: soon",
    )


def test_what_blocks_says_how_to_allow_it() -> None:
    gate = Gate("code", scan=ScanKind.CODE, min_severity=Severity.HIGH)
    blocked = scan_results.evaluate_findings(gate, FOUND, [], "2026-11-22")
    said = blocked.lines[-1].partition("in abreast.yml: ")[2]
    (entry,) = yaml.safe_load(said)["allow"]
    assert AllowedFinding.model_validate(entry).expires == "2027-02-20"
    allowed = replace(gate, allowlist=(AllowlistEntry(**entry),))
    assert scan_results.evaluate_findings(allowed, FOUND, [], "2026-11-22").verdict is GateVerdict.PASSED


@pytest.mark.parametrize("missed", ["scan_partial", "scan_failed", "pending"])
def test_what_was_not_scanned_whole_is_never_clean(missed: str) -> None:
    summary = {"discovered": 2, "scan_partial": 0, "scan_failed": 0, "pending": 0}
    assert scan_results.kingfisher(json.dumps({"findings": [], "audit": {"summary": summary}}).encode()) == []
    report = {"findings": [], "audit": {"summary": {**summary, missed: 1}}}
    with pytest.raises(ValueError, match="1 of 2 folders"):
        scan_results.kingfisher(json.dumps(report).encode())


@pytest.mark.parametrize(
    "read",
    [
        scan_results.kingfisher,
        scan_results.bandit,
        scan_results.zizmor,
        scan_results.hadolint,
        scan_results.pip_audit,
        scan_results.npm_audit,
    ],
)
@pytest.mark.parametrize("content", [b"", b"nothing", b'{"error": {"summary": "no"}}', b"[3]", b'"x"', b"null"])
def test_what_is_no_report_is_never_clean(read: scan_results.ReportParser, content: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read(content)


@pytest.mark.parametrize(
    ("name", "content", "settled"),
    [
        ("requirements.txt", "a==1\n# x\nb[c]==2 ; python_version > '3'  # y\n", "a==1\nb[c]==2 ; python_version > '3'\n"),
        ("requirements.txt", "a==1 \\\n    --hash=sha256:00\n", "a==1\n"), ("requirements.txt", "a>=1\n", None),
        ("requirements.txt", "-r other.txt\n", None), ("requirements.txt", "", ""),
        ("uv.lock", '[[package]]\nname="a"\nversion="1"\n[[package]]\nname="me"\nversion="0"\nsource={editable="."}', "a==1\n"),
    ],
)  # fmt: skip
def test_what_a_file_settles(name: str, content: str, settled: str | None) -> None:
    found = scan_results.pinned_requirements(name, content.encode())
    assert (found and [line.split() for line in found.splitlines()]) == (
        settled and [line.split() for line in settled.splitlines()]
    )


def test_sarif_grades_rules_by_their_worst_finding() -> None:
    log = sarif.document("code", [*FOUND, Finding("R1", "less", Severity.LOW)])
    rules = {rule["id"]: rule["properties"]["security-severity"] for rule in log["runs"][0]["tool"]["driver"]["rules"]}
    assert rules == {"R1": "5.5", "R2": "9.5"}
    assert [result["level"] for result in log["runs"][0]["results"]] == ["warning", "error", "note"]
    assert "locations" not in log["runs"][0]["results"][2]
