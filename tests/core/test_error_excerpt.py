"""What is shown of a failed command: its first errors. The tools that fail here are real."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from abreast.core.error_excerpt import GAP, MAX_LINES, ErrorExcerpt, is_error_line
from sample_project import require_programs


def excerpt(lines: list[str]) -> ErrorExcerpt:
    read = ErrorExcerpt()
    for line in lines:
        read.add(line)
    return read


def output(command: str, folder: Path) -> list[str]:
    # A make that runs the tests passes on how deep it is.
    plain = {name: value for name, value in os.environ.items() if "MAKE" not in name and name != "MFLAGS"}
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, env=plain, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("command", "first"),
    [
        ("git commit --nope", "error: unknown option `nope'"),
        ("ls --nope", "ls: unrecognized option '--nope'"),
        ("make nope", "make: *** No rule to make target 'nope'.  Stop."),
        ("viet build", "/bin/sh: 1: viet: not found"),
        ("cat nowhere", "cat: nowhere: No such file or directory"),
        (f"{sys.executable} -m json.tool --nope", "error: the following arguments are required|unrecognized arguments: --nope"),
        (f"{sys.executable} -c 'import nowhere'", "Traceback (most recent call last):"),
    ],
)  # fmt: skip
def test_the_first_error_of_a_real_tool_comes_first(tmp_path: Path, command: str, first: str) -> None:
    require_programs("git", "make")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    lines = ["> build", *(f"compiling module {number}" for number in range(40)), *output(command, tmp_path)]
    found = excerpt(lines).errors
    assert any(text in found[0] for text in first.split("|")), found
    assert len(found) <= MAX_LINES
    assert not any("compiling" in line for line in found)


def test_an_exception_after_a_long_stack_is_shown(tmp_path: Path) -> None:
    (tmp_path / "deep.py").write_text("def f(n):\n    f(n - 1) if n else int('x')\nf(30)\n")
    lines = output(f"{sys.executable} deep.py", tmp_path)
    found = excerpt(lines).errors
    assert found[0].startswith("Traceback")
    assert GAP in found
    assert found[-1] == "ValueError: invalid literal for int() with base 10: 'x'"


def test_without_an_error_the_last_lines_count() -> None:
    read = excerpt([f"line {number}" for number in range(100)])
    assert read.errors == ()
    assert list(read.tail) == [f"line {number}" for number in range(80, 100)]


@pytest.mark.parametrize(
    "line",
    [
        "0 errors, 0 warnings", "✓ shows an error", "npm warn deprecated error@1.0: error", "PASS src/error.test.js",
        "+ npm run build --fail-on-error", "src/error.ts", "test parse_error ... ok", "copying error-page/index.html",
        "Compiled with warnings: failed to minify", "errors: 0",
    ],
)  # fmt: skip
def test_what_only_mentions_errors_is_none(line: str) -> None:
    assert not is_error_line(line)


def test_colors_do_not_hide_an_error() -> None:
    assert excerpt(["\x1b[31merror\x1b[0m TS2322: wrong"]).errors == ("\x1b[31merror\x1b[0m TS2322: wrong",)
