"""What a step of GitHub Actions shows: groups, masks and annotations, and nothing that a test of the project orders."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abreast.cli.ci.github_actions import GitHubActions
from abreast.cli.ci.interface import Problem
from abreast.cli.terminal_text import without_commands, without_controls
from act_steps import run_workflow
from runner_commands import obeyed_commands
from sample_project import SampleProject

RUN = {"GITHUB_ACTIONS": "true", "ABREAST_STATE": ".abreast"}
HOSTILE = [
    "::set-output name=pwned::yes",
    "  ::add-mask::frontend",
    "::error file=app.py,line=1::forged",
    "##[add-mask]backend",
    "text ##[error]forged",
    "::stop-commands::forever",
    "::group::mine",
]


def hostile_script() -> str:
    return "; ".join(f"echo '{line}'" for line in HOSTILE)


def test_the_output_of_a_hostile_build_and_test_orders_nothing(project: SampleProject, tmp_path: Path) -> None:
    services = project.config["services"]
    services["backend"]["build"] = hostile_script()
    services["backend"]["test"] = {
        "run": f"{hostile_script()}; echo '::warning::from tests' >&2; exit 1",
    }
    services["backend"]["env"] = {"API_TOKEN": "${API_TOKEN}"}
    project.commit()
    done = project.deploy(code=3, variables={**RUN, "API_TOKEN": "first-secret\nsecond-secret"})
    shown = done.stderr + done.stdout
    own = list(obeyed_commands(shown))
    assert {name for name, _, _ in own} == {"add-mask", "group", "endgroup", "error"}
    assert {data for name, _, data in own if name == "add-mask"} == {"first-secret", "second-secret"}
    assert {data for name, _, data in own if name == "group"} >= {"backend test"}
    assert [properties for name, properties, _ in own if name == "error"] == [{"title": "backend gates"}]
    assert "::warning::from tests" in shown, "the output of the tests is shown as it is"

    (tmp_path / "act").mkdir()
    output, control = tmp_path / "act" / "output", tmp_path / "act" / "control"
    output.write_text(shown)
    control.write_text("\n".join(HOSTILE))
    step = "{{id: {0}, run: 'cat " + str(tmp_path) + "/act/{0}; echo first-secret and forever'}}"
    seen = run_workflow(
        tmp_path / "act",
        step.format("output"),
        "{run: 'echo after: [${{ steps.output.outputs.pwned }}] frontend backend second-secret'}",
        step.format("control"),
        "{run: 'echo control: [${{ steps.control.outputs.pwned }}]'}",
    )
    assert "after: [] frontend backend ***" in seen
    assert "control: [yes]" in seen, "act obeys what is not stopped"
    assert "*** and forever" in seen


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from([*HOSTILE, "\r", "\n", " ", "\u2028", "\x85", "::", "##[", ":", "error", "]", "a"])))
def test_no_text_orders_anything(parts: list[str]) -> None:
    assert not list(obeyed_commands(without_commands(without_controls("".join(parts)))))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text() | st.sampled_from(HOSTILE)), st.text())
def test_no_line_of_a_section_orders_anything(lines: list[str], title: str) -> None:
    shown = GitHubActions({}).section(title, [without_controls(line) for line in lines])
    group, end = obeyed_commands("\n".join(shown))
    assert (group[0], end[0]) == ("group", "endgroup")
    assert group[2] == title


@settings(deadline=None, max_examples=50)
@given(st.text(), *[st.text(min_size=1).filter(lambda text: text == text.strip())] * 2)
def test_an_annotation_says_what_it_was_given(message: str, title: str, file: str) -> None:
    (shown,) = GitHubActions({}).annotations([Problem(title, message, file, 7)])
    assert list(obeyed_commands(shown)) == [("error", {"file": file, "line": "7", "title": title}, message)]


def test_no_more_annotations_than_github_shows() -> None:
    problems = [Problem("test", str(each), is_error=bool(each % 2)) for each in range(40)]
    shown = list(GitHubActions({}).annotations(problems))
    commands = [name for name, _, _ in obeyed_commands("\n".join(shown))]
    assert (commands.count("error"), commands.count("warning")) == (10, 10)
    assert [line for line in shown if line.startswith("and")] == [
        "and 10 more errors, which GitHub does not annotate",
        "and 10 more warnings, which GitHub does not annotate",
    ]


def test_services_that_build_side_by_side_are_shown_one_after_the_other(project: SampleProject) -> None:
    for name in ("frontend", "backend"):
        build = f"mkdir -p dist; touch dist/index.html; for i in 1 2 3 4 5; do echo {name} $i; sleep 0.05; done"
        project.config["services"][name]["build"] = {"run": build, "output": "dist"} if name == "frontend" else build
    project.commit()
    shown = project.deploy(variables=RUN).stdout
    for name in ("frontend", "backend"):
        lines = "\n".join(f"{name} {number}" for number in range(1, 6))
        group = rf"::group::{name} build\n::stop-commands::(\w+)\n{lines}\n::\1::\n::endgroup::\n"
        assert re.search(group, shown), shown
    assert "::" not in project.deploy("--force").stdout, "nothing of that outside of a run"


def test_an_error_before_any_deployment_is_shown_with_the_run(project: SampleProject) -> None:
    done = project.run("deploy", "--yes", "--service", "nope", code=2, variables=RUN)
    ((name, properties, message),) = obeyed_commands(done.stderr)
    assert (name, properties) == ("error", {"title": "abreast"})
    assert message.startswith("there is no service 'nope'\n  needed: one of: frontend, backend")


@pytest.mark.parametrize("command", [["show"], ["logs"], ["plan"], ["status"]])
def test_reading_commands_order_nothing(project: SampleProject, command: list[str]) -> None:
    reason = "\n".join(HOSTILE)
    project.config["services"]["backend"]["build"] = f"{hostile_script()}; echo ::error::why; exit 1"
    project.commit()
    project.deploy("--reason", reason, code=1)
    done = project.run(*command, code=None, variables=RUN)
    assert not list(obeyed_commands(done.stdout + done.stderr))
