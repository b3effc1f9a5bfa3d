"""Globs with the semantics of picomatch (https://github.com/micromatch/picomatch), dot files included.

Paths are git's: relative to the repository root, without ``.``, ``..`` or empty parts. ``fnmatch`` and ``wcmatch``
differ from picomatch in one of seventy cases. A pattern is translated to a regular expression, as in picomatch. For
speed, its literal prefix selects files from the sorted list by binary search, and the expression matches only those.

Time is linear in a path's length: ``re`` matches what it need not backtrack far for, ``LinearRegex`` everything else.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from abreast.core.changes.linear_regex import LinearRegex

_STAR = "[^/]*"
_GLOBSTAR = ".*"
_NON_EMPTY = "(?=.)"
_NOT_DOTS = r"(?!\.?(?:/|\Z))"
_LITERAL = re.compile(r"[^][*?+@!(){}|\\\"]*")
_SPECIAL_FORM = re.compile(r"(\*\*/)?(\*\*|\*\.\*)((?:\.\w+)*)", re.ASCII)
_OPENS = {"@(": "(?:", "?(": "(?:", "*(": "(?:", "+(": "(?:", "!(": "(?:(?!(?:"}
_CLOSES = {"(": ")", "@(": ")", "?(": ")?", "*(": ")*", "+(": ")+"}
_SPECIAL_IN_CLASS = frozenset("-*+?.^${}(|)[]")
_POSIX = {
    "alnum": "a-zA-Z0-9", "alpha": "a-zA-Z", "ascii": r"\x00-\x7F", "blank": r" \t", "cntrl": r"\x00-\x1F\x7F",
    "digit": "0-9", "graph": r"\x21-\x7E", "lower": "a-z", "print": r"\x20-\x7E", "punct": r"!-/:-@\[\]^_`{-~",
    "space": r" \t\r\n\v\f", "upper": "A-Z", "word": "A-Za-z0-9_", "xdigit": "A-Fa-f0-9",
}  # fmt: skip

_AMBIGUOUS = re.compile(r"[][()|\\]|\}\+")

_TOKEN_READERS: Mapping[str, str] = {
    "\\": "escaped", "/": "slash", ".": "dot", "?": "question", "+": "plus", "(": "paren", ")": "close", "|": "pipe",
    "{": "brace", "}": "end_brace", ",": "comma", "[": "class", "*": "stars",
}  # fmt: skip
"""The method that reads each special character."""


class Glob:
    """One pattern. Raises ValueError for an invalid one."""

    def __init__(self, pattern: str) -> None:
        if not pattern:
            raise ValueError("the pattern is empty")
        self.pattern = pattern
        text = pattern.removeprefix("./")
        literal = _LITERAL.match(text)
        self._literal_prefix = literal[0] if literal else ""
        self._is_whole_tree = text == "**" or (text[-3:] == "/**" and len(self._literal_prefix) == len(text) - 2 > 1)
        if not self._is_whole_tree and self._literal_prefix != text:
            # The part after the last slash may be optional.
            self._literal_prefix = (
                self._literal_prefix[: self._literal_prefix.rfind("/")] if "/" in self._literal_prefix else ""
            )
        self._text = text

    def matches(self, path: str) -> bool:
        """Return whether the pattern matches a whole path."""
        return any(True for _ in self.filter_sorted([path]))

    def filter_sorted(self, paths: Sequence[str]) -> Iterator[str]:
        """Yield the matches among sorted ``paths``."""
        if self._is_whole_tree:
            yield from _with_prefix(paths, self._literal_prefix)
            yield from _exact_match(paths, self._literal_prefix[:-1] or "/")
        elif self._literal_prefix == self._text:
            yield from _exact_match(paths, self._text)
        else:
            test = None
            for path in _with_prefix(paths, self._literal_prefix):
                test = test or self.match_path
                if test(path) or path == self.pattern:
                    yield path

    @cached_property
    def match_path(self) -> Callable[[str], object]:
        """Return something true for paths that match. Raises ValueError for an invalid pattern."""
        return compile_glob(self._text)


@lru_cache(maxsize=4096)
def compile_glob(pattern: str) -> Callable[[str], object]:
    """Return a function that returns something true for paths that match. Raises ValueError for an invalid pattern."""
    regex = glob_regex(pattern)
    return (re.compile(regex, re.DOTALL) if _hardly_backtracks(pattern) else LinearRegex(regex)).fullmatch


def _hardly_backtracks(pattern: str) -> bool:
    """Return whether ``re`` takes linear time: where ``**/`` ends, each name can be matched in one or two ways."""
    *folders, last = pattern.split("/")
    return (
        not _AMBIGUOUS.search(pattern)
        and pattern.count("{") <= 2
        and folders.count("**") <= 1
        and all(name == "**" or name.count("*") <= 1 for name in (*folders, last))
    )


def glob_regex(pattern: str) -> str:
    """Return a pattern as the text of a regular expression for whole paths. Raises ValueError for an invalid one."""
    return _special_form_regex(pattern) or _GlobTranslator(pattern).regex


def _with_prefix(paths: Sequence[str], prefix: str) -> Sequence[str]:
    if not prefix:
        return paths
    return paths[bisect_left(paths, prefix) : bisect_left(paths, prefix + "\U0010ffff")]


def _exact_match(paths: Sequence[str], path: str) -> Sequence[str]:
    at = bisect_left(paths, path)
    return paths[at : at + 1] if at < len(paths) and paths[at] == path else ()


def _special_form_regex(pattern: str) -> str | None:
    """Return the regex of special forms, such as ``**.js``, which crosses folders. None for all others."""
    found = _SPECIAL_FORM.fullmatch(pattern)
    if not found:
        return None
    above = "(?:.*/)?" if found[1] else ""
    if found[2] == "**":
        return None if found[1] else _GLOBSTAR + re.escape(found[3])
    return rf"{above}[^/]*\.{_NON_EMPTY}[^/]*{re.escape(found[3])}"


@dataclass(slots=True)
class _Group:
    """An open group: its index in the output, the position of its content, and whether it has commas or a range."""

    kind: str
    start: int
    inner: int
    commas: bool = False
    range: bool = False


class _GlobTranslator:
    """Translate a pattern from left to right. ``_kinds`` and ``_out`` hold the tokens and their regexes."""

    def __init__(self, text: str) -> None:
        self._text = {"***": "*", "**/**": "**", "**/**/**": "**"}.get(text, text)
        self._position = 0
        self._kinds = ["start", "start"]
        self._out = ["", ""]
        self._open_groups: list[_Group] = []
        while self._position < len(self._text):
            self._read_token()
        if self._open_groups:
            raise ValueError(f"{self._open_groups[-1].kind} is not closed")
        self.regex = "".join(self._out)

    @property
    def _rest(self) -> str:
        return self._text[self._position :]

    def _push(self, kind: str, regex: str, length: int = 1) -> None:
        if self._kinds[-1] == "globstar" and not self._keeps_globstar(kind):
            self._kinds[-1], self._out[-1] = "star", _STAR
        self._kinds.append(kind)
        self._out.append(regex)
        self._position += length

    def _keeps_globstar(self, kind: str) -> bool:
        return kind in {"slash", "open", "close", "end"} or (kind in {"comma", "brace"} and self._in_braces)

    @property
    def _in_braces(self) -> bool:
        return any(group.kind == "{" for group in self._open_groups)

    def _read_token(self) -> None:
        letter, pair = self._text[self._position], self._text[self._position : self._position + 2]
        if pair in _OPENS:
            some = _NON_EMPTY if pair != "@(" and not any(self._out) else ""
            self._open_groups.append(_Group(pair, len(self._out), self._position + 2))
            self._push("open", some + _OPENS[pair], 2)
        elif letter in _TOKEN_READERS:
            getattr(self, f"_{_TOKEN_READERS[letter]}")()
        else:
            self._push("text", re.escape(letter))

    def _escaped(self) -> None:
        letter = self._text[self._position + 1 : self._position + 2]
        if letter in {"/", "."}:
            self._position += 1
        else:
            self._push("text", re.escape(letter or "\\"), 2)

    def _slash(self) -> None:
        self._push("slash", "/")

    def _dot(self) -> None:
        alone = not self._open_groups and self._kinds[-1] not in {"start", "slash"}
        if self._kinds[-1] == "dot" and self._in_braces:
            next(group for group in reversed(self._open_groups) if group.kind == "{").range = True
        self._push("text" if alone else "dot", r"\.")

    def _question(self) -> None:
        self._push("question", "[^/]")

    def _plus(self) -> None:
        repeats = self._kinds[-1] in {"class", "close", "brace"} and not self._out[-1].endswith(("*", "+", "?"))
        self._push("text", "+" if repeats else r"\+")

    def _paren(self) -> None:
        self._open_groups.append(_Group("(", len(self._out), self._position + 1))
        self._push("open", "(?:")

    def _close(self) -> None:
        if not self._open_groups or self._open_groups[-1].kind == "{":
            raise ValueError("unmatched )")
        group = self._open_groups.pop()
        kind, inner = group.kind, self._text[group.inner : self._position]
        self._push("close", _CLOSES.get(kind) or "")
        if kind == "!(":
            self._out[-1] = self._negated_end(inner)

    def _negated_end(self, inner: str) -> str:
        star = _GLOBSTAR if "/" in inner and len(inner) > 1 else _STAR
        if "*" in inner and re.fullmatch(r"\.[^\\/.]+", self._rest):
            return f"){_GlobTranslator(self._rest).regex}){star})"
        at_end = star is _GLOBSTAR or not self._rest.strip(")")
        return rf")\Z){star})" if at_end else f")){star})"

    def _pipe(self) -> None:
        inside = self._open_groups and self._open_groups[-1].kind != "{"
        self._push("text", "|" if inside else r"\|")

    def _brace(self) -> None:
        self._open_groups.append(_Group("{", len(self._out), self._position + 1))
        self._push("brace", "(?:")

    def _end_brace(self) -> None:
        if not self._open_groups or self._open_groups[-1].kind != "{":
            self._push("text", r"\}")
            return
        group = self._open_groups[-1]
        inner = self._text[group.inner : self._position]
        if group.commas and group.range:
            raise ValueError(f"{{{inner}}}: mixes a range and alternatives; write two patterns")
        if group.commas:
            self._push("brace", ")")
        elif group.range:
            del self._out[group.start :], self._kinds[group.start :]
            self._push("brace", _range_regex(inner))
        else:
            self._out[group.start] = r"\{"
            self._push("brace", r"\}")
        self._open_groups.pop()

    def _comma(self) -> None:
        if not self._open_groups or self._open_groups[-1].kind != "{":
            self._push("text", ",")
            return
        self._open_groups[-1].commas = True
        self._push("comma", "|")

    def _class(self) -> None:
        found = re.compile(r"\[(\^?\]?(?:\[:[a-z]+:\]|\\.|[^]\\])*)\]", re.DOTALL).match(self._text, self._position)
        if not found or found[1] in {"", "^"}:
            self._push("text", r"\[")
            return
        inner = found[1]
        negated = inner.startswith("^")
        first, last = ("^", "" if "/" in inner else "/") if negated else ("", "")
        regex = f"[{first}{_class_regex(inner.removeprefix('^'))}{last}]"
        if not _SPECIAL_IN_CLASS.intersection(inner):
            regex = f"(?:{re.escape(found[0])}|{regex})"
        self._push("class", regex, len(found[0]))

    def _stars(self) -> None:
        run = len(self._rest) - len(self._rest.lstrip("*"))
        if self._rest[run : run + 1] == "(":
            run -= 1
        if run == 2 and self._kinds[-1] in {"start", "slash", "open", "close", "comma", "brace"}:
            self._globstar()
            return
        before = self._kinds[-1]
        lead = (
            _NOT_DOTS + _NON_EMPTY
            if before == "dot"
            else _NON_EMPTY
            if before in {"start", "slash"} and run == 1
            else ""
        )
        self._push("star", lead + _STAR, run)

    def _globstar(self) -> None:
        self._position += 2
        while self._rest.startswith("/**") and self._rest[3:4] in {"", "/"}:
            self._position += 3
        rest, (before, prior) = self._rest, self._kinds[-2:]
        if prior == "start" and rest[:1] == "/":
            self._push("globstar", "(?:.*/)?", 1)
            self._kinds[-1] = "slash"
        elif prior == "slash" and before != "start" and rest == "" and before not in {"star", "globstar"}:
            self._out[-1] = r"(?:/.*|\Z)"
            self._push("end", "", 0)
        elif prior == "slash" and before != "start" and rest[:1] == "/":
            self._out[-1] = rf"(?:/.*/|/{'|' + chr(92) + 'Z' if rest[1:] else ''})"
            self._push("slash", "", 1)
        else:
            self._push("globstar", _GLOBSTAR, 0)


def _range_regex(inner: str) -> str:
    """Return a range such as ``a..c`` as a character class, or as literal text if it is not valid."""
    ends = sorted(inner.split(".."))
    one_of = f"[{'-'.join(map(re.escape, ends))}]"
    try:
        re.compile(one_of)
    except re.error:
        return re.escape("..".join(ends))
    return one_of


def _class_regex(inner: str) -> str:
    def piece(found: re.Match[str]) -> str:
        if found[1] and found[1] not in _POSIX:
            raise ValueError(f"{found[0]} is no class of characters; expected one of: {', '.join(_POSIX)}")
        if found[1]:
            return _POSIX[found[1]]
        return found[0] if found[0].startswith("\\") else "\\" + found[0]

    inner = re.sub(r"\[:([a-z]+):\]|\\.|[]\[&~|]", piece, inner)
    return re.sub(r"-$", r"\-", inner)
