"""What a deployment leaves for later steps, and its summary: read by GitHub's dialect of Markdown and by Mermaid."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abreast.cli.ci.github_actions import MAX_SUMMARY, GitHubActions
from abreast.cli.views.deployment_markdown import deployment_markdown
from abreast.cli.views.markdown import code, code_block, plain, table
from abreast.cli.views.plan_markdown import MAX_BYTES, plan_markdown
from abreast.cli.views.service_outcomes import ServiceOutcome
from abreast.cli.views.timeline import timeline
from abreast.core.events import Event, EventKind
from abreast.core.model import BreakingChangePolicy, Chapter, Service
from abreast.core.plan import Action, DatabasePlan, DeploymentKind, OnFailure, Plan, ServicePlan  # fmt: skip
from abreast.core.states import DeploymentState
from abreast.ledger.interface import Deployment
from act_steps import run_workflow
from npm import install_packages
from runner_commands import obeyed_commands
from sample_project import SampleProject

HOSTILE = "</td><script>alert(1)</script> [x](javascript:alert(1)) ![i](http://evil/x) @admin #1 `a` ``b`` | c\n\n# big\n```\n<img src=x>"
DEPLOYMENT = Deployment(
    "01M8", "shop", "production", DeploymentKind.DEPLOY, "v2", "a" * 40, DeploymentState.TURNED_BACK, Chapter.CHECK,
    "2026-11-27T04:00:00.000Z", "2026-11-27T04:01:00.000Z", HOSTILE, HOSTILE, "https://github.com/s/w/actions/runs/1",
)  # fmt: skip


def event(number: int, key: str, kind: EventKind, service: str | None, chapter: Chapter, **more: object) -> Event:
    at = f"2026-11-27T04:00:{number:02}.000Z"
    return Event("01M8", key, kind, service=service, chapter=chapter, at=at, **more)  # type: ignore[arg-type]


EVENTS = [
    event(0, "gates/secrets/started", EventKind.STARTED, None, Chapter.GATES, message="secrets"),
    event(1, "a b:c/build/started", EventKind.STARTED, "a b:c", Chapter.BUILD),
    event(3, "gates/secrets/ended", EventKind.FINISHED, None, Chapter.GATES, message="secrets"),
    event(7, "a b:c/build/a b:c/failed", EventKind.FAILED, "a b:c", Chapter.BUILD, message=HOSTILE, data={"log": [HOSTILE] * 3}),
]  # fmt: skip
OUTCOMES = [ServiceOutcome("a b:c", "failed", "v1", "b" * 40, f"http://x/{HOSTILE}", "unknown", 6.0)]


def hostile_plan(parts: int = 1) -> Plan:
    data = DatabasePlan(BreakingChangePolicy.WARN, up=(f"{HOSTILE}.sql",), risks=(HOSTILE,))
    service = ServicePlan(
        Service("web", "local"), Action.DEPLOY, HOSTILE, "a" * 40, notes=(HOSTILE,), database_plan=data
    )
    services = tuple(replace(service, service=Service(f"web-{number}", "local")) for number in range(parts))
    return Plan("", DeploymentKind.DEPLOY, "shop", "production", "", "a" * 40, services, 1, 1, OnFailure.TOGETHER)


def in_html(*documents: str) -> list[str]:
    """Return what marked, which knows GitHub's dialect, makes of Markdown."""
    modules = install_packages("markdown", "marked@18.2.1").parent
    script = f"import {{ marked }} from '{modules}/marked/lib/marked.esm.js'; console.log(JSON.stringify({json.dumps(documents)}.map(text => marked.parse(text, {{gfm: true}}))))"
    done = subprocess.run(["node", "--input-type=module", "-e", script], capture_output=True, text=True, check=True)
    return [str(page) for page in json.loads(done.stdout)]


def test_nothing_hostile_gets_out_of_the_summary() -> None:
    summary = deployment_markdown(DEPLOYMENT, EVENTS, OUTCOMES, repository="https://github.com/s/w", back="v1")
    pages = in_html(summary, plan_markdown(hostile_plan()), "<script>alert(1)</script> [x](javascript:alert(1))")
    for page in pages[:2]:
        outside = re.sub(r"<code[^>]*>.*?</code>", "", page, flags=re.DOTALL)
        for word in ("script", "alert", "img", "@admin", "#1", "evil", "big"):
            assert word not in outside, outside
        assert {*re.findall(r"<(\w+)", page)} <= {
            "h3",
            "p",
            "strong",
            "pre",
            "code",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "a",
            "ul",
            "li",
        }
    assert "<script>" in pages[2], "marked shows what is not escaped"
    assert pages[0].count("<td>") == 7, "one row of seven cells"
    assert summary.index("failed in build") < summary.index("| service |"), "what failed comes first"


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text() | st.sampled_from([HOSTILE, "`", "|", "\\", "-", "_x_", "www.evil.com"]), min_size=1))
def test_a_row_stays_a_row(texts: list[str]) -> None:
    shown = table(["h"] * len(texts), [[plain(text) for text in texts]])
    assert len(shown.split("\n")) == 3
    assert shown.split("\n")[2].replace("\\|", "").count("|") == len(texts) + 1


@settings(deadline=None, max_examples=50)
@given(st.lists(st.text(), min_size=1))
def test_a_block_ends_where_it_should(lines: list[str]) -> None:
    first, *inside, last = code_block(lines).split("\n")
    assert first == f"{last}text"
    assert len(inside) == len(lines)
    assert all(last not in line for line in inside)


def test_any_text_is_one_span() -> None:
    texts = ["`", "``", "a`b", " `", "` ", "\\`", "a``b`c", "<b>", "&lt;", "*x*", "[a](b)", "| |"]
    for text, page in zip(texts, in_html(*map(code, texts)), strict=True):
        assert re.fullmatch(r"<p><code>.*</code></p>\n", page), (text, page)


@pytest.mark.exhaustive
def test_the_timeline_is_a_chart_for_mermaid() -> None:
    modules = install_packages("mermaid", "mermaid@11.17.2", "jsdom@29.1.1").parent
    chart = timeline(EVENTS)
    assert "section a b c" in chart
    assert "build :crit, 1795752001000, 1795752007000" in chart
    body = chart.removeprefix("```mermaid\n").removesuffix("```")
    charts = [body, body.replace("section", "  build ")]
    script = (
        f"import {{ createRequire }} from 'module'; const need = createRequire('{modules}/');"
        "const { JSDOM } = need('jsdom'); const page = new JSDOM('<body></body>');"
        "globalThis.window = page.window; globalThis.document = page.window.document;"
        f"const mermaid = (await import('{modules}/mermaid/dist/mermaid.core.mjs')).default;"
        f"for (const chart of {json.dumps(charts)})"
        " console.log(JSON.stringify(await mermaid.parse(chart, {suppressErrors: true})))"
    )
    done = subprocess.run(["node", "--input-type=module", "-e", script], capture_output=True, text=True, check=True)
    parsed, broken = map(json.loads, done.stdout.splitlines())
    assert parsed["diagramType"] == "gantt"
    assert broken is False, "mermaid refuses what is no chart"


def test_texts_are_never_too_long_for_github() -> None:
    long = "x" * 100_000
    events = [replace_event(number, long) for number in range(500)]
    outcomes = [ServiceOutcome(f"s{number}", "failed", url=f"http://{long}") for number in range(2000)]
    assert len(deployment_markdown(DEPLOYMENT, events, outcomes, repository="", back="").encode()) < MAX_SUMMARY / 4
    assert len(plan_markdown(hostile_plan(3000)).encode()) <= MAX_BYTES


def replace_event(number: int, text: str) -> Event:
    return event(
        number % 60,
        f"k{number}/failed",
        EventKind.FAILED,
        "web",
        Chapter.BUILD,
        message=text,
        data={"log": [text] * 40},
    )


def test_summaries_of_one_step_stay_below_what_github_takes(tmp_path: Path) -> None:
    file = tmp_path / "summary"
    for _ in range(9):
        GitHubActions({"GITHUB_STEP_SUMMARY": str(file)}).publish({}, "ä" * 100_000)
    assert 0.8 * MAX_SUMMARY < file.stat().st_size < MAX_SUMMARY


def test_a_deployment_leaves_its_results_for_later_steps(project: SampleProject, tmp_path: Path) -> None:
    folder = tmp_path / "act"
    folder.mkdir()
    run = {
        "GITHUB_ACTIONS": "true", "ABREAST_STATE": ".abreast", "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "shop/web", "GITHUB_RUN_ID": "7", "GITHUB_OUTPUT": str(folder / "outputs"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
    }  # fmt: skip
    commit = project.commit()
    project.run("plan", variables=run)
    assert "2 of 2 services would be deployed" in (folder / "summary").read_text()
    project.deploy(variables=run)
    id_ = project.latest_deployment()["id"]
    url = f"http://127.0.0.1:{project.backend_port}"
    seen = run_workflow(
        folder,
        f"{{id: made, run: 'cat {folder}/outputs >> $GITHUB_OUTPUT'}}",
        "{run: 'echo \"[${{ steps.made.outputs.release }} ${{ steps.made.outputs.deployment }} "
        "${{ steps.made.outputs.outcome }} ${{ steps.made.outputs.outcome-backend }} "
        "${{ fromJSON(steps.made.outputs.urls).backend }} ${{ steps.made.outputs.url-backend }}]\"'}",
    )
    assert f"[v1 {id_} succeeded deployed {url} {url}]" in seen
    summary = (folder / "summary").read_text()
    assert f"| backend | deployed | v1 | [` {url} `](<{url}>) | healthy |" in summary
    assert f"[`{commit[:7]}`](<https://github.com/shop/web/commit/{commit}>)" in summary
    assert "rollback" not in summary.partition("v1 is live in")[2], "there is nothing before the first release"
    project.commit()
    project.deploy(variables=run)
    assert "abreast rollback --env local --to v1 --reason …" in (folder / "summary").read_text()
    project.run("rollback", "--yes", "--reason", "x", variables=run)
    assert "### shop v1 is live in local" in (folder / "summary").read_text()
    (folder / "outputs").unlink()
    project.run("rollback", "--yes", "--to", "v1", "--reason", "x", variables=run)
    assert "outcome<<" in (folder / "outputs").read_text()


def test_failed_tests_are_shown_at_their_lines(project: SampleProject) -> None:
    """Those of pytest and of node, in a service that has a folder of its own."""
    web = project.folder / "web"
    web.mkdir()
    (project.folder / "app.py").rename(web / "app.py")
    (web / "test_cart.py").write_text("def test_total():\n    total = 3\n    assert total == 4\n")
    (web / "cart.test.mjs").write_text(
        "import test from 'node:test';\nimport assert from 'node:assert';\n\ntest('total', () => {\n  assert.equal(3, 4);\n});\n"
    )
    runs = [
        f"{sys.executable} -m pytest -q --rootdir . -p no:cacheprovider --junitxml=junit.xml test_cart.py",
        "node --test --test-reporter=junit --test-reporter-destination=node-junit.xml cart.test.mjs",
    ]
    backend = project.config["services"]["backend"]
    project.config["services"]["backend"] = {**backend, "folder": "web", "test": {"run": f"{'; '.join(runs)}; exit 1"}}
    project.commit()
    done = project.deploy(code=3, variables={"GITHUB_ACTIONS": "true", "ABREAST_STATE": ".abreast"})
    shown = [properties for name, properties, _ in obeyed_commands(done.stdout) if name == "error"]
    places = {(properties.get("file"), properties.get("line")) for properties in shown}
    assert places == {(None, None), ("web/test_cart.py", "3"), ("web/cart.test.mjs", "5")}, done.stdout
