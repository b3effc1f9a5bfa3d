"""GitHub Actions: workflow commands for its runner, and the files that it reads after a step.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

import secrets as random
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from abreast.cli.ci.interface import CiOutput, Problem

MAX_ANNOTATIONS = 10
"""Errors, and as many warnings, that GitHub shows of one step."""

MAX_SUMMARY = 1 << 20
"""Bytes of all summaries of one step; GitHub shows nothing of a longer one."""


class GitHubActions(CiOutput):
    """What a step shows. ``variables`` are those of the runner."""

    has_sections = True

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables

    def masks(self, secrets: Iterable[str]) -> Iterator[str]:
        """Yield a command for each line of each secret, since the runner masks line by line."""
        lines = {line.strip() for secret in secrets for line in secret.splitlines()}
        for line in sorted(line for line in lines if len(line) > 3):
            yield f"::add-mask::{escape_data(line)}"

    def section(self, title: str, lines: Sequence[str]) -> Iterator[str]:
        """Yield a group. Until a word that nobody could guess, the runner takes no line for a command."""
        token = random.token_hex(16)
        yield f"::group::{escape_data(title)}"
        yield f"::stop-commands::{token}"
        yield from lines
        yield f"::{token}::"
        yield "::endgroup::"

    def annotations(self, problems: Sequence[Problem]) -> Iterator[str]:
        """Yield the first errors and warnings, then how many more there are."""
        for level, is_error in (("error", True), ("warning", False)):
            found = [problem for problem in problems if problem.is_error is is_error]
            for problem in found[:MAX_ANNOTATIONS]:
                yield _annotation(level, problem)
            if len(found) > MAX_ANNOTATIONS:
                yield f"and {len(found) - MAX_ANNOTATIONS} more {level}s, which GitHub does not annotate"

    def publish(self, outputs: Mapping[str, str], summary: str) -> None:
        """Append to the files of outputs and of the summary. A summary that no longer fits is left out."""
        self._append("GITHUB_OUTPUT", "".join(_output(name, value) for name, value in outputs.items()))
        file = self._variables.get("GITHUB_STEP_SUMMARY", "")
        used = Path(file).stat().st_size if file and Path(file).exists() else 0
        if used + len(summary.encode()) + 1 < MAX_SUMMARY:
            self._append("GITHUB_STEP_SUMMARY", summary and f"{summary}\n")

    def _append(self, variable: str, text: str) -> None:
        file = self._variables.get(variable, "")
        if not file or not text:
            return
        try:
            with Path(file).open("a", encoding="utf-8", errors="replace") as opened:
                opened.write(text)
        except OSError as error:
            print(f"cannot write {variable}: {error}", file=sys.stderr)


def _annotation(level: str, problem: Problem) -> str:
    properties = {"file": problem.file, "line": str(problem.line or ""), "title": problem.title}
    given = ",".join(f"{name}={escape_property(value)}" for name, value in properties.items() if value)
    return f"::{level} {given}::{escape_data(problem.message)}"


def _output(name: str, value: str) -> str:
    """Return a value for GITHUB_OUTPUT. Its end is a word that the value cannot contain."""
    delimiter = f"end-{random.token_hex(16)}"
    return f"{name}<<{delimiter}\n{value}\n{delimiter}\n"


def escape_data(text: str) -> str:
    """Return a text as the data of a workflow command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """Return a text as the value of a property of a workflow command."""
    return escape_data(text).replace(":", "%3A").replace(",", "%2C")
