"""The live board: one row per service, one column per chapter, with elapsed and expected seconds.

In a narrow terminal, each service has one cell: the chapter that it is in.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from abreast.cli.terminal_text import visible
from abreast.cli.views.event_lines import log_lines
from abreast.core.events import Event, EventKind
from abreast.core.model import Chapter
from abreast.core.plan import Plan
from abreast.core.states import DeploymentState

SERVICE_CHAPTERS = (
    Chapter.BUILD, Chapter.BACKUP, Chapter.REHEARSE, Chapter.MIGRATE, Chapter.RELEASE, Chapter.STAGE, Chapter.CHECK
)  # fmt: skip
_ROLLOUT_CHAPTERS = frozenset({Chapter.BUILD, Chapter.STAGE, Chapter.CHECK})
_DATA_CHAPTERS = frozenset({Chapter.BACKUP, Chapter.REHEARSE, Chapter.MIGRATE})
SHARED_CHAPTERS = (Chapter.TURN, Chapter.WATCH, Chapter.SETTLE, Chapter.TURN_BACK)
_UNLIMITED = 10_000
"""More columns than any terminal has."""

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
    """Everything that is drawn. ``steps`` is keyed by service or gate (None: all services) and chapter.

    ``planned``: the chapters of services that the plan leads through.
    """

    title: str
    services: tuple[str, ...]
    planned: frozenset[Chapter]
    steps: Mapping[tuple[str | None, Chapter], Step]
    state: DeploymentState = DeploymentState.WAITING
    failures: tuple[Event, ...] = ()
    reason: str = ""

    @property
    def columns(self) -> tuple[Chapter, ...]:
        """The chapters of services that are planned or have begun, in order."""
        begun = {chapter for _, chapter in self.steps}
        return tuple(chapter for chapter in SERVICE_CHAPTERS if chapter in self.planned or chapter in begun)

    @property
    def building(self) -> tuple[str, ...]:
        """The services whose build runs."""
        steps = {service: self.steps.get((service, Chapter.BUILD)) for service in self.services}
        return tuple(service for service, step in steps.items() if step and step.finished is None)


def build_board(plan: Plan, events: Sequence[Event]) -> Board:
    """Return the board after these events."""
    title = f"{plan.project} → {plan.environment}  {plan.release}  {plan.commit[:7]}  {plan.deployment}"
    parts = plan.rollouts or plan.database_changes
    board = Board(title, tuple(part.name for part in parts), _planned_chapters(plan), {})
    for event in events:
        board = _apply_event(board, event)
    return board


def _planned_chapters(plan: Plan) -> frozenset[Chapter]:
    is_migrated = any(part.database_plan and part.database_plan.is_forward for part in plan.database_changes)
    has_release_command = any(part.service.release for part in plan.rollouts)
    return frozenset().union(
        _ROLLOUT_CHAPTERS if plan.rollouts else (),
        _DATA_CHAPTERS if is_migrated else (),
        {Chapter.RELEASE} if has_release_command else (),
    )


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
    board: Board,
    expected: Mapping[tuple[str | None, str], float],
    now: float | None = None,
    output: Mapping[str, str] | None = None,
) -> RenderableType:
    """Draw the board at ``now`` (seconds since the epoch). ``expected`` holds seconds by service and chapter.

    ``output`` is the last line that the build of each service printed.
    """
    drawn_at = datetime.now(UTC).timestamp() if now is None else now
    return _BoardView(board, expected, drawn_at, output or {})


@dataclass(frozen=True, slots=True)
class _BoardView:
    board: Board
    expected: Mapping[tuple[str | None, str], float]
    now: float
    output: Mapping[str, str]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """Draw the table, or if it is wider than the terminal, one cell per service."""
        table, gates, shared = self._table(), self._gates(), self._shared()
        fits = Measurement.get(console, options.update(max_width=_UNLIMITED), table).maximum <= options.max_width
        yield Text(self.board.title, "bold")
        if gates:
            yield Text("  gates  ") + Text("   ").join(gates) if fits else Group(*gates)
        yield table if fits else self._cells(options.max_width)
        yield Text("  ") + Text("   ").join(shared) if fits else Group(*shared)
        for service in self.board.building:
            if line := self.output.get(service):
                yield Text(visible(f"  {service} │ {line}"), "dim", no_wrap=True, overflow="ellipsis")
        yield from _footer(self.board)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2))
        table.add_column("")
        for chapter in self.board.columns:
            table.add_column(chapter.value, no_wrap=True)
        for service in self.board.services:
            table.add_row(Text(service, "bold"), *(self._cell(service, chapter) for chapter in self.board.columns))
        return table

    def _cells(self, width: int) -> Table:
        """Return one row per service, with the chapter that it is in. A long name is cut off rather than that."""
        latest = [self._latest(service) for service in self.board.services]
        table = Table.grid(padding=(0, 1))
        table.add_column(no_wrap=True, max_width=width - max(map(len, latest), default=0) - 1)
        table.add_column(no_wrap=True)
        for service, cell in zip(self.board.services, latest, strict=True):
            table.add_row(Text(service, "bold"), cell)
        return table

    def _latest(self, service: str) -> Text:
        begun = [chapter for chapter in self.board.columns if (service, chapter) in self.board.steps]
        return Text(f"{begun[-1]} ") + self._cell(service, begun[-1]) if begun else Text("·", "dim")

    def _gates(self) -> list[Text]:
        rows = [row for row, chapter in self.board.steps if chapter is Chapter.GATES]
        return [Text(f"{row} ") + self._cell(row, Chapter.GATES) for row in rows]

    def _shared(self) -> list[Text]:
        chapters = [
            chapter
            for chapter in SHARED_CHAPTERS
            if chapter is not Chapter.TURN_BACK or (None, chapter) in self.board.steps
        ]
        return [Text(f"{chapter} ") + self._cell(None, chapter) for chapter in chapters]

    def _cell(self, row: str | None, chapter: Chapter) -> Text:
        step = self.board.steps.get((row, chapter))
        return _cell(step, self.expected.get((row, chapter)), self.now)


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
