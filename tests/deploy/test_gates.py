"""Gates: nothing comes up that a test, its coverage or a command of the project's said no to."""

import json
import sys
from typing import Any

import pytest

from sample_project import SampleProject, wait_for_exit

FAILING = """<testsuites><testsuite name="api" tests="2" failures="1"><testcase classname="api.test_orders" name="test_total">
<failure message="assert 3 == 4">Traceback</failure></testcase><testcase classname="api" name="ok"/></testsuite></testsuites>"""


def lcov(covered: int, valid: int = 1000) -> str:
    """A report of one file, of which so many lines are reached."""
    lines = "".join(f"DA:{number},{int(number <= covered)}\\n" for number in range(1, valid + 1))
    return f"SF:app.py\\n{lines}end_of_record\\n"


def writes(name: str, text: str) -> str:
    """A command that writes a file."""
    return f"printf '{text}' > {name}"


def judged(project: SampleProject) -> dict[tuple[str, str | None], tuple[str, str]]:
    """What each gate of the latest deployment said, by its name and service."""
    events: list[dict[str, Any]] = project.latest_deployment()["events"]
    told = [event for event in events if event["kind"] == "judged"]
    return {(one["data"]["gate"], one["service"]): (one["data"]["verdict"], one["data"]["why"]) for one in told}


@pytest.mark.smoke
def test_gates_pass_beside_the_build(project: SampleProject) -> None:
    services = project.config["services"]
    services["backend"]["test"] = (
        f"{writes('junit.xml', '<testsuite><testcase/></testsuite>')}; {writes('lcov.info', lcov(700))}"
    )
    services["frontend"]["test"] = f"test -f app.py && test ! -e dist && {writes('lcov.info', lcov(1000))}"
    project.config["gates"] = {
        "coverage": True, "lint": "test $CI = true",
        "own": {"run": "test $CI = false", "env": {"CI": "false"}},
    }  # fmt: skip
    services["frontend"]["build"]["run"] = f'test -z "$CI" && {services["frontend"]["build"]["run"]}'
    commit = project.commit()
    plan = json.loads(project.run("plan", "--json").stdout)
    assert [(gate["name"], gate["service"]) for gate in plan["gates"]] == [
        ("test", "frontend"), ("test", "backend"), ("lint", None), ("own", None),
    ]  # fmt: skip
    told = project.deploy(variables={"CI": "1"}).stdout
    assert "gates: test/frontend ∥ test/backend ∥ lint ∥ own" in told
    assert judged(project) == {
        ("test", "backend"): ("passed", "1 test, 0 failed"), ("test", "frontend"): ("passed", ""),
        ("coverage", "backend"): ("passed", "70.0 % of lines (700 of 1000; needed: 70 %)"),
        ("coverage", "frontend"): ("passed", "100.0 % of lines (1000 of 1000; needed: 70 %)"),
        ("lint", None): ("passed", ""), ("own", None): ("passed", ""),
    }  # fmt: skip
    assert project.served_commits() == {"frontend": commit, "backend": commit}
    assert not list((project.folder / ".abreast" / "work").iterdir())


@pytest.mark.parametrize(
    ("test", "told"),
    [
        (writes("lcov.info", lcov(699)), "coverage: 69.9 % of lines (699 of 1000; needed: 70 %)"),
        ("true", "`true` wrote no report"),
        ("true # stale", "`true # stale` did not update old/lcov.info"),
        (writes("lcov.info", ""), "lcov.info: not a coverage report"),
        (writes("lcov.info", "SF:a\\nend_of_record\\n"), "lcov.info contains no executable line"),
        (f"{writes('out.lcov', lcov(1000))}; exit 3", "test: `printf"),
        (f"{writes('lcov.info', lcov(1000))}; {writes('junit.xml', FAILING)}", "test: 2 tests, 1 failed"),
        (
            f"{writes('lcov.info', lcov(1000))}; {writes('junit.xml', '<testsuite><testcase')}",
            "test: unknown: its report cannot be read: junit.xml is not valid XML",
        ),
        ("sleep 60", "timed out after 1 s"),
    ],
)  # fmt: skip
def test_a_gate_that_says_no_exits_3_and_nothing_was_touched(project: SampleProject, test: str, told: str) -> None:
    project.deploy()
    before = project.served_commits()
    project.config["services"]["backend"]["test"] = {"run": test, "timeout": "1s" if "sleep" in test else "1m"}
    project.config["gates"] = {"coverage": "70%"}
    if "stale" in test:
        (project.folder / "old").mkdir()
        (project.folder / "old" / "lcov.info").write_text("SF:a\nDA:1,1\nend_of_record\n")
    project.commit()
    done = project.deploy(code=3)
    assert told in done.stdout
    assert project.served_commits() == before
    latest = project.latest_deployment()
    assert (latest["state"], latest["chapter"]) == ("turned-back", "gates")
    assert not [event for event in latest["events"] if event["chapter"] == "stage"]
    if "failure" in test:
        assert "api.test_orders test_total  assert 3 == 4" in done.stdout
        assert "exited with code 0 in spite of it" in done.stdout
    assert "fix it, commit" in done.stdout


def test_only_the_changed_lines_can_be_asked_for(project: SampleProject) -> None:
    app = project.app_source("    return 200, {}\n")
    project.commit(app_py=app)
    report = f"import json; n = {len(app.splitlines()) + 1}; print('SF:' + __import__('os').getcwd() + '/app.py');"
    report += "[print(f'DA:{i},{int(i < n - HIT)}') for i in range(1, n + 1)]; print('end_of_record')"
    (project.folder / "report.py").write_text(report.replace("HIT", "1"))
    project.config["services"]["backend"]["test"] = f"{sys.executable} report.py > lcov.info"
    project.config["gates"] = {"coverage": {"total": "70%", "changed": "100%"}}
    project.commit(app_py=app + "\n# new\n")
    lines = len(app.splitlines()) + 1
    told = project.deploy(code=3).stdout
    assert f"of changed lines ({lines - 2} of {lines}; needed: 100 %)" in told, "nothing is live: all is new"
    project.config["gates"]["coverage"] = "70%"
    project.commit(app_py=app)
    project.deploy()
    project.config["gates"]["coverage"] = {"total": "70%", "changed": "100%"}
    project.commit(app_py=app + "\n# new\n")
    assert "0.0 % of changed lines (0 of 1; needed: 100 %)" in project.deploy(code=3).stdout
    (project.folder / "report.py").write_text(report.replace("HIT", "-1"))
    project.commit()
    project.deploy()
    assert "100.0 % of changed lines (1 of 1" in judged(project)["coverage", "backend"][1]


def test_a_gate_is_skipped_only_where_it_may_be_and_with_a_reason(project: SampleProject) -> None:
    project.config["services"]["backend"]["test"] = writes("lcov.info", lcov(699))
    project.config["gates"] = {"coverage": "70%", "lint": "false"}
    project.commit()
    assert "cannot be skipped in local" in project.deploy("--skip-gate", "coverage", "--reason", "x", code=3).stderr
    project.config["environments"]["local"]["may_skip"] = ["coverage", "lint"]
    commit = project.commit()
    assert "--skip-gate lint has no reason" in project.deploy("--skip-gate", "lint", code=2).stderr
    assert "there is no gate 'lnit'" in project.deploy("--skip-gate", "lnit", "--reason", "x", code=2).stderr
    arguments = ["--skip-gate", "coverage", "--skip-gate", "lint", "--reason", "hotfix for 4711"]
    told = project.deploy(*arguments).stdout
    assert "gate lint is SKIPPED: " in told
    assert "coverage skipped: " in told
    assert judged(project)["coverage", "backend"][0] == judged(project)["lint", None][0] == "skipped"
    assert "hotfix for 4711" in judged(project)["coverage", "backend"][1]
    assert "hotfix for 4711" in project.run("show").stdout
    assert project.served_commits()["backend"] == commit


def test_coverage_is_unknown_where_the_tests_were_skipped(project: SampleProject) -> None:
    project.config["services"]["backend"]["test"] = "true"
    project.config["gates"] = {"coverage": True}
    project.config["environments"]["local"]["may_skip"] = ["test"]
    project.commit()
    told = project.deploy("--skip-gate", "test", "--reason", "x", code=3).stdout
    assert "coverage: unknown: test was skipped" in told


def test_a_failed_gate_stops_the_build(project: SampleProject) -> None:
    started = project.folder.parent / "started"
    project.config["services"]["backend"]["build"] = f"touch {started}; sleep 60"
    project.config["gates"] = {"lint": f"while [ ! -e {started} ]; do sleep 0.05; done; echo bad line 7; exit 1"}
    project.commit()
    told = project.deploy(code=3).stdout
    assert "│ bad line 7" in told
    assert "stopped because the deployment failed" in told


@pytest.mark.parametrize("gate", ["lint", "secrets"])
def test_a_build_that_fails_ends_the_gates_too(project: SampleProject, gate: str) -> None:
    project.config["gates"] = {"secrets": "block"} if gate == "secrets" else {"lint": "sleep 80"}
    project.config["environments"]["local"]["gates"] = "full"  # what is built is looked at too
    project.config["services"]["backend"]["build"] = "exit 3"
    project.commit()
    assert "`exit 3`: exit code 3" in project.deploy(code=1).stdout


def test_a_baseline_that_is_not_in_the_repository_is_unknown(project: SampleProject) -> None:
    project.config["gates"] = {"secrets": {"since": "0123abc"}}
    project.commit()
    told = project.deploy(code=3).stdout
    assert f"secrets unknown: gates.secrets.since: there is no commit 0123abc in {project.folder}" in told
    assert "next: git log --oneline" in told
    project.config["gates"] = {"secrets": {"since": 1234567}}
    project.commit()
    refused = project.deploy(code=2).stderr
    assert (
        'gates.secrets.since: expected the id of a commit in quotes such as "4f2a9c1" (text), found 1234567' in refused
    )


def test_what_was_built_before_is_not_tested_again_and_the_way_back_asks_no_gate(project: SampleProject) -> None:
    count = project.folder.parent / "count"
    project.config["gates"] = {"lint": f"echo x >> {count}"}
    first = project.commit()
    project.deploy()
    project.commit()
    project.deploy()
    project.run("rollback", "--yes", "--reason", "no")
    assert project.served_commits()["backend"] == first
    project.run("unlock", "--env", "local", "--release", "v2")
    project.deploy("--release", "v2")
    assert count.read_text() == "x\nx\n"


def test_after_a_kill_a_gate_that_passed_is_not_asked_again(project: SampleProject) -> None:
    count, second = project.folder.parent / "count", project.folder.parent / "second"
    wait = project.folder.parent / "wait.py"
    wait.write_text(
        "import sqlite3, time\n"
        f"while not sqlite3.connect({str(project.folder / '.abreast' / 'ledger.db')!r}).execute(\n"
        "    \"SELECT 1 FROM entries WHERE kind = 'step' AND key = 'gates/lint'\").fetchone():\n"
        "    time.sleep(0.05)\n"
    )
    project.config["gates"] = {
        "lint": f"echo x >> {count}",
        "types": f"{sys.executable} {wait}; if [ ! -e {second} ]; then touch {second}; kill -9 $PPID; sleep 5; fi",
    }
    commit = project.commit()
    killed = project.start("deploy", "--yes")
    wait_for_exit(killed)
    assert second.exists()
    project.run("resume")
    assert count.read_text() == "x\n"
    assert project.served_commits()["backend"] == commit


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"gates": {"coverage": "700%"}}, "coverage.total: expected a percentage such as 70%, found"),
        ({"gates": {"coverage": True}}, "expected a service with a `test` that reports coverage, found none"),
        ({"gates": {"lint": 3}}, "gates.lint: expected a mapping, found 3"),
        ({"gates": {"lint": {"runs": "x"}}}, "gates.lint.runs: unknown key"),
        ({"gates": {"test": "x"}}, "tests belong to a service"),
        ({"environments": {"local": {"may_skip": ["lint"]}}}, "unknown gate 'lint'; gates here: none is configured"),
    ],
)  # fmt: skip
def test_faults_have_their_place(project: SampleProject, change: dict[str, Any], told: str) -> None:
    project.config |= change
    project.commit()
    error = project.run("plan", code=2).stderr
    assert told in error
    assert "abreast.yml:" in error
