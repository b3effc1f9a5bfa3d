"""Migration files: their names, sections and order; which are pending, and which must not run."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

_NAME = re.compile(r"(\d+)[_-](.+?)(\.down)?\.sql")
_SECTION = re.compile(r"^--\s*migrate:(up|down)\b(.*)$", re.MULTILINE)
_NO_TRANSACTION = re.compile(r"^--\s*no-transaction\s*$", re.MULTILINE)
_SAFE = re.compile(r"^--\s*safe\s*$", re.MULTILINE)
_IRREVERSIBLE = re.compile(r"^--\s*irreversible:\s*(\S.*)$", re.MULTILINE)
_CONTRACT = re.compile(r"^--\s*contract:\s*(\S.*)$", re.MULTILINE)

MAX_SEQUENCE_DIGITS = 6
"""Maximum digits of a sequence number. Longer numbers are timestamps, which may have gaps."""


@dataclass(frozen=True, slots=True)
class MigrationStep:
    """SQL that runs in one transaction, or without (``-- no-transaction``). ``line`` is its first line in the file."""

    sql: str
    in_transaction: bool = True
    line: int = 1


@dataclass(frozen=True, slots=True)
class Migration:
    """One migration: ``up``, and the ``down`` that reverses it, if there is one.

    Its author may declare that ``down`` loses no data (``-- safe``), why it may remove what the previous version needed
    (``-- contract: REASON``), or why it cannot be reversed (``-- irreversible: REASON``). A missing reason is "".
    """

    number: int
    name: str
    up: MigrationStep
    down: MigrationStep | None = None
    is_down_safe: bool = False
    contract_reason: str = ""
    irreversible_reason: str = ""
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """A row of the database's migrations table: what ran, and when. ``checksum`` is "" if the table has none."""

    name: str
    at: str
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """The pending migrations in order, and the faults that forbid running them."""

    pending: tuple[Migration, ...] = ()
    faults: tuple[str, ...] = ()


def parse_migrations(files: Mapping[str, bytes]) -> tuple[tuple[Migration, ...], tuple[str, ...]]:
    """Return the migrations of a folder (contents by file name) in order, and the faults found."""
    named = {name: found for name in sorted(files) if (found := _NAME.fullmatch(name))}
    faults = [f"{name}: not a name such as 001_name.sql" for name in sorted(files) if _is_misnamed(name, named)]
    downs = {f"{found[1]}_{found[2]}": name for name, found in named.items() if found[3]}
    parsed: list[Migration] = []
    for name, match in named.items():
        if match[3]:
            continue
        try:
            parsed.append(
                _parse_migration(name, int(match[1]), files[name], files.get(downs.pop(_migration_key(match), "")))
            )
        except ValueError as error:
            faults.append(f"{name}: {error}")
    faults += [f"{name}: there is no migration that it takes back" for name in downs.values()]
    parsed.sort(key=lambda migration: (migration.number, migration.name))
    return tuple(parsed), (*faults, *_numbering_faults(parsed))


def _migration_key(match: re.Match[str]) -> str:
    return f"{match[1]}_{match[2]}"


def _is_misnamed(name: str, named: Mapping[str, object]) -> bool:
    return name.endswith(".sql") and name not in named


def _parse_migration(name: str, number: int, content: bytes, down: bytes | None) -> Migration:
    try:
        text = content.decode("utf-8-sig")
        down_text = None if down is None else down.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start})") from error
    up_part, down_part = _split_sections(text)
    if down_text is not None and down_part is not None:
        raise ValueError("its down step is there twice: in a section, and in a file of its own")
    step = _parse_step(down_text, 1) if down_text is not None else down_part
    return Migration(
        number,
        name,
        up_part,
        step,
        is_down_safe=step is not None and bool(_SAFE.search(step.sql)),
        contract_reason=_marked_reason(_CONTRACT, text),
        irreversible_reason=_marked_reason(_IRREVERSIBLE, text),
        checksum=hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest(),
    )


def _marked_reason(marker: re.Pattern[str], text: str) -> str:
    found = marker.search(text)
    return found[1].strip() if found else ""


def _split_sections(text: str) -> tuple[MigrationStep, MigrationStep | None]:
    """Return the ``-- migrate:up`` and ``-- migrate:down`` sections, as dbmate writes them. Without any, all is up."""
    marks = list(_SECTION.finditer(text))
    if not marks:
        return _parse_step(text, 1), None
    parts: dict[str, MigrationStep] = {}
    for mark, after in zip(marks, [*marks[1:], None], strict=True):
        if mark[1] in parts:
            raise ValueError(f"migrate:{mark[1]} is there twice")
        end = after.start() if after else len(text)
        line = text.count("\n", 0, mark.end()) + 2
        parts[mark[1]] = _parse_step(text[mark.end() + 1 : end], line, mark[2])
    if "up" not in parts:
        raise ValueError("it has no -- migrate:up")
    return parts["up"], parts.get("down")


def _parse_step(text: str, line: int, options: str = "") -> MigrationStep:
    alone = bool(_NO_TRANSACTION.search(text)) or "transaction:false" in options
    safe = "-- safe\n" if options.split() and "safe" in options.split() else ""
    return MigrationStep(safe + text, not alone, line - bool(safe))


def _numbering_faults(found: Sequence[Migration]) -> Iterator[str]:
    for before, after in pairwise(found):
        if before.number == after.number:
            yield f"{before.name} and {after.name} have the same number"
        elif after.number - before.number > 1 and after.number < 10**MAX_SEQUENCE_DIGITS:
            yield f"between {before.name} and {after.name} one is missing"


def plan_migrations(migrations: Sequence[Migration], applied: Sequence[AppliedMigration]) -> MigrationPlan:
    """Return what is pending of a folder in a database that has ``applied``."""
    by_name = {migration.name: migration for migration in migrations}
    ran = {known: migration for migration in applied if (known := _matching_file(migration.name, by_name))}
    pending = [migration for migration in migrations if migration.name not in ran]
    edited = [name for name, row in ran.items() if row.checksum and row.checksum != by_name[name].checksum]
    last = max((by_name[name].number for name in ran), default=-1)
    late = [migration.name for migration in pending if migration.number < last]
    faults = [f"{name} was edited after it ran ({ran[name].at}): write a new migration instead" for name in edited]
    faults += [f"{name} comes before one that ran already: give it the next number" for name in late]
    return MigrationPlan(tuple(pending), tuple(faults))


def missing_down_faults(migrations: Iterable[Migration]) -> tuple[str, ...]:
    """Return a fault for each migration that is neither reversible nor declared irreversible."""
    return tuple(
        f"{migration.name} has no down step: "
        f"write {migration.name.removesuffix('.sql')}.down.sql, or -- irreversible: REASON"
        for migration in migrations
        if migration.down is None and not migration.irreversible_reason
    )


def _matching_file(name: str, by_name: Mapping[str, Migration]) -> str:
    """Return the file that a row names, with or without ``.sql``, "" if there is none."""
    return next((candidate for candidate in (name, f"{name}.sql") if candidate in by_name), "")


def applied_without_file(migrations: Sequence[Migration], applied: Sequence[AppliedMigration]) -> tuple[str, ...]:
    """Return the applied migrations that are not in the folder, in the order in which they ran."""
    by_name = {migration.name: migration for migration in migrations}
    return tuple(migration.name for migration in applied if not _matching_file(migration.name, by_name))


def plan_down(names: Sequence[str], migrations: Iterable[Migration]) -> tuple[tuple[Migration, ...], str]:
    """Return the migrations to reverse for ``names``, last first, or none and why the schema must stay."""
    known = {migration.name: migration for migration in migrations}
    steps = []
    for name in reversed(names):
        migration = known.get(name) or known.get(f"{name}.sql")
        if migration is None:
            return (), f"the file of {name} is not in the release that is live"
        if migration.down is None:
            return (), f"{migration.name} has no down step"
        if not migration.is_down_safe:
            return (), f"the down step of {migration.name} is not declared safe (-- safe)"
        steps.append(migration)
    return tuple(steps), ""
