"""The output of a deployment's commands, as one section for each when its chapter has ended."""

from collections import deque
from collections.abc import Iterator, Sequence

from abreast.cli.command_output import CommandOutput
from abreast.core.events import Event, EventKind
from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import Chapter

MAX_LINES = 10_000
"""Last lines of one command to show. Its log has all."""

_ENDS = frozenset({EventKind.FINISHED, EventKind.FAILED, EventKind.STOPPED})
_KINDS = {Chapter.BUILD: {"install", "build"}, Chapter.CHECK: {"health"}}
"""The kinds of commands that a chapter runs, where that is not its own name."""


@dataclass(frozen=True, slots=True)
class Section:
    """The output of one command."""

    title: str
    lines: Sequence[str]


class OutputSections:
    """Collects the lines of commands that run side by side, so that each can be shown in one piece."""

    def __init__(self, output: CommandOutput) -> None:
        self._output = output
        self._pending: dict[tuple[str, str], deque[str]] = {}
        self._counts: dict[tuple[str, str], int] = {}

    def collect(self) -> None:
        """Read the lines that came since the last call."""
        for subject, kind, line in self._output.new_lines():
            key = subject, kind
            self._pending.setdefault(key, deque(maxlen=MAX_LINES)).append(line)
            self._counts[key] = self._counts.get(key, 0) + 1

    def ended_by(self, event: Event) -> Iterator[Section]:
        """Yield a section for each command of the chapter that an event ends."""
        if event.kind in _ENDS and event.chapter:
            for subject, kind in [key for key in self._pending if _is_of(*key, event)]:
                yield self._take(subject, kind)

    def remaining(self) -> Iterator[Section]:
        """Yield what no event ended, such as the output of a command that was killed."""
        for subject, kind in list(self._pending):
            yield self._take(subject, kind)

    def _take(self, subject: str, kind: str) -> Section:
        lines, count = self._pending.pop((subject, kind)), self._counts.pop((subject, kind))
        left_out = [f"… {count - len(lines)} lines before these"] if count > len(lines) else []
        return Section(f"{subject} {kind}".strip(), (*left_out, *lines))


def _is_of(subject: str, kind: str, event: Event) -> bool:
    """Return whether a command ran in the chapter that an event ends. A gate's command begins with its name."""
    if event.chapter is Chapter.GATES:
        gate = event.message if event.kind is EventKind.FINISHED else event.key.split("/")[-3]
        runs = kind.partition(".")[0]
        return (subject, runs) == (event.service, gate) if event.service else subject == gate
    assert event.chapter
    return subject == event.service and kind in _KINDS.get(event.chapter, {event.chapter.value})
