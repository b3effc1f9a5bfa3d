"""Markdown that shows text of others as it is: GitHub's dialect, https://github.github.com/gfm/."""

import re
from collections.abc import Iterable, Sequence

from abreast.cli.terminal_text import without_controls

MAX_CODE = 300
"""Characters of a text in a line."""

MAX_LINE = 500
"""Characters of a line in a block."""

_BACKTICKS = re.compile("`+")
_STYLE = re.compile(r"\x1b\[[0-9;:]*m")
_PLAIN = re.compile(r"(?!.*(?:www\.|_|--))[\w ./→()=·%-]*", re.IGNORECASE)
_URL = re.compile(r"https?://[\w.:/%~?=&+#@-]+")


def code(text: str) -> str:
    """Return a text as a code span, in which nothing is a link, a mention, HTML or the end of a cell."""
    shown = " ".join(_shown(text).split()).replace("|", "¦")  # a span cannot hold the end of a table's cell
    shown = shown if len(shown) <= MAX_CODE else f"{shown[:MAX_CODE]}…"
    fence = "`" * (_longest_run(shown) + 1)
    return f"{fence} {shown} {fence}" if shown else ""


def plain(text: str) -> str:
    """Return a text of harmless characters as it is, any other as a code span."""
    return text if _PLAIN.fullmatch(text) and len(text) <= MAX_CODE else code(text)


def code_block(lines: Sequence[str]) -> str:
    """Return lines as a block of code."""
    shown = [line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]}…" for line in map(_shown, lines)]
    fence = "`" * max(3, max(map(_longest_run, shown), default=0) + 1)
    return "\n".join((f"{fence}text", *shown, fence))


def link(text: str, url: str) -> str:
    """Return a link, or the text alone if the URL has letters that could end it."""
    return f"[{text}](<{url}>)" if _URL.fullmatch(url) else text


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of cells that are Markdown already."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def join_blocks(blocks: Iterable[str], limit: int) -> str:
    """Return the blocks in ``limit`` bytes: the first that do not fit are left out, which is said."""
    note = "_The rest is left out: it would be too long._"
    kept, room = list[str](), limit - len(note.encode()) - 2
    for block in filter(None, blocks):
        room -= len(block.encode(errors="replace")) + 2
        if room < 0:
            return "\n\n".join((*kept, note))
        kept.append(block)
    return "\n\n".join(kept)


def _shown(text: str) -> str:
    return _STYLE.sub("", without_controls(text)).replace("\n", " ").replace("\t", "    ")


def _longest_run(text: str) -> int:
    return max((len(run) for run in _BACKTICKS.findall(text)), default=0)
