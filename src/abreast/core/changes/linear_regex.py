"""Regular expressions that match in linear time: groups, alternatives, repeats, classes, lookaheads, the text's end.

Python's ``re`` backtracks: ``(?:a|aa)+x`` takes exponential time, ``.*a.*a.*a`` cubic time. Here, a text is read once,
from its end. At each position, an automaton knows which of its states accept the rest of the text, lookaheads included.
That depends on the character and on the position after it alone, so each such transition is computed once and cached.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import eq
from typing import NamedTuple, assert_never

MAX_DEPTH = 100
"""Groups within groups."""
MAX_CACHED = 20_000
"""Cached transitions of one expression. With more, the cache starts anew."""

_PIECE = re.compile(r"\(\?[:=!]|\\Z|\[\^?(?:\\.|[^]\\])*\]|\\.|.", re.DOTALL)
_OPENS = frozenset({"(?:", "(?=", "(?!"})
_REPEATS = frozenset("*+?")
_SYNTAX = frozenset("*+?()")


class _Character(NamedTuple):
    """One character. ``text`` is a literal, an escaped one, a class, or ``.``."""

    text: str


class _End(NamedTuple):
    """The end of the text."""


class _Group(NamedTuple):
    """Alternatives; each is a sequence."""

    alternatives: tuple[tuple["_Node", ...], ...]


class _Lookahead(NamedTuple):
    """What must follow or, if ``negated``, must not."""

    group: _Group
    negated: bool


class _Repeat(NamedTuple):
    """A node that is repeated as ``sign`` says."""

    node: "_Node"
    sign: str


_Node = _Character | _End | _Group | _Lookahead | _Repeat


def _parse(text: str) -> _Group:
    """Return the syntax tree. Raises ValueError for an expression that is not valid."""
    opened: list[str] = []
    groups: list[list[list[_Node]]] = [[[]]]
    for piece in _PIECE.findall(text):
        sequence = groups[-1][-1]
        if piece in _OPENS:
            opened.append(piece)
            groups.append([[]])
        elif piece == ")" and opened:
            groups[-2][-1].append(_closed(opened.pop(), groups.pop()))
        elif piece == "|":
            groups[-1].append([])
        elif piece in _REPEATS and sequence:
            sequence[-1] = _Repeat(sequence[-1], piece)
        elif piece in _SYNTAX:
            raise ValueError(f"unexpected {piece}")
        else:
            sequence.append(_End() if piece == r"\Z" else _Character(piece))
        if len(groups) > MAX_DEPTH:
            raise ValueError(f"groups are nested more than {MAX_DEPTH} deep")
    if opened:
        raise ValueError("a group is not closed")
    return _Group(tuple(map(tuple, groups.pop())))


def _closed(opener: str, alternatives: Iterable[Iterable[_Node]]) -> _Group | _Lookahead:
    group = _Group(tuple(map(tuple, alternatives)))
    return group if opener == "(?:" else _Lookahead(group, negated=opener == "(?!")


def _character_test(text: str) -> Callable[[str], object]:
    """Return what is true of a character that ``text``, as in ``_Character``, matches. Raises ValueError."""
    if text == "." or len(text) > 2:
        try:
            return re.compile(text, re.DOTALL).fullmatch
        except re.error as error:
            raise ValueError(f"{text}: {error.msg}") from None
    return partial(eq, text[-1])


# ── states ─────────────────────────────────────────────────────────────────────────────────────

_TRUE = 0
"""The state that accepts any text."""


class _AnyOf(NamedTuple):
    """Accepts where one of ``targets``, a bit set of states, does."""

    targets: int

    def accepts(self, accepting: int, at_end: bool) -> bool:  # noqa: ARG002 (as the other states)
        return bool(accepting & self.targets)


class _AtEnd(NamedTuple):
    """Accepts at the end of the text, where the state ``following`` does."""

    following: int

    def accepts(self, accepting: int, at_end: bool) -> bool:
        return at_end and bool(accepting >> self.following & 1)


class _Check(NamedTuple):
    """Accepts where ``condition`` does, or does not if ``negated``, and ``following`` does."""

    condition: int
    negated: bool
    following: int

    def accepts(self, accepting: int, at_end: bool) -> bool:  # noqa: ARG002
        return bool(accepting >> self.condition & 1) != self.negated and bool(accepting >> self.following & 1)


class _Stratum:
    """The states of one lookahead, or of the expression itself. ``all`` is a bit set that includes characters."""

    def __init__(self) -> None:
        self.empty: list[tuple[int, _AnyOf | _AtEnd | _Check]] = []
        self.all = 0


class _Program:
    """The states of an expression. ``characters`` has (state, text, following state) of those that read a character.

    In ``strata``, the states of a lookahead come before those that check it. The last stratum is the expression's.
    """

    def __init__(self, tree: _Group) -> None:
        self._count = _TRUE + 1
        self.characters: list[tuple[int, str, int]] = []
        self.strata: list[_Stratum] = []
        self.start = self._add_stratum(tree, at_end=True)

    def _add_stratum(self, tree: _Group, *, at_end: bool) -> int:
        stratum = _Stratum()
        start = self._add_node(tree, self._add_empty(_AtEnd(_TRUE), stratum) if at_end else _TRUE, stratum)
        self.strata.append(stratum)
        return start

    def _new_state(self, stratum: _Stratum) -> int:
        state = self._count
        self._count += 1
        stratum.all |= 1 << state
        return state

    def _add_empty(self, kind: _AnyOf | _AtEnd | _Check, stratum: _Stratum) -> int:
        state = self._new_state(stratum)
        stratum.empty.append((state, kind))
        return state

    def _add_node(self, node: _Node, following: int, stratum: _Stratum) -> int:
        """Add a node's states. Return the state that accepts where the node is followed by ``following``."""
        match node:
            case _Character(text):
                state = self._new_state(stratum)
                self.characters.append((state, text, following))
                return state
            case _End():
                return self._add_empty(_AtEnd(following), stratum)
            case _Lookahead(group, negated):
                return self._add_empty(_Check(self._add_stratum(group, at_end=False), negated, following), stratum)
            case _Repeat(inner, sign):
                return self._add_repeat(inner, sign, following, stratum)
            case _Group(alternatives):
                starts = {self._add_sequence(nodes, following, stratum) for nodes in alternatives}
                return starts.pop() if len(starts) == 1 else self._add_empty(_AnyOf(_bits(starts)), stratum)
            case _:
                assert_never(node)

    def _add_sequence(self, nodes: Sequence[_Node], following: int, stratum: _Stratum) -> int:
        for node in reversed(nodes):
            following = self._add_node(node, following, stratum)
        return following

    def _add_repeat(self, inner: _Node, sign: str, following: int, stratum: _Stratum) -> int:
        if sign == "?":
            return self._add_empty(_AnyOf(_bits({self._add_node(inner, following, stratum), following})), stratum)
        again = self._new_state(stratum)
        once = self._add_node(inner, again, stratum)
        stratum.empty.append((again, _AnyOf(_bits({once, following}))))
        return again if sign == "*" else once


def _bits(states: Iterable[int]) -> int:
    return sum(1 << state for state in states)


# ── matching ───────────────────────────────────────────────────────────────────────────────────


class LinearRegex:
    """One expression. Raises ValueError for one that is not valid."""

    def __init__(self, pattern: str) -> None:
        self._program = program = _Program(_parse(pattern))
        self._own_states = program.strata[-1].all
        texts = dict.fromkeys(text for _, text, _ in program.characters)
        self._readers = [
            (_character_test(text), _bits(state for state, of, _ in program.characters if of == text)) for text in texts
        ]
        self._reading: dict[str, int] = {}
        self._transitions: dict[tuple[int, int], _Position] = {}
        self._positions: dict[int, _Position] = {}
        self._cached = 0
        self._dead = _Position(self, 0)
        self._end = self._position(self._accepting(0, 0, at_end=True))

    def fullmatch(self, text: str) -> bool:
        """Return whether the expression matches the whole text."""
        position, dead = self._end, self._dead
        for character in reversed(text):
            position = position[character]
            if position is dead:
                return False
        return bool(position.accepting >> self._program.start & 1)

    def position_before(self, after: "_Position", character: str) -> "_Position":
        """Return the position before ``character`` and the position ``after`` it."""
        if self._cached >= MAX_CACHED:
            self._forget()
        self._cached += 1
        reading = self._reading.get(character)
        if reading is None:
            found = [states for matches, states in self._readers if matches(character)]
            reading = self._reading[character] = sum(found)
        key = after.accepting, reading
        if key not in self._transitions:
            self._transitions[key] = self._position(self._accepting(*key))
        return self._transitions[key]

    def _accepting(self, after: int, reading: int, *, at_end: bool = False) -> int:
        """Return the states that accept at a position.

        ``after`` are those that accept at the next one, ``reading`` those that can read the character between the two.
        """
        accepting = 1 << _TRUE
        for state, _, following in self._program.characters:
            if reading >> state & 1 and after >> following & 1:
                accepting |= 1 << state
        for stratum in self._program.strata:
            before = -1
            while before != accepting:  # a repeat's states accept because of one another
                before = accepting
                for state, kind in stratum.empty:
                    if kind.accepts(accepting, at_end):
                        accepting |= 1 << state
        return accepting

    def _position(self, accepting: int) -> "_Position":
        if not accepting & self._own_states:
            return self._dead
        return self._positions.setdefault(accepting, _Position(self, accepting))

    def _forget(self) -> None:
        for position in self._positions.values():
            position.clear()
        self._positions = {self._end.accepting: self._end}
        self._reading, self._transitions, self._cached = {}, {}, 0


class _Position(dict[str, "_Position"]):
    """Which states accept the rest of a text. Maps each character to the position before it."""

    __slots__ = ("accepting", "regex")

    def __init__(self, regex: LinearRegex, accepting: int) -> None:
        self.regex = regex
        self.accepting = accepting

    def __missing__(self, character: str) -> "_Position":
        before = self[character] = self.regex.position_before(self, character)
        return before
