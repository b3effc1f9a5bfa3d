"""The live board: one row per service, one column per chapter, with elapsed and expected seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from abreast.cli.terminal_text import visible
from abreast.cli.views.event_lines import log_lines
from abreast.core.events import Event, EventKind
from abreast.core.model import Chapter, Plan
from abreast.core.states import DeploymentState

SERVICE_CHAPTERS = (Chapter.BUILD, Chapter.BACKUP, Chapter.REHEARSE, Chapter.MIGRATE, Chapter.STAGE, Chapter.CHECK)
SHARED_CHAPTERS = (Chapter.TURN, Chapter.WATCH, Chapter.SETTLE, Chapter.TURN_BACK)
_TRANSITIONS = frozenset({EventKind.STARTED, EventKind.RETRY, EventKind.FINISHED, EventKind.FAILED, EventKind.STOPPED})
_SYMBOLS = {EventKind.STARTED: "…", EventKind.FINISHED: "✓", EventKind.FAILED: "✗", EventKind.STOPPED: "-"}
_STYLES = {EventKind.STARTED: "yellow", EventKind.FINISHED: "green", EventKind.FAILED: "red", EventKind.STOPPED: "dim"}


@dataclass(frozen=True, slots=True)
class Step:
    """The progress of a chapter or a gate. Times are seconds since the epoch."""

    kind: EventKind
    started: float
    finished: float | None = None


@dataclass(frozen=True, slots=True)
class Board:
    """Everything that is drawn. ``steps`` is keyed by service or gate (None: all services) and chapter."""

    title: str
    services: tuple[str, ...]
    steps: Mapping[tuple[str | None, Chapter], Step]
    state: DeploymentState = DeploymentState.WAITING
    failures: tuple[Event, ...] = ()
    reason: str = ""


def build_board(plan: Plan, events: Sequence[Event]) -> Board:
    """Return the board after these events."""
    title = f"{plan.project} → {plan.environment}  {plan.release}  {plan.commit[:7]}  {plan.deployment}"
    board = Board(title, tuple(part.name for part in plan.rollouts), {})
    for event in events:
        board = _apply_event(board, event)
    return board


def _apply_event(board: Board, event: Event) -> Board:
    if event.state:
        return replace(board, state=event.state, reason=event.message or board.reason)
    if event.chapter is None or event.kind not in _TRANSITIONS:
        return board
    key = (_row_key(event, event.chapter), event.chapter)
    at = datetime.fromisoformat(event.at).timestamp()
    before = board.steps.get(key)
    if event.kind in {EventKind.STARTED, EventKind.RETRY}:
        step = Step(EventKind.STARTED, before.started if before and before.finished is None else at)
    else:
        step = Step(event.kind, before.started if before else at, at)
    failures = (*board.failures, event) if event.kind is EventKind.FAILED else board.failures
    return replace(board, steps={**board.steps, key: step}, failures=failures)


def _row_key(event: Event, chapter: Chapter) -> str | None:
    """Return the service or the gate that the event belongs to; None for all services."""
    if chapter is Chapter.GATES:
        name = event.key.partition(f"{Chapter.GATES}/")[2].partition("/")[0]
        return f"{event.service}/{name}" if event.service else name
    return event.service if chapter in SERVICE_CHAPTERS else None


def render_board(
    board: Board, expected: Mapping[tuple[str | None, str], float], now: float | None = None
) -> RenderableType:
    """Draw the board at ``now`` (seconds since the epoch). ``expected`` holds seconds by service and chapter."""
    drawn_at = datetime.now(UTC).timestamp() if now is None else now
    table = Table(box=None, pad_edge=False, padding=(0, 2))
    table.add_column("")
    for chapter in SERVICE_CHAPTERS:
        table.add_column(chapter.value)
    for service in board.services:
        cells = [
            _cell(board.steps.get((service, chapter)), expected.get((service, chapter)), drawn_at)
            for chapter in SERVICE_CHAPTERS
        ]
        table.add_row(Text(service, "bold"), *cells)
    gates = [(row, step) for (row, chapter), step in board.steps.items() if chapter is Chapter.GATES]
    gate_line = Text("  gates " if gates else "")
    for row, step in gates:
        gate_line += Text(f" {row} ") + _cell(step, None, drawn_at) + Text("  ")
    shared_line = Text("  ")
    for chapter in SHARED_CHAPTERS:
        if chapter is not Chapter.TURN_BACK or (None, chapter) in board.steps:
            shared_line += Text(f"{chapter} ") + _cell(
                board.steps.get((None, chapter)), expected.get((None, chapter)), drawn_at
            )
            shared_line += Text("   ")
    return Group(Text(board.title, "bold"), *([gate_line] if gates else []), table, shared_line, *_footer(board))


def _cell(step: Step | None, expected: float | None, now: float) -> Text:
    if step is None:
        return Text("·", "dim")
    took = (step.finished or now) - step.started
    of_expected = f" of ~{expected:.1f}" if step.finished is None and expected else ""
    return Text(f"{_SYMBOLS.get(step.kind, '·')} {took:.1f}{of_expected} s", _STYLES.get(step.kind, ""))


def _footer(board: Board) -> list[Text]:
    lines = []
    for event in board.failures:
        lines.append(Text(visible(f"{event.service or 'all'} {event.chapter}: {event.message}"), "red"))
        lines += [Text(f"  │ {visible(line)}", "dim") for line in log_lines(event)]
    style = {DeploymentState.SUCCEEDED: "bold green", DeploymentState.RUNNING: "yellow"}.get(board.state, "bold red")
    return [*lines, Text(visible(f"{board.state}{': ' if board.reason else ''}{board.reason}"), style)]
