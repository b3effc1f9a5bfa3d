"""The live board: only the columns that a plan leads through, in any width."""

import io
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from rich.cells import cell_len
from rich.console import Console

from abreast.cli.views.board import build_board, render_board
from abreast.core.events import Event, EventKind
from abreast.core.model import BreakingChangePolicy, Chapter, ReleaseCommand, Service
from abreast.core.plan import Action, DatabasePlan, DeploymentKind, OnFailure, Plan, ServicePlan
from abreast.core.states import DeploymentState

NOW = datetime(2026, 11, 21, 1, 0, 8, tzinfo=UTC).timestamp()
MIGRATED = DatabasePlan(BreakingChangePolicy.WARN, up=("002.sql",))
NAMES = ("frontend", "backend", "recommendations-worker")


def a_plan(database: DatabasePlan | None = None) -> Plan:
    parts = tuple(
        ServicePlan(
            Service(name, "local", run="x"), Action.DEPLOY, "never deployed here", "c" * 40, database_plan=database
        )
        for name in NAMES
    )
    id_ = "01M7Y3XDNAWFTX7XY9WA2XYWVN"
    return Plan(
        id_, DeploymentKind.DEPLOY, "storefront", "production", "v12", "c" * 40, parts, 10, 30, OnFailure.TOGETHER
    )


def event(chapter: Chapter, kind: EventKind, at: float, service: str | None = None, log: tuple[str, ...] = ()) -> Event:
    moment = f"2026-11-21T01:00:{at:06.3f}Z"
    return Event("D", f"{service}/{chapter}/{kind}", kind, "", service, chapter, data={"log": log}, at=moment)


EVENTS = [
    replace(event(Chapter.GATES, EventKind.STARTED, 0.0), key="gates/style/started"),
    *(event(Chapter.BUILD, EventKind.STARTED, 1.0, name) for name in NAMES),
    event(Chapter.BUILD, EventKind.FINISHED, 2.5, "frontend"),
    event(Chapter.STAGE, EventKind.STARTED, 3.0, "frontend"),
    event(Chapter.STAGE, EventKind.FINISHED, 3.5, "frontend"),
    event(Chapter.CHECK, EventKind.STARTED, 4.0, "frontend"),
    event(Chapter.TURN, EventKind.STARTED, 5.0),
    event(Chapter.TURN, EventKind.FINISHED, 5.1),
    event(Chapter.WATCH, EventKind.STARTED, 6.0),
]


def drawn(plan: Plan, events: list[Event], columns: int) -> list[str]:
    out = io.StringIO()
    expected = {("frontend", "check"): 12.3, (None, "watch"): 10.0}
    output = {"backend": "webpack 5.9 compiled " + "very " * 20 + "much", "frontend": "done long ago"}
    board = render_board(build_board(plan, events), expected, now=NOW, output=output)
    Console(file=out, width=columns).print(board)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_only_the_columns_of_this_plan() -> None:
    (heading,) = (line for line in drawn(a_plan(), EVENTS, 120) if "check" in line)
    assert heading.split() == ["build", "stage", "check"]
    (heading,) = (line for line in drawn(a_plan(MIGRATED), EVENTS, 160) if "stage" in line)
    assert heading.split() == ["build", "backup", "rehearse", "migrate", "stage", "check"]
    plan = a_plan()
    service = replace(plan.services[0].service, release=ReleaseCommand("prepare"))
    released = replace(plan, services=(replace(plan.services[0], service=service), *plan.services[1:]))
    (heading,) = (line for line in drawn(released, EVENTS, 120) if "check" in line)
    assert heading.split() == ["build", "release", "stage", "check"]
    with_restore = [*EVENTS, event(Chapter.BACKUP, EventKind.STARTED, 7.0, "backend")]
    assert any(line.split() == ["build", "backup", "stage", "check"] for line in drawn(a_plan(), with_restore, 120))


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
@pytest.mark.parametrize("database", [None, MIGRATED], ids=["code", "migration"])
def test_it_fits(columns: int, database: DatabasePlan | None) -> None:
    lines = drawn(a_plan(database), EVENTS, columns)
    assert max(map(cell_len, lines)) <= columns
    text = "\n".join(lines)
    for needed in ("frontend", "backend", "recommendations", "check", "4.0 of ~12.3 s", "turn ✓ 0.1 s", "of ~10.0 s"):
        assert needed in text
    assert "01M7Y3XDNAWFTX7XY9WA2XYWVN" in text


def test_a_failure_is_told_in_full_in_a_narrow_terminal() -> None:
    failed = event(Chapter.CHECK, EventKind.FAILED, 7.0, "backend", log=("it is the database that is not there",))
    ended = Event("D", "state", EventKind.STATE, "backend: gone", state=DeploymentState.TURNED_BACK, at=failed.at)
    lines = drawn(a_plan(), [*EVENTS, failed, ended], 40)
    assert max(map(cell_len, lines)) <= 40
    words = " ".join(" ".join(lines).split())
    assert "it is the database that is not there" in words
    assert lines[-1] == "turned-back: backend: gone"


def test_the_last_line_of_a_build_that_runs() -> None:
    lines = drawn(a_plan(), EVENTS, 60)
    (line,) = (line for line in lines if "│" in line)
    assert line.startswith("  backend │ webpack 5.9 compiled very")
    assert line.endswith("…")
