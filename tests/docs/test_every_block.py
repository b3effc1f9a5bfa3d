"""Each block of each page is executed by a test, which says so: ``@pytest.mark.executes("docs/gates.md", 1)``.

A new block fails here until a test claims it. Blocks without a language are drawings, and are on one page only.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from page_examples import page_examples

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", *(f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md"))))
FENCE = re.compile(r"^\s*(?:```|~~~)", re.MULTILINE)
DRAWINGS = {"docs/architecture.md": 2}

Block = tuple[str, int]


def shown_blocks() -> dict[Block, str]:
    """Return the first line of each block, by its page and number."""
    return {
        (page, number): example.text.partition("\n")[0]
        for page in PAGES
        for number, example in enumerate(page_examples(ROOT / page), 1)
    }


def claims() -> Iterator[tuple[Block, str]]:
    """Return what the marks of the tests in this folder say: each block, and the test that executes it."""
    for file in sorted(Path(__file__).parent.glob("test_*.py")):
        for test in ast.parse(file.read_text()).body:
            if isinstance(test, ast.FunctionDef) and test.name.startswith("test_"):
                yield from ((block, f"{file.name}::{test.name}") for block in _marked_blocks(test))


def _marked_blocks(test: ast.FunctionDef) -> Iterator[Block]:
    for mark in test.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.executes":
            page, *numbers = map(ast.literal_eval, mark.args)
            yield from ((page, number) for number in numbers)


def test_a_test_executes_it() -> None:
    shown, claimed = shown_blocks(), dict(claims())
    assert {block: line for block, line in shown.items() if block not in claimed} == {}, "no test executes these"
    assert {block: test for block, test in claimed.items() if block not in shown} == {}, "these are not on the page"


def test_every_fence_is_of_a_block_that_is_found() -> None:
    """One that is indented, or has no language, would be executed by nobody and missed by nobody."""
    fences = {page: len(FENCE.findall((ROOT / page).read_text())) for page in PAGES}
    found = {page: 2 * (len([*page_examples(ROOT / page)]) + DRAWINGS.get(page, 0)) for page in PAGES}
    assert fences == found
