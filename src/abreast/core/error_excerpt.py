"""What to show of a failed command's output: its first errors, since the last lines are often a usage text."""

import re
from collections import deque

MAX_LINES = 20
"""Lines to show."""

MAX_FOLLOWING = 6
"""Lines after an error that are shown with it: the place, the source, the stack."""

GAP = "…"
"""Stands for the lines between two errors."""

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_ERROR = re.compile(
    r"(?<![\w./-])(?:errors?|err!|fatal|panic|panicked|exception|failed|failure|cannot|could not|can't|unable to"
    r"|not found|no such \w+|does not exist|permission denied|refused|timed out|undefined reference"
    r"|(?:unknown|invalid|unrecognized) \w+)"
    r"(?![\w/-]|\.\w)"
    r"|\w(?:Error|Exception)\b|\*\*\*|^E  |^Traceback \(",
    re.IGNORECASE,
)
_NO_ERROR = re.compile(
    r"\b(?:0|no|without) (?:errors?|failures?|failed)\b|\b(?:errors?|failures?|failed): 0\b"
    r"|\bwarn(?:ings?)?\b|\bdeprecated\b|^\s*(?:✓|✔|√|ok\b|pass\b|\+ )|\b(?:ok|passed)$",
    re.IGNORECASE,
)
_END_OF_ERROR = re.compile(r"\s*$|\s*usage\b", re.IGNORECASE)


class ErrorExcerpt:
    """Reads output line by line. Keeps the first errors, each with the lines after it, and the last lines."""

    def __init__(self) -> None:
        self.tail: deque[str] = deque(maxlen=MAX_LINES)
        self._errors: list[str] = []
        self._following = 0
        self._skipped = False

    def add(self, line: str) -> None:
        """Read one line."""
        self.tail.append(line)
        if len(self._errors) >= MAX_LINES:
            return
        text = _STYLE.sub("", line)
        if is_error_line(text):
            self._following = MAX_FOLLOWING
            self._keep(line)
        elif self._following and not _END_OF_ERROR.match(text):
            self._following -= 1
            self._keep(line)
        else:
            self._following = 0
            self._skipped = True

    def _keep(self, line: str) -> None:
        if self._skipped and self._errors:
            self._errors.append(GAP)
        self._errors.append(line)
        self._skipped = False

    @property
    def errors(self) -> tuple[str, ...]:
        """The first errors, at most MAX_LINES lines. Empty if no line looks like an error."""
        return tuple(self._errors[:MAX_LINES])


def is_error_line(text: str) -> bool:
    """Whether a line without colors looks like the report of an error."""
    return bool(_ERROR.search(text)) and not _NO_ERROR.search(text)
