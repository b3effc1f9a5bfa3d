"""Globs against what the real picomatch says, pattern by path."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abreast.core.changes.glob import Glob
from abreast.core.changes.watch_patterns import match_files, validate_pattern

CORPUS = json.loads((Path(__file__).parent / "picomatch.json").read_text())
PATHS = sorted(CORPUS["paths"])


def said(pattern: str) -> set[str]:
    """What picomatch matches: its bits, after a first 1, in the order of the corpus's paths."""
    bits = f"{int(CORPUS['patterns'][pattern], 16):b}"[1:]
    assert len(bits) == len(PATHS)
    return {path for path, bit in zip(CORPUS["paths"], bits, strict=True) if bit == "1"}


def test_every_case_of_the_corpus_is_as_picomatch_has_it() -> None:
    differ = []
    for pattern in CORPUS["patterns"]:
        plain, negated = pattern, False
        while plain.startswith("!") and not plain.startswith("!("):
            plain, negated = plain[1:], not negated
        found = set(Glob(plain).filter_sorted(PATHS))
        if (set(PATHS) - found if negated else found) != said(pattern):
            differ.append(pattern)
    assert not differ
    assert len(CORPUS["patterns"]) * len(PATHS) > 200_000


@given(
    st.sampled_from([one for one in CORPUS["patterns"] if not one.startswith("!")]), st.lists(st.sampled_from(PATHS))
)
def test_one_path_or_many_is_the_same(pattern: str, paths: list[str]) -> None:
    glob = Glob(pattern)
    assert list(glob.filter_sorted(sorted(paths))) == [path for path in sorted(paths) if glob.matches(path)]


@pytest.mark.parametrize("pattern", ["a{b", "a(b", "[z-a]", "!!docs/**", "!", "{a..b,c}", "a)b", "[[:letters:]]"])
def test_what_could_not_be_meant_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="not a glob"):
        validate_pattern(pattern)


@pytest.mark.exhaustive
@given(st.text(max_size=30))
def test_any_text_is_a_glob_or_refused(text: str) -> None:
    try:
        validate_pattern(text)
    except ValueError:
        return
    match_files([text], ["a/b", "README.md"])


def test_the_first_pattern_that_matches_is_named() -> None:
    files = ["web/x.md", "web/a.js", "ui/b.js", "lock"]
    assert match_files(["web/**", "**/*.js", "!**/*.md"], files, ["lock"]) == (
        ("lock", "lock"), ("ui/b.js", "**/*.js"), ("web/a.js", "web/**"),
    )  # fmt: skip
    assert match_files(["!**/*.md"], ["a.md", "lock"], ["lock"]) == (("lock", "**"),)
