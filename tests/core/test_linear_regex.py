"""Matching in linear time, against Python's ``re`` and the real picomatch."""

import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abreast.core.changes import linear_regex
from abreast.core.changes.glob import Glob, _hardly_backtracks, glob_regex
from abreast.core.changes.linear_regex import LinearRegex
from npm import install_packages

CHARACTERS = st.sampled_from(["a", "b", "/", ".", "[^/]", "[ab]", r"\.", r"\Z"])


def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    group = st.builds("{}{})".format, st.sampled_from(["(?:", "(?=", "(?!"]), inner)
    repeat = st.builds("(?:{}){}".format, inner, st.sampled_from("*+?"))
    return st.one_of(group, repeat, st.builds("{}{}".format, inner, inner), st.builds("{}|{}".format, inner, inner))


@given(st.recursive(CHARACTERS, larger, max_leaves=12), st.lists(st.text("ab/.\nä", max_size=7), max_size=20))
def test_an_expression_matches_what_python_says(pattern: str, texts: list[str]) -> None:
    regex, python = LinearRegex(pattern), re.compile(pattern, re.DOTALL)
    assert [regex.fullmatch(text) for text in texts] == [python.fullmatch(text) is not None for text in texts]


@pytest.mark.parametrize("pattern", ["(", "(?:a", "a)", "*a", "(?:|+)", "[z-a]", "(a)", "(?:" * 200 + ")" * 200])
def test_what_is_no_expression_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"unexpected|not closed|bad character range|nested more than 100 deep"):
        LinearRegex(pattern)


def lines_run(pattern: str, path: str) -> int:
    """Count the lines of Python that match a path with a pattern for the first time."""
    regex, count = LinearRegex(glob_regex(pattern)), 0

    def trace(frame: FrameType, event: str, _: object) -> object:
        nonlocal count
        frame.f_trace = trace
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)  # type: ignore[arg-type]
    try:
        regex.fullmatch(path)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("+(a|aa)x", "a"), ("x+(a|aa)", "a"), ("*a*a*a*a*a*b", "a"), ("**/a/**/a/**/a/**/b", "a/"), ("!(*a*a*a|+(a|aa))x", "a"), ("*(*(a)|b)x", "ab"),
        ("+(+(+(a)))x", "a"), ("{a,aa}+{a,aa}+x", "a"), ("[a]+[a]+[a]+[a]+b", "a"), ("!(!(!(a*b)*)*)c", "ab"), ("**/*a*b*c*.js", "ab"),
    ],
)  # fmt: skip
def test_a_path_twice_as_long_takes_twice_the_steps(pattern: str, path: str) -> None:
    short, long = (lines_run(pattern, path * times) for times in (500, 1000))
    assert long <= 2.1 * short
    assert long < 200 * 1000 * len(path)
    assert not Glob(pattern).matches(path * 30_000)


NAMES = st.lists(st.sampled_from(["a", "b", "?", "{a,aa}", "{a,b*}", "@a", "."]), max_size=4).map("".join)
PATTERNS = st.lists(st.one_of(NAMES, st.builds("{}*{}".format, NAMES, NAMES), st.just("**")), min_size=1, max_size=7)


@pytest.mark.exhaustive
@settings(deadline=None)  # it counts steps, however busy the machine is
@given(PATTERNS.map("/".join).filter(_hardly_backtracks), st.sampled_from(["a", "a/", "ab", "aa/", "a/b/", "b.a/"]))
def test_what_python_matches_takes_few_steps(pattern: str, path: str) -> None:
    tree = linear_regex._parse(glob_regex(pattern))
    short, long = (backtracking_steps(tree, path * times + "!") for times in (40, 80))
    assert long <= 2.2 * short + 200


def backtracking_steps(tree: linear_regex._Group, text: str) -> int:
    """Count the characters that an engine such as Python's looks at to match a text."""
    steps = 0

    def reads(node: linear_regex._Node, at: int) -> bool:
        nonlocal steps
        assert isinstance(node, linear_regex._Character)
        steps += 1
        return at < len(text) and bool(re.fullmatch(node.text, text[at], re.DOTALL))

    def matches(nodes: tuple[linear_regex._Node, ...], at: int, then: Callable[[int], bool]) -> bool:
        if not nodes:
            return then(at)
        node, rest = nodes[0], nodes[1:]
        match node:
            case linear_regex._Group(alternatives):
                return any(matches(one, at, lambda end: matches(rest, end, then)) for one in alternatives)
            case linear_regex._Lookahead(group, negated):
                return matches((group,), at, lambda _: True) != negated and matches(rest, at, then)
            case linear_regex._Repeat(inner, "?"):
                return matches((inner, *rest), at, then) or matches(rest, at, then)
            case linear_regex._Repeat(inner, "*"):
                end = at
                while reads(inner, end):
                    end += 1
                return any(matches(rest, position, then) for position in range(end, at - 1, -1))
            case linear_regex._End():
                return at == len(text) and matches(rest, at, then)
        return reads(node, at) and matches(rest, at + 1, then)

    matches((tree,), 0, len(text).__eq__)
    return steps


MEANING = """
const picomatch = require(process.argv.at(-1))
const {patterns, paths} = JSON.parse(require('fs').readFileSync(0))
const found = patterns.map(pattern => {
  try {
    const matches = picomatch(pattern, {dot: true, maxExtglobRecursion: false})
    return paths.filter(path => matches(path))
  } catch (error) { return null }
})
console.log(JSON.stringify(found))
"""
"""Matches with repeats as written: by default, picomatch takes those that it would be slow on for literal text."""


def random_repeat(chance: random.Random, depth: int = 2) -> str:
    def branch() -> str:
        parts = [chance.choice(["a", "b", "ab", "b?", "a*", "*b", "[ab]", "a/b"]) for _ in range(chance.randint(1, 2))]
        if depth and chance.random() < 0.5:
            parts += ["a", random_repeat(chance, depth - 1)]
        return "".join(parts)

    return f"{chance.choice('+*@?')}({'|'.join(branch() for _ in range(chance.randint(1, 3)))})"


@pytest.mark.exhaustive
def test_repeats_match_what_picomatch_matches_with_them() -> None:
    chance = random.Random(7)
    picomatch = install_packages("picomatch", "picomatch@4.0.7").parent / "picomatch"
    patterns = [
        chance.choice(["", "a", "**/", "*/"]) + random_repeat(chance) + chance.choice(["", "x", "/*", ".js"])
        for _ in range(800)
    ]
    paths = sorted(
        {"".join(chance.choices("aabbx./", k=chance.randint(1, 7))).replace("//", "/").strip("/") for _ in range(300)}
    )
    paths = [path for path in paths if path and not {"", ".", ".."}.intersection(path.split("/"))]
    done = subprocess.run(
        ["node", "-e", MEANING, str(picomatch)], input=json.dumps({"patterns": patterns, "paths": paths}),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    said = json.loads(done.stdout)
    differ = [
        pattern
        for pattern, found in zip(patterns, said, strict=True)
        if found is not None and list(Glob(pattern).filter_sorted(paths)) != found
    ]
    assert sum(map(len, filter(None, said))) > 3_000
    assert differ == []
