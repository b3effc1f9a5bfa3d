"""Automata that search a text for many expressions at once, by hyperscan."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import hyperscan

Sighting = tuple[int, int, int]
"""The number of an expression, and where its match begins and ends."""

ExpressionSearch = Callable[[bytes, int], list[Sighting] | None]


class AutomatonStore(Protocol):
    """Keeps compiled automata for later processes: compiling takes a quarter of a second, and reading a millisecond."""

    def load(self, key: str) -> bytes | None:
        """Return what was saved, or None."""

    def save(self, key: str, content: bytes) -> None:
        """Save an automaton, or do nothing if that is not possible."""


_stores: list[AutomatonStore] = []


def keep_automata(store: AutomatonStore) -> None:
    """Keep the automata that this process compiles from now on. They contain expressions, and no secrets."""
    _stores[:] = [store]


class LiteralSearch:
    """Finds numbered literals, in any case. It is never stored."""

    def __init__(self, literals: Sequence[tuple[bytes, int]]) -> None:
        import hyperscan  # noqa: PLC0415 (slow, and only much output needs it)

        self._terminated = hyperscan.ScanTerminated
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=[literal for literal, _ in literals],
            ids=[number for _, number in literals],
            flags=[hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_CASELESS] * len(literals),
            literal=True,
        )

    def first_ends(self, text: bytes) -> dict[int, int]:
        """Return where the first literal of each number in a text ends."""
        ends: dict[int, int] = {}
        if text:
            self._database.scan(text, match_event_handler=lambda number, _, end, *__: ends.setdefault(number, end) < 0)
        return ends

    def first_end(self, text: bytes) -> int | None:
        """Return where the first literal in a text ends."""
        ends: list[int] = []

        def report(_number: int, _start: int, end: int, *_: object) -> bool:
            ends.append(end)
            return True

        with suppress(self._terminated):
            if text:
                self._database.scan(text, match_event_handler=report)
        return ends[0] if ends else None


def expression_search(expressions: Mapping[int, str], once: Collection[int] = ()) -> ExpressionSearch:
    """Return a function that finds matches of these numbered expressions, in any order, perhaps more than once.

    Of those in ``once``, the first match is enough, and where it begins is not told. If a text has more matches than a
    maximum, the function returns None.
    """
    import hyperscan  # noqa: PLC0415 (slow, and only much output needs it)

    numbers = list(expressions)
    flags = [hyperscan.HS_FLAG_SINGLEMATCH if n in once else hyperscan.HS_FLAG_SOM_LEFTMOST for n in numbers]
    database = _stored_database([text.encode() for text in expressions.values()], numbers, flags)

    def search(text: bytes, most: int) -> list[Sighting] | None:
        found: list[Sighting] = []
        append = found.append

        def report(number: int, start: int, end: int, _flags: int, _context: object) -> bool:
            append((number, start, end))
            return len(found) > most

        try:
            if text:
                database.scan(text, match_event_handler=report)
        except hyperscan.ScanTerminated:
            return None
        return found

    return search


def _stored_database(expressions: list[bytes], numbers: list[int], flags: list[int]) -> "hyperscan.Database":
    """Return the automaton from the store, or compile and store it. What the store has may be damaged, or another's."""
    from importlib.metadata import version  # noqa: PLC0415 (slow, and few texts are long enough)

    import hyperscan  # noqa: PLC0415

    key = _digest(repr((version("hyperscan"), expressions, numbers, flags)).encode())
    for store in _stores:
        content = store.load(key)
        if content and (database := _loaded(content)):
            return database
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(expressions=expressions, ids=numbers, flags=flags)
    for store in _stores:
        content = hyperscan.dumpb(database)
        store.save(key, _digest(content).encode() + content)
    return database


def _loaded(content: bytes) -> "hyperscan.Database | None":
    """Return a stored automaton, or None if it is damaged, or was compiled for another processor."""
    import hyperscan  # noqa: PLC0415

    digest, dump = content[:64], content[64:]
    if digest != _digest(dump).encode():
        return None
    try:
        database = hyperscan.loadb(dump, hyperscan.HS_MODE_BLOCK)
        database.scratch = hyperscan.Scratch(database)
    except hyperscan.HyperscanError:
        return None
    return database


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
