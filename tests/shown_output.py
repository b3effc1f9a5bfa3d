"""Compares what a page shows of a command with what it prints. Times, ids, commits and ports differ each time."""

import re
from collections.abc import Mapping, Sequence

ANYTHING = "..."

_CHANGING = (
    (re.compile(r"\b01[0-9A-HJKMNP-TV-Z]{24}\b"), "ID"),
    (re.compile(r"\b\d\d/[A-Z][a-z]{2}/\d{4}\b|\b\d{4}-\d\d-\d\d\b"), "DATE"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "TIME"),
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{7}\b"), "COMMIT"),
    (re.compile(r"\b2\d{4}\b"), "PORT"),
    (re.compile(r"\b\d+(?:\.\d+)? s\b"), "SECONDS"),
    (re.compile(r"\s+"), " "),
)


def normalized(line: str, ports: Mapping[int, int]) -> str:
    """Return a line without what changes. ``ports`` maps the ports that are used to those that the page shows."""
    for used, shown in ports.items():
        line = line.replace(f":{used}", f":{shown}")
    for pattern, word in _CHANGING:
        line = pattern.sub(word, line)
    return line.strip()


def first_difference(shown: Sequence[str], printed: Sequence[str], ports: Mapping[int, int]) -> str:
    """Return the first line that is shown and was not printed at its place, "" if all were. ``...`` stands for any."""
    remaining = [normalized(line, ports) for line in printed if line.strip()]
    may_skip = False
    for line in (line for line in shown if line.strip()):
        if line == ANYTHING:
            may_skip = True
            continue
        wanted = normalized(line, ports)
        if wanted not in remaining if may_skip else remaining[:1] != [wanted]:
            return f"{line!r} is not next in {remaining}"
        remaining = remaining[remaining.index(wanted) + 1 :]
        may_skip = False
    return "" if may_skip or not remaining else f"not shown: {remaining}"
