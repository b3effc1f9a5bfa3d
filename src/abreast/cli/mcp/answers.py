"""What a tool answers, made of what its command printed: redacted, in pages, and errors in the command's own words."""

import json
from collections.abc import Sequence
from typing import Any

from abreast.cli.mcp.command_process import MAX_OUTPUT, CommandOutput
from abreast.cli.mcp.tools import NEWEST_LAST, CommandTool
from abreast.cli.redaction import redact
from abreast.core.errors import AbreastError
from abreast.core.frozen_dataclass import dataclass
from abreast.core.wording import counted

PAGE_SIZE = 40_000
"""Maximum number of characters of one page."""

MAX_REMARKS = 2_000
"""How many characters of what a command said beside its answer are told, the last ones."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a tool. ``document`` is its JSON object, None if there is none, or it is too long for a page."""

    texts: tuple[str, ...]
    document: dict[str, Any] | None = None
    is_error: bool = False


def error_answer(what: str, need: str = "", next: str = "", exit_code: int = 2) -> Answer:
    """Return an error in the words of the command line."""
    error = AbreastError(redact(what), need=redact(need), next=redact(next))
    document = {"what": error.what, "need": error.need, "next": error.next, "exit_code": exit_code}
    return Answer((str(error),), {"error": document}, is_error=True)


def make_answer(tool: CommandTool, output: CommandOutput, page: int | None, time_limit: float) -> Answer:
    """Return what a command answered, or why it did not."""
    if output.code is None:
        what = f"abreast {tool.command} did not end within {time_limit:g} s, and was ended"
        return error_answer(what, "less to do, or more time", "abreast mcp --time-limit 1h", 1)
    printed, remarks = redact(output.stdout), redact("\n".join(output.errors))[-MAX_REMARKS:]
    document = _document(printed) if tool.has_json else None
    if document and "error" in document:
        error = document["error"]
        return error_answer(error["what"], error["need"], error["next"], error["exit_code"])
    if output.code and not printed.strip():
        return _failure(tool, output.code, remarks)
    text = _page(printed.rstrip("\n"), page, last=tool.command in NEWEST_LAST)
    is_whole = len(printed) <= PAGE_SIZE
    code = f"exit code {output.code}" if output.code else ""
    said = f"also said:\n{remarks}" if remarks and "Traceback" not in remarks else ""
    texts = tuple(filter(None, (text, code, said))) or ("no output",)
    return Answer(texts, document if is_whole else None, is_error=output.code < 0)


def _document(text: str) -> dict[str, Any] | None:
    """Return the JSON object of a text, a list as its ``items``; None if it is no JSON."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else {"items": found}


def _failure(tool: CommandTool, code: int, remarks: str) -> Answer:
    """Return the error of a command that printed no answer: its own words, or how it ended."""
    if code < 0 or "Traceback" in remarks or not remarks:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code} and no answer"
        return error_answer(f"abreast {tool.command} {how}", "a bug report, if it happens again", "abreast doctor", 1)
    lines = remarks.removeprefix("abreast: ").splitlines()
    found = {"needed:": "", "next:": ""}
    what = [line for line in lines if not line.strip().startswith((*found, "Usage:", "Try '"))]
    for line in lines:
        label, _, rest = line.strip().partition(" ")
        if label in found:
            found[label] = rest.strip()
    return error_answer("\n".join(what).strip().removeprefix("Error: "), found["needed:"], found["next:"], code)


def _page(text: str, number: int | None, *, last: bool) -> str:
    """Return one page of a text, and of a text with several which one it is: the first, or the ``last`` one."""
    pages = _pages(text.splitlines())
    if len(pages) == 1:
        return pages[0]
    chosen = min(number or (len(pages) if last else 1), len(pages))
    cut = f"; only its first {MAX_OUTPUT >> 20} MiB are read" if len(text.encode()) >= MAX_OUTPUT else ""
    others = f"page {chosen} of {len(pages)} of {counted(len(text.splitlines()), 'line')}{cut}"
    return f"{pages[chosen - 1]}\n\n{others}. Others: the same call with page"


def _pages(lines: Sequence[str]) -> list[str]:
    """Return the lines as pages; a line that is longer than a page is split."""
    pages, current, size = list[str](), list[str](), 0
    for line in lines:
        for start in range(0, max(len(line), 1), PAGE_SIZE):
            part = line[start : start + PAGE_SIZE]
            if current and size + len(part) + 1 > PAGE_SIZE:
                pages.append("\n".join(current))
                current, size = [], 0
            current.append(part)
            size += len(part) + 1
    return [*pages, "\n".join(current)]
