"""One chapter: retried where that may help, stopped where it still can, failed with words."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from abreast.core.errors import PlatformError, TransientError, UnavailableError
from abreast.core.events import EventKind
from abreast.core.model import Chapter, Failure, FailureCause
from abreast.core.plan import DeploymentKind, OnFailure, Plan
from abreast.core.secrets import MASK
from abreast.deploy.runtime import run as run_module
from abreast.deploy.runtime.engine import Work, WorkflowEngine
from abreast.deploy.runtime.ports import Ports
from abreast.deploy.runtime.run import Run
from abreast.ledger.sqlite import SqliteLedger

PLAN = Plan("D1", DeploymentKind.DEPLOY, "shop", "local", "v1", "c" * 40, (), 1, 1, OnFailure.TOGETHER)


class Inline:
    """Runs steps as they come, and keeps only their events."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self.ledger = ledger

    async def run_step(self, _: str, work: Work) -> object:
        result, events = await work()
        self.ledger.append_events(*events)
        return result


SECRET = "xq7-sentinel-value"


class OnlyLedger:
    def __init__(self, ledger: SqliteLedger) -> None:
        self.ledger = ledger
        self.known_secrets = frozenset({SECRET})


def outcome(
    tmp_path: Path, errors: list[Exception], chapter: Chapter = Chapter.STAGE, halted: Failure | None = None
) -> tuple[Any, list[str], int]:
    """Return what a chapter came to whose work raises these errors in turn, the events told, the attempts made."""
    attempts = 0

    async def work() -> str:
        nonlocal attempts
        attempts += 1
        if attempts <= len(errors):
            raise errors[attempts - 1]
        return "there"

    async def story() -> tuple[object, list[str]]:
        with SqliteLedger.open(tmp_path) as ledger:
            ledger.record_plan(PLAN)
            run = Run(PLAN, cast(Ports, OnlyLedger(ledger)), cast(WorkflowEngine, Inline(ledger)))
            if halted:
                run.halt.set(halted)
            found = await run.run_chapter(chapter, work, str, "web")
            return found, [event.kind.value for event in ledger.events("D1")[1:]]

    found, told = asyncio.run(story())
    return found, told, attempts


def test_what_a_platform_says_is_recorded_without_secrets(tmp_path: Path) -> None:
    found, _, _ = outcome(tmp_path, [PlatformError(f"401 for Bearer abc123abc123 and {SECRET}")])
    assert found.message == f"401 for Bearer {MASK} and {MASK}"
    assert not [file for file in tmp_path.iterdir() if SECRET.encode() in file.read_bytes()]


def test_what_may_pass_is_tried_three_times(tmp_path: Path) -> None:
    found, told, attempts = outcome(tmp_path, [TransientError("busy")] * 2)
    assert (found, told, attempts) == ("there", ["started", "retry", "retry", "finished"], 3)


def test_and_not_more_often(tmp_path: Path) -> None:
    found, told, attempts = outcome(tmp_path, [TransientError("busy")] * 9)
    assert (found, attempts) == (Failure(Chapter.STAGE, "busy", "web"), 3)
    assert told[-1] == EventKind.FAILED


@pytest.mark.parametrize(
    ("error", "what"), [(PlatformError("no"), "no"), (ZeroDivisionError("x"), "unexpected error: ZeroDivisionError: x")]
)
def test_what_will_not_pass_is_tried_once(tmp_path: Path, error: Exception, what: str) -> None:
    found, _, attempts = outcome(tmp_path, [error])
    assert (found, attempts) == (Failure(Chapter.STAGE, what, "web"), 1)


def test_others_are_told_and_the_way_back_is_not_stopped(tmp_path: Path) -> None:
    failed = Failure(Chapter.BUILD, "x", "api")
    found, told, attempts = outcome(tmp_path / "a", [], halted=failed)
    assert (found.message, found.cause, told, attempts) == (
        "because api failed",
        FailureCause.STOPPED,
        [],
        0,
    )
    found, _, attempts = outcome(tmp_path / "b", [], Chapter.TURN_BACK, failed)
    assert (found, attempts) == ("there", 1)


def test_an_outage_begins_when_the_provider_is_first_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the chapter has worked before."""
    monkeypatch.setattr(run_module, "MAX_OUTAGE", 1.5)
    answers = iter([UnavailableError("away"), None])

    async def work() -> str:
        error = next(answers)
        if error:
            await asyncio.sleep(2)
            raise error
        return "there"

    async def story() -> object:
        with SqliteLedger.open(tmp_path) as ledger:
            ledger.record_plan(PLAN)
            run = Run(PLAN, cast(Ports, OnlyLedger(ledger)), cast(WorkflowEngine, Inline(ledger)))
            return await run.run_chapter(Chapter.STAGE, work, str, "web")

    assert asyncio.run(story()) == "there"


def test_a_provider_that_stays_away_fails_the_chapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "MAX_OUTAGE", 1.5)
    found, told, attempts = outcome(tmp_path, [UnavailableError("away")] * 9)
    assert found == Failure(Chapter.STAGE, "away", "web")
    assert (attempts, told.count(EventKind.RETRY.value)) == (2, 1)
