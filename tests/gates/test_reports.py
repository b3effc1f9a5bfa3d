"""Reports of coverage and of tests, in the forms that runners write, the broken ones too."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abreast.core.reports import coverage, junit
from abreast.core.reports.coverage import Coverage

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


@pytest.mark.parametrize(
    ("report", "covered", "valid"),
    [
        (COBERTURA, 2, 4), (LCOV, 2, 3), (COVERAGE_PY, 2, 3), (ISTANBUL, 139, 200),
        ('<coverage lines-valid="10" lines-covered="7"/>', 7, 10), ("end_of_record", 0, 0),
    ],
)  # fmt: skip
def test_each_form_is_read(report: str, covered: int, valid: int) -> None:
    found = coverage.parse_report(report.encode())
    assert (found.covered, found.valid) == (covered, valid)


@pytest.mark.parametrize(
    "report", ["", "hello", "<html/>", "<coverage", "{}", '{"total": 3}', "[1]", '{"files": 3, "meta": 1}', "DA:1,1"]
)
def test_what_is_no_report_is_said(report: str) -> None:
    with pytest.raises(ValueError, match=r"not a coverage report|Expecting"):
        coverage.parse_report(report.encode())


@given(st.integers(1, 10_000), st.integers(0, 10_000), st.floats(0, 100))
def test_enough_is_never_said_of_less(valid: int, covered: int, needed: float) -> None:
    found = Coverage(min(covered, valid), valid)
    assert found.is_at_least(needed) == (100 * found.covered / valid >= needed)
    assert found.percent <= 100 * found.covered / valid


def test_several_reports_are_one() -> None:
    one = coverage.parse_report(b"SF:a\nDA:1,1\nDA:2,0\nend_of_record")
    other = coverage.parse_report(b"SF:a\nDA:2,4\nDA:3,0\nend_of_record")
    assert coverage.merge_reports([one, other]) == Coverage(2, 3, {"a": {1: True, 2: True, 3: False}})
    assert coverage.merge_reports([coverage.parse_report(ISTANBUL.encode())] * 2) == Coverage(278, 400)


@pytest.mark.parametrize("name", ["shop/cart.py", "cart.py", "/work/room/shop/cart.py"])
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
        coverage.parse_report(report.encode())


def in_sources(sources: list[str], hits: str) -> bytes:
    inside = "".join(f"<source>{source}</source>" for source in sources)
    lines = "".join(f'<line number="{number}" hits="{hit}"/>' for number, hit in enumerate(hits, 1))
    return (
        f'<coverage><sources>{inside}</sources><packages><package><classes><class filename="src/app.js">'
        f"<lines>{lines}</lines></class></classes></package></packages></coverage>"
    ).encode()


def test_files_of_one_name_in_two_sources_stay_apart() -> None:
    reports = [coverage.parse_report(in_sources([f"/work/{name}"], hits), "/work") for name, hits in
               (("web", "1111"), ("api", "0000"))]  # fmt: skip
    merged = coverage.merge_reports(reports)
    assert (merged.covered, merged.valid) == (4, 8)
    changed = merged.for_lines({"api/src/app.js": {1, 2}})
    assert (changed.covered, changed.valid) == (0, 2)


def test_the_source_is_the_one_that_has_the_file() -> None:
    found = coverage.parse_report(
        in_sources(["/work/web", "/work/api", "."], "1"), "/work", "/work/api/src/app.js".__eq__
    )
    assert list(found.files) == ["api/src/app.js"]
    absolute = coverage.parse_report(in_sources(["/work/web"], "1"))
    assert list(absolute.files) == ["/work/web/src/app.js"]
    unknown = coverage.parse_report(in_sources(["/work/web", "/work/api"], "1"), "/work")
    assert list(unknown.files) == ["src/app.js"]
