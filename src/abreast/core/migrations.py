"""Migrations as files: their names, their parts, their order; what is pending, and what must not be run at all."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

_NAME = re.compile(r"(\d+)[_-](.+?)(\.down)?\.sql")
_SECTION = re.compile(r"^--\s*migrate:(up|down)\b(.*)$", re.MULTILINE)
_ALONE = re.compile(r"^--\s*no-transaction\s*$", re.MULTILINE)
_SAFE = re.compile(r"^--\s*safe\s*$", re.MULTILINE)
_IRREVERSIBLE = re.compile(r"^--\s*irreversible:\s*(\S.*)$", re.MULTILINE)
_CONTRACT = re.compile(r"^--\s*contract:\s*(\S.*)$", re.MULTILINE)

COUNTED = 6
"""Digits up to which numbers count one by one; longer ones are times, between which nothing is missing."""


@dataclass(frozen=True, slots=True)
class Step:
    """SQL that is run as one: in a transaction, unless the text says ``-- no-transaction``; ``line`` is its first."""

    text: str
    transaction: bool = True
    line: int = 1


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: ``up``, and the ``down`` that takes it back, where there is one.

    ``safe``: whoever wrote it says that ``down`` loses nothing (``-- safe``). ``contract``: why what the old version
    needs may be taken away by now (``-- contract: REASON``); ``irreversible``: why there is no way back
    (``-- irreversible: REASON``); "" where nothing is said.
    """

    number: int
    name: str
    up: Step
    down: Step | None = None
    safe: bool = False
    contract: str = ""
    irreversible: str = ""
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class Applied:
    """A row of the database's own table: what ran there, and when; ``checksum`` is "" where it was not noted."""

    name: str
    at: str
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class Course:
    """What is to be run, in order, and what keeps it from being run."""

    pending: tuple[Migration, ...] = ()
    faults: tuple[str, ...] = ()


def read(files: Mapping[str, bytes]) -> tuple[tuple[Migration, ...], tuple[str, ...]]:
    """Return the migrations of a folder (its files by name) in order, and what is wrong with it."""
    named = {name: found for name in sorted(files) if (found := _NAME.fullmatch(name))}
    faults = [f"{name}: not a name such as 001_name.sql" for name in sorted(files) if _stray(name, named)]
    downs = {f"{found[1]}_{found[2]}": name for name, found in named.items() if found[3]}
    whole: list[Migration] = []
    for name, match in named.items():
        if match[3]:
            continue
        try:
            whole.append(_migration(name, int(match[1]), files[name], files.get(downs.pop(_key(match), ""))))
        except ValueError as error:
            faults.append(f"{name}: {error}")
    faults += [f"{name}: there is no migration that it takes back" for name in downs.values()]
    whole.sort(key=lambda one: (one.number, one.name))
    return tuple(whole), (*faults, *_out_of_count(whole))


def _key(match: re.Match[str]) -> str:
    return f"{match[1]}_{match[2]}"


def _stray(name: str, named: Mapping[str, object]) -> bool:
    return name.endswith(".sql") and name not in named


def _migration(name: str, number: int, content: bytes, down: bytes | None) -> Migration:
    try:
        text = content.decode("utf-8-sig")
        below = None if down is None else down.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start})") from error
    up_part, down_part = _parts(text)
    if below is not None and down_part is not None:
        raise ValueError("its down step is there twice: in a section, and in a file of its own")
    step = _step(below, 1) if below is not None else down_part
    return Migration(
        number,
        name,
        up_part,
        step,
        safe=step is not None and bool(_SAFE.search(step.text)),
        contract=_reason(_CONTRACT, text),
        irreversible=_reason(_IRREVERSIBLE, text),
        checksum=hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest(),
    )


def _reason(mark: re.Pattern[str], text: str) -> str:
    found = mark.search(text)
    return found[1].strip() if found else ""


def _parts(text: str) -> tuple[Step, Step | None]:
    """Return the parts of a file with ``-- migrate:up`` and ``-- migrate:down`` (as dbmate has them), or all of it."""
    marks = list(_SECTION.finditer(text))
    if not marks:
        return _step(text, 1), None
    parts: dict[str, Step] = {}
    for mark, after in zip(marks, [*marks[1:], None], strict=True):
        if mark[1] in parts:
            raise ValueError(f"migrate:{mark[1]} is there twice")
        end = after.start() if after else len(text)
        line = text.count("\n", 0, mark.end()) + 2
        parts[mark[1]] = _step(text[mark.end() + 1 : end], line, mark[2])
    if "up" not in parts:
        raise ValueError("it has no -- migrate:up")
    return parts["up"], parts.get("down")


def _step(text: str, line: int, options: str = "") -> Step:
    alone = bool(_ALONE.search(text)) or "transaction:false" in options
    safe = "-- safe\n" if options.split() and "safe" in options.split() else ""
    return Step(safe + text, not alone, line - bool(safe))


def _out_of_count(found: Sequence[Migration]) -> Iterator[str]:
    for before, after in pairwise(found):
        if before.number == after.number:
            yield f"{before.name} and {after.name} have the same number"
        elif after.number - before.number > 1 and after.number < 10**COUNTED:
            yield f"between {before.name} and {after.name} one is missing"


def course(migrations: Sequence[Migration], applied: Sequence[Applied]) -> Course:
    """Return what is to be run of a folder in a database that has ``applied``."""
    there = {one.name: one for one in migrations}
    ran = {known: one for one in applied if (known := _known(one.name, there))}
    pending = [one for one in migrations if one.name not in ran]
    edited = [name for name, one in ran.items() if one.checksum and one.checksum != there[name].checksum]
    last = max((there[name].number for name in ran), default=-1)
    late = [one.name for one in pending if one.number < last]
    faults = [f"{name} was edited after it ran ({ran[name].at}): write a new migration instead" for name in edited]
    faults += [f"{name} comes before one that ran already: give it the next number" for name in late]
    return Course(tuple(pending), tuple(faults))


def one_way(migrations: Iterable[Migration]) -> tuple[str, ...]:
    """Return what keeps migrations from being run where each needs its way back."""
    return tuple(
        f"{one.name} has no down step: write {one.name.removesuffix('.sql')}.down.sql, or -- irreversible: REASON"
        for one in migrations
        if one.down is None and not one.irreversible
    )


def _known(name: str, there: Mapping[str, Migration]) -> str:
    """Return the file of a row, also where the row has no ``.sql``; "" where there is none."""
    return next((one for one in (name, f"{name}.sql") if one in there), "")


def beyond(migrations: Sequence[Migration], applied: Sequence[Applied]) -> tuple[str, ...]:
    """Return what ran in the database and is not in the folder, in the order in which it ran."""
    there = {one.name: one for one in migrations}
    return tuple(one.name for one in applied if not _known(one.name, there))


def way_down(names: Sequence[str], migrations: Iterable[Migration]) -> tuple[tuple[Migration, ...], str]:
    """Return the migrations that take ``names`` back, the last first, or none and why the schema has to stay."""
    known = {one.name: one for one in migrations}
    steps = []
    for name in reversed(names):
        one = known.get(name) or known.get(f"{name}.sql")
        if one is None:
            return (), f"the file of {name} is not in the release that is live"
        if one.down is None:
            return (), f"{one.name} has no down step"
        if not one.safe:
            return (), f"the down step of {one.name} is not declared safe (-- safe)"
        steps.append(one)
    return tuple(steps), ""
