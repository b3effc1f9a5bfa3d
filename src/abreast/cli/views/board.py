"""The live board: services side by side, the chapter each is in, how long it took and is expected to take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from abreast.cli.views.lines import log_of
from abreast.core.events import Event, What
from abreast.core.model import Chapter, Plan
from abreast.core.states import State

OWN = (Chapter.BUILD, Chapter.BACKUP, Chapter.REHEARSE, Chapter.MIGRATE, Chapter.STAGE, Chapter.CHECK)
COMMON = (Chapter.TURN, Chapter.WATCH, Chapter.SETTLE, Chapter.TURN_BACK)
_MOVES = frozenset({What.STARTED, What.RETRY, What.FINISHED, What.FAILED, What.STOPPED})
_SIGNS = {What.STARTED: "…", What.FINISHED: "✓", What.FAILED: "✗", What.STOPPED: "-"}
_STYLES = {What.STARTED: "yellow", What.FINISHED: "green", What.FAILED: "red", What.STOPPED: "dim"}


@dataclass(frozen=True, slots=True)
class Step:
    """A chapter of one service (or of all), or a gate, so far; moments in seconds since the epoch."""

    what: What
    began: float
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """All that is drawn: the steps by service (None: all) or gate and chapter, the state, and what went wrong."""

    title: str
    services: tuple[str, ...]
    steps: Mapping[tuple[str | None, Chapter], Step]
    state: State = State.WAITING
    failures: tuple[Event, ...] = ()
    because: str = ""


def fold(plan: Plan, events: Sequence[Event]) -> Board:
    """Return the board after these events."""
    title = f"{plan.project} → {plan.environment}  {plan.release}  {plan.commit[:7]}  {plan.deployment}"
    board = Board(title, tuple(part.name for part in plan.rollouts), {})
    for event in events:
        board = _after(board, event)
    return board


def _after(board: Board, event: Event) -> Board:
    if event.state:
        return replace(board, state=event.state, because=event.text or board.because)
    if event.chapter is None or event.what not in _MOVES:
        return board
    place = (_whose(event, event.chapter), event.chapter)
    at = datetime.fromisoformat(event.at).timestamp()
    before = board.steps.get(place)
    if event.what in {What.STARTED, What.RETRY}:
        step = Step(What.STARTED, before.began if before and before.ended is None else at)
    else:
        step = Step(event.what, before.began if before else at, at)
    failures = (*board.failures, event) if event.what is What.FAILED else board.failures
    return replace(board, steps={**board.steps, place: step}, failures=failures)


def _whose(event: Event, chapter: Chapter) -> str | None:
    """Return the service whose row the event belongs to, or its gate's name; None for what is common to all."""
    if chapter is Chapter.GATES:
        name = event.key.partition(f"{Chapter.GATES}/")[2].partition("/")[0]
        return f"{event.service}/{name}" if event.service else name
    return event.service if chapter in OWN else None


def draw(board: Board, expected: Mapping[tuple[str | None, str], float], now: float | None = None) -> RenderableType:
    """Draw the board as it stands at ``now``."""
    moment = datetime.now(UTC).timestamp() if now is None else now
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    table.add_column("")
    for chapter in OWN:
        table.add_column(chapter.value)
    for service in board.services:
        cells = [
            _cell(board.steps.get((service, chapter)), expected.get((service, chapter)), moment) for chapter in OWN
        ]
        table.add_row(Text(service, "bold"), *cells)
    gates = [(whose, step) for (whose, chapter), step in board.steps.items() if chapter is Chapter.GATES]
    asked = Text("  gates " if gates else "")
    for whose, step in gates:
        asked += Text(f" {whose} ") + _cell(step, None, moment) + Text("  ")
    common = Text("  ")
    for chapter in COMMON:
        if chapter is not Chapter.TURN_BACK or (None, chapter) in board.steps:
            common += Text(f"{chapter} ") + _cell(
                board.steps.get((None, chapter)), expected.get((None, chapter)), moment
            )
            common += Text("   ")
    return Group(Text(board.title, "bold"), *([asked] if gates else []), table, common, *_ending(board))


def _cell(step: Step | None, expected: float | None, now: float) -> Text:
    if step is None:
        return Text("·", "dim")
    took = (step.ended or now) - step.began
    usual = f" of ~{expected:.1f}" if step.ended is None and expected else ""
    return Text(f"{_SIGNS.get(step.what, '·')} {took:.1f}{usual} s", _STYLES.get(step.what, ""))


def _ending(board: Board) -> list[Text]:
    told = []
    for event in board.failures:
        told.append(Text(f"{event.service or 'all'} {event.chapter}: {event.text}", "red"))
        told += [Text(f"  │ {line}", "dim") for line in log_of(event)]
    style = {State.SUCCEEDED: "bold green", State.RUNNING: "yellow"}.get(board.state, "bold red")
    return [*told, Text(f"{board.state}{': ' if board.because else ''}{board.because}", style)]
