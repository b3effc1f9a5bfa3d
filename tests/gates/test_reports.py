"""Reports of coverage and of tests, in the forms that runners write, the broken ones too."""

import asyncio
import json
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abreast.core.gates import CoverageThreshold, Gate, GateResult, GateVerdict
from abreast.core.reports import coverage, coverage_formats, junit
from abreast.core.reports.coverage import Coverage
from abreast.gates import command_gate
from abreast.gates.interface import CommandOutcome, GateContext
from npm import install_packages

COBERTURA = """<?xml version="1.0"?><coverage line-rate="0.5" lines-valid="4" lines-covered="2"><packages><package><classes>
<class filename="app.py"><methods><method><lines><line number="1" hits="3"/></lines></method></methods>
<lines><line number="1" hits="3"/><line number="2" hits="0"/></lines></class>
<class filename="shop/cart.py"><lines><line number="1" hits="1"/><line number="9" hits="0"/></lines></class>
</classes></package></packages></coverage>"""
LCOV = "TN:\nSF:src/a.js\nDA:1,5\nDA:2,0\nLF:2\nLH:1\nend_of_record\nSF:src/b.js\nDA:1,1,abc\nend_of_record\n"
COVERAGE_PY = json.dumps(
    {"meta": {"version": "7"}, "files": {"a.py": {"executed_lines": [1, 2], "missing_lines": [3]}}, "totals": {}}
)
ISTANBUL = json.dumps({"total": {"lines": {"total": 200, "covered": 139, "pct": 69.5}}, "a.js": {}})


CLOVER = """<?xml version="1.0"?><coverage clover="3.2.0" generated="1"><project timestamp="1"><metrics statements="5" coveredstatements="3"/>
<package name="shop"><file name="cart.js" path="/repo/web/src/cart.js"><line num="1" count="1" type="method" name="total"/>
<line num="2" count="2" type="stmt"/><line num="3" count="0" truecount="1" falsecount="0" type="cond"/><line num="4" count="0" type="stmt"/></file></package>
<file name="/repo/web/src/tax.php"><line num="7" type="cond" truecount="0" falsecount="3"/><line num="8" type="stmt" count="0"/></file>
</project><testproject><file name="t.js"><line num="1" type="stmt" count="1"/></file></testproject></coverage>"""
JACOCO = """<?xml version="1.0" encoding="UTF-8" standalone="yes"?><!DOCTYPE report PUBLIC "-//JACOCO//DTD Report 1.1//EN" "report.dtd">
<report name="shop"><sessioninfo id="x" start="1" dump="2"/><group name="core"><package name="org/shop"><class name="org/shop/Cart" sourcefilename="Cart.java">
<method name="total" desc="()V" line="3"><counter type="LINE" missed="0" covered="2"/></method></class>
<sourcefile name="Cart.java"><line nr="3" mi="0" ci="4" mb="0" cb="0"/><line nr="4" mi="2" ci="1" mb="1" cb="1"/><line nr="9" mi="3" ci="0" mb="0" cb="0"/>
<counter type="LINE" missed="1" covered="2"/></sourcefile></package></group><counter type="LINE" missed="1" covered="2"/></report>"""
GO = """mode: atomic
example.com/shop/backend/tax/tax.go:4.22,5.15 1 1
example.com/shop/backend/tax/tax.go:8.2,8.10 1 1
example.com/shop/backend/tax/tax.go:5.15,7.3 1 0
example.com/shop/backend/cart/cart.go:6.41,8.10 2 1
example.com/shop/backend/cart/cart.go:11.2,11.31 1 1
example.com/shop/backend/cart/cart.go:14.2,14.26 1 1
example.com/shop/backend/cart/cart.go:8.10,10.3 1 0
example.com/shop/backend/cart/cart.go:11.31,13.3 1 2
example.com/shop/backend/cart/cart.go:17.22,19.2 1 0
example.com/shop/backend/cart/cart.go:6.41,8.10 2 0
example.com/shop/backend/tax/tax.go:5.15,7.3 1 1
mode: atomic
example.com/shop/backend/none.go:3.13,3.14 0 0
"""
"""What Go 1.19 wrote with `-coverpkg=./...`, of which `go tool cover -func` says 80.0 %."""


@pytest.mark.parametrize(
    ("report", "covered", "valid"),
    [
        (CLOVER, 2, 5), (JACOCO, 2, 3), (GO, 8, 10), ("mode: set\n", 0, 0),
        ('<report><counter type="LINE" missed="3" covered="7"/></report>', 7, 10),
        ('<coverage><project><metrics statements="9" coveredstatements="4"/></project></coverage>', 4, 9),
        (COBERTURA, 2, 4), (LCOV, 2, 3), (COVERAGE_PY, 2, 3), (ISTANBUL, 139, 200),
        ('<coverage lines-valid="10" lines-covered="7"/>', 7, 10), ("end_of_record", 0, 0),
    ],
)  # fmt: skip
def test_each_form_is_read(report: str, covered: int, valid: int) -> None:
    found = coverage_formats.parse_report(report.encode())
    assert (found.covered, found.valid) == (covered, valid)


@pytest.mark.parametrize(
    "report",
    [
        "<report/>",
        "<coverage><project/></coverage>",
        "mode: set\nhello",
        "mode: more\na.go:1.1,2.2 1 1",
        "",
        "hello",
        "<html/>",
        "<coverage",
        "{}",
        '{"total": 3}',
        "[1]",
        '{"files": 3, "meta": 1}',
        "DA:1,1",
    ],
)
def test_what_is_no_report_is_said(report: str) -> None:
    with pytest.raises(ValueError, match=r"not a coverage report|Expecting"):
        coverage_formats.parse_report(report.encode())


@given(st.integers(1, 10_000), st.integers(0, 10_000), st.floats(0, 100))
def test_enough_is_never_said_of_less(valid: int, covered: int, needed: float) -> None:
    found = Coverage(min(covered, valid), valid)
    assert found.is_at_least(needed) == (100 * found.covered / valid >= needed)
    assert found.percent <= 100 * found.covered / valid


def test_several_reports_are_one() -> None:
    one = coverage_formats.parse_report(b"SF:a\nDA:1,1\nDA:2,0\nend_of_record")
    other = coverage_formats.parse_report(b"SF:a\nDA:2,4\nDA:3,0\nend_of_record")
    assert coverage.merge_reports([one, other]) == Coverage(2, 3, {"a": {1: True, 2: True, 3: False}})
    assert coverage.merge_reports([coverage_formats.parse_report(ISTANBUL.encode())] * 2) == Coverage(278, 400)


@pytest.mark.parametrize("name", ["shop/cart.py", "cart.py", "/repo/room/shop/cart.py"])
def test_changed_lines_are_found_however_the_report_calls_the_file(name: str) -> None:
    whole = coverage.coverage_of_lines({name: {1: True, 2: False, 3: True}, "other.py": {1: False}})
    changed = whole.for_lines({"shop/cart.py": {2, 3, 50}, "README.md": {1}, "new.py": {1}})
    assert (changed.covered, changed.valid) == (1, 2)


def test_failures_are_a_table() -> None:
    report = """<testsuites><testsuite><testcase classname="shop.test_cart" name="test_total"><failure message="3 != 4"/></testcase>
    <testcase name="test_tax"><error type="KeyError">KeyError: 'vat'
    at line 3</error></testcase><testcase name="ok"/><testcase name="later"><skipped/></testcase></testsuite></testsuites>"""
    found = junit.parse_reports([("a", report.encode()), ("b", b"<project/>"), ("c", b"not xml")])
    assert found is not None
    assert str(found) == "4 tests, 2 failed, 1 skipped"
    assert list(junit.failure_lines(found)) == [
        "shop.test_cart test_total  3 != 4",
        "test_tax                   KeyError: 'vat'",
    ]
    assert junit.parse_reports([("b", b"<project/>")]) is None


def test_a_long_table_is_cut() -> None:
    cases = "".join(f'<testcase name="t{number}"><failure>no</failure></testcase>' for number in range(100))
    found = junit.parse_reports([("junit.xml", f"<testsuite>{cases}</testsuite>".encode())])
    assert found is not None
    assert len(lines := list(junit.failure_lines(found))) == junit.MAX_SHOWN + 1
    assert lines[-1] == "and 80 more"


@pytest.mark.parametrize(
    "printed",
    [b"\x1b[31mred\x00\x08", b"&#27;[31m&#x0;&#xFFFF;", b"\xff\xfe not UTF-8", "\ud800".encode(errors="surrogatepass")],
)
@pytest.mark.parametrize("declaration", [b"", b'<?xml version="1.0" encoding="utf-8"?>'])
def test_what_tests_print_hides_no_failure(printed: bytes, declaration: bytes) -> None:
    report = (
        declaration
        + b'<testsuite><testcase name="t"><failure message="m">'
        + printed
        + b"</failure></testcase></testsuite>"
    )
    found = junit.parse_reports([("junit.xml", report)])
    assert found is not None
    assert [case.name for case in found.failed] == ["t"]


def test_a_report_of_another_encoding_is_read() -> None:
    text = '<testsuite><testcase name="Prüfung"><failure/></testcase></testsuite>'
    for encoding in ("iso-8859-1", "utf-16"):
        content = f'<?xml version="1.0" encoding="{encoding}"?>{text}'.encode(encoding)
        found = junit.parse_reports([("junit.xml", content)])
        assert found is not None
        assert found.failed[0].name == "Prüfung"


def test_a_report_that_is_cut_off_is_no_report_without_failures() -> None:
    with pytest.raises(ValueError, match=r"junit\.xml is not valid XML"):
        junit.parse_reports([("junit.xml", b'<testsuite tests="2"><testcase name="a"/><testcase')])


@pytest.mark.parametrize(
    "report",
    [
        '{"total": {"lines": {"total": 200, "covered": 210}}}', '<coverage lines-valid="10" lines-covered="70"/>',
        '{"total": {"lines": {"total": 200, "covered": -1}}}', '{"a":' * 100_000,
    ],
)  # fmt: skip
def test_a_report_that_cannot_be_is_refused(report: str) -> None:
    with pytest.raises(ValueError, match="not a coverage report"):
        coverage_formats.parse_report(report.encode())


def in_sources(sources: list[str], hits: str) -> bytes:
    inside = "".join(f"<source>{source}</source>" for source in sources)
    lines = "".join(f'<line number="{number}" hits="{hit}"/>' for number, hit in enumerate(hits, 1))
    return (
        f'<coverage><sources>{inside}</sources><packages><package><classes><class filename="src/app.js">'
        f"<lines>{lines}</lines></class></classes></package></packages></coverage>"
    ).encode()


def test_files_of_one_name_in_two_sources_stay_apart() -> None:
    reports = [coverage_formats.parse_report(in_sources([f"/repo/{name}"], hits), "/repo") for name, hits in
               (("web", "1111"), ("api", "0000"))]  # fmt: skip
    merged = coverage.merge_reports(reports)
    assert (merged.covered, merged.valid) == (4, 8)
    changed = merged.for_lines({"api/src/app.js": {1, 2}})
    assert (changed.covered, changed.valid) == (0, 2)


def test_the_source_is_the_one_that_has_the_file() -> None:
    found = coverage_formats.parse_report(
        in_sources(["/repo/web", "/repo/api", "."], "1"), "/repo", "/repo/api/src/app.js".__eq__
    )
    assert list(found.files) == ["api/src/app.js"]
    absolute = coverage_formats.parse_report(in_sources(["/repo/web"], "1"))
    assert list(absolute.files) == ["/repo/web/src/app.js"]
    unknown = coverage_formats.parse_report(in_sources(["/repo/web", "/repo/api"], "1"), "/repo")
    assert list(unknown.files) == ["src/app.js"]


def test_a_name_is_looked_up_beside_the_report_and_above_it() -> None:
    files = {
        "web/src/app.js",
        "api/src/app.js",
        "backend/cart/cart.go",
        "backend/tax/tax.go",
        "core/src/main/java/org/shop/Cart.java",
    }
    reports = [
        coverage_formats.parse_report(content.encode(), "/repo", files.__contains__, folder)
        for content, folder in [
            ("SF:src/app.js\nDA:1,1\nend_of_record", "web/coverage"), ("SF:src/app.js\nDA:1,0\nend_of_record", "api/coverage"),
            (GO, "backend"), (JACOCO, "target/site"), (JACOCO, "core/target/site/jacoco"),
        ]
    ]  # fmt: skip
    merged = coverage.merge_reports(reports)
    assert set(merged.files) == files
    assert (merged.covered, merged.valid) == (1 + 8 + 2, 2 + 10 + 3)
    changed = merged.for_lines({"backend/cart/cart.go": {9, 10, 11}, "api/src/app.js": {1}})
    assert (changed.covered, changed.valid) == (1, 3)


def results_of(folder: Path, gate: Gate) -> dict[str, GateResult]:
    """The results of a gate whose command runs in ``folder``."""

    async def command(name: str, text: str, env: Mapping[str, str], timeout: float) -> CommandOutcome:
        done = await asyncio.create_subprocess_shell(text, cwd=folder)
        code = await done.wait()
        return CommandOutcome(f"exit code {code}" if code else "", (), code)

    nothing: Any = None
    context = GateContext(folder, folder, "2026-11-21", command, nothing, nothing, nothing, nothing)
    return {result.gate: result for result in asyncio.run(command_gate.evaluate(gate, context))}


@pytest.mark.parametrize("name", ["coverage.out", "web/clover.xml", "target/site/jacoco/jacoco.xml", "build/profile"])
def test_a_report_is_found_by_its_usual_name_or_where_it_is_said_to_be(tmp_path: Path, name: str) -> None:
    content = {"clover.xml": CLOVER, "jacoco.xml": JACOCO}.get(Path(name).name, GO)
    (tmp_path / "room" / name).parent.mkdir(parents=True)
    (tmp_path / "made").write_text(content)
    gate = Gate("test", run=f"cat ../made > {name}", threshold=CoverageThreshold(40))
    if name == "build/profile":
        assert results_of(tmp_path / "room", gate)["coverage"].why.startswith(
            "`cat ../made > build/profile` wrote no report"
        )
        gate = replace(gate, coverage=("build/*",))
    found = results_of(tmp_path / "room", gate)["coverage"]
    assert found.verdict is GateVerdict.PASSED
    assert found.why.startswith({"clover.xml": "40.0 %", "jacoco.xml": "66.6 %"}.get(Path(name).name, "80.0 %"))


@pytest.mark.parametrize(
    ("name", "gate", "verdict"),
    [("lcov.info", "coverage", GateVerdict.FAILED), ("junit.xml", "test", GateVerdict.UNKNOWN)],
)
def test_a_report_that_is_too_large_does_not_pass(tmp_path: Path, name: str, gate: str, verdict: GateVerdict) -> None:
    command = Gate("test", run=f"truncate -s 65M {name}", threshold=CoverageThreshold(40))
    found = results_of(tmp_path, command)[gate]
    assert found.verdict is verdict
    assert f"{name} is larger than 64 MB" in found.why


CART = """exports.total = items => {
  let sum = 0
  for (const item of items) {
    if (item.free) {
      continue
    }
    sum += item.price
  }
  return sum
}
exports.unused = () => {
  console.log('never')
}
"""


@pytest.mark.exhaustive
def test_four_reports_of_one_run_agree(tmp_path: Path) -> None:
    c8 = install_packages("c8", "c8@10.1.3") / "c8"
    (tmp_path / "web" / "src").mkdir(parents=True)
    (tmp_path / "web" / "src" / "cart.js").write_text(CART)
    (tmp_path / "web" / "src" / "unloaded.js").write_text("exports.a = () => 1\n")
    (tmp_path / "web" / "test.js").write_text("require('./src/cart').total([{price: 3}, {price: 4}])\n")
    reporters = ["clover", "lcovonly", "cobertura", "json-summary"]
    subprocess.run(
        [c8, "--all", "--include", "src/**", *(f"--reporter={name}" for name in reporters), "node", "test.js"],
        cwd=tmp_path / "web", check=True, capture_output=True,
    )  # fmt: skip
    files = ["clover.xml", "lcov.info", "cobertura-coverage.xml", "coverage-summary.json"]
    found = [
        coverage_formats.parse_report(
            (tmp_path / "web" / "coverage" / file).read_bytes(), str(tmp_path), lambda name: (tmp_path / name).is_file(), "web/coverage"
        )
        for file in files
    ]  # fmt: skip
    assert len({(report.covered, report.valid) for report in found}) == 1
    assert [sorted(report.files) for report in found[:3]] == [["web/src/cart.js", "web/src/unloaded.js"]] * 3
    merged = coverage.merge_reports(found)
    assert (merged.covered, merged.valid) == (found[0].covered, found[0].valid)
    assert 0 < merged.covered < merged.valid
