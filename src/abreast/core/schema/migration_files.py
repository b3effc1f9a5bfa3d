"""Migration files: their names, sections and order; which are pending, and which must not run."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from abreast.core.frozen_dataclass import dataclass
from abreast.core.schema.migration_formats import (
    NO_TRANSACTION,
    NO_TRANSACTION_OPTIONS,
    SECTION_FORMATS,
    FileName,
    parse_file_name,
    unreadable_section,
)

_SAFE = re.compile(r"^--\s*safe\s*$", re.MULTILINE)
_IRREVERSIBLE = re.compile(r"^--\s*irreversible:\s*(\S.*)$", re.MULTILINE)
_CONTRACT = re.compile(r"^--\s*contract:\s*(\S.*)$", re.MULTILINE)

_SQL_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_SECTIONS_REMEDY = (
    f"mark sections as {', '.join(known.tool for known in SECTION_FORMATS)} do, write the way back into NAME.down.sql, "
    "reword the comment, or run the tool itself with `command`"
)

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
    ``fault`` says why the file must not run.
    """

    version: tuple[int, ...]
    name: str
    up: MigrationStep
    down: MigrationStep | None = None
    is_down_safe: bool = False
    contract_reason: str = ""
    irreversible_reason: str = ""
    checksum: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class AppliedMigration:
    """A row of the database's migrations table: what ran, and when. ``checksum`` is "" if the table has none."""

    name: str
    at: str
    checksum: str = ""


@dataclass(frozen=True, slots=True)
class ForeignHistory:
    """What another tool recorded in ``table``: file names, their stems, or numbers. ``broken``: those left half done.

    With ``is_highest``, ``applied`` is only the last one, and all before it ran too.
    """

    tool: str
    table: str
    applied: tuple[str, ...]
    broken: tuple[str, ...] = ()
    is_highest: bool = False


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """The pending migrations in order, and the faults that forbid running them."""

    pending: tuple[Migration, ...] = ()
    faults: tuple[str, ...] = ()


def parse_migrations(files: Mapping[str, bytes]) -> tuple[tuple[Migration, ...], tuple[str, ...]]:
    """Return the migrations of a folder (contents by file name) in order, and the faults found."""
    named = {name: said for name in sorted(files) if (said := parse_file_name(name))}
    faults = [f"{name}: not a name such as 001_name.sql" for name in sorted(files) if _is_misnamed(name, named)]
    downs = {(said.version, said.name): name for name, said in named.items() if said.is_down}
    ups = {name: said for name, said in named.items() if not said.is_down}
    parsed: list[Migration] = []
    for name, said in ups.items():
        try:
            down = downs.pop((said.version, said.name), "")
            parsed.append(_parse_migration(name, said.version, files[name], files.get(down)))
        except ValueError as error:
            faults.append(f"{name}: {error}")
    faults += [f"{name}: there is no migration that it takes back" for name in downs.values()]
    parsed.sort(key=lambda migration: (migration.version, migration.name))
    return tuple(parsed), (*faults, *_numbering_faults(parsed, ups))


def _is_misnamed(name: str, named: Mapping[str, object]) -> bool:
    return name.endswith(".sql") and name not in named


def _parse_migration(name: str, version: tuple[int, ...], content: bytes, down: bytes | None) -> Migration:
    try:
        text = content.decode("utf-8-sig")
        down_text = None if down is None else down.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start})") from error
    up_part, down_part = _split_sections(text)
    if down_text is not None and down_part is not None:
        raise ValueError("its down step is there twice: in a section, and in a file of its own")
    step = _parse_step(down_text, 1) if down_text is not None else down_part
    line, why = unreadable_section(text)
    return Migration(
        version,
        name,
        up_part,
        step,
        is_down_safe=step is not None and bool(_SAFE.search(step.sql)),
        contract_reason=_marked_reason(_CONTRACT, text),
        irreversible_reason=_marked_reason(_IRREVERSIBLE, text),
        checksum=hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest(),
        fault=f"{name}:{line}: {why}: {_SECTIONS_REMEDY}" if why else "",
    )


def _marked_reason(marker: re.Pattern[str], text: str) -> str:
    found = marker.search(text)
    return found[1].strip() if found else ""


def _split_sections(text: str) -> tuple[MigrationStep, MigrationStep | None]:
    """Return the up and down sections, as one of SECTION_FORMATS marks them. Without any, all is up."""
    formats = [(known, marks) for known in SECTION_FORMATS if (marks := list(known.mark.finditer(text)))]
    if not formats:
        return _parse_step(text, 1), None
    if len(formats) > 1:
        raise ValueError(f"it has sections of {formats[0][0].tool} and of {formats[1][0].tool}")
    ((known, marks),) = formats
    if _SQL_COMMENT.sub("", text[: marks[0].start()]).strip():
        raise ValueError(f"it has SQL before its first section, which {known.tool} would not run")
    parts: dict[str, MigrationStep] = {}
    for mark, after in zip(marks, [*marks[1:], None], strict=True):
        direction = mark[1].lower()
        if direction in parts:
            raise ValueError(f"its {direction} section is there twice")
        end = after.start() if after else len(text)
        line = text.count("\n", 0, mark.end()) + 2
        step = _parse_step(text[mark.end() + 1 : end], line, mark[2])
        # goose says it once for the whole file, above its sections.
        is_alone = not step.in_transaction or bool(NO_TRANSACTION.search(text[: marks[0].start()]))
        parts[direction] = replace(step, in_transaction=not is_alone)
    if "up" not in parts:
        raise ValueError("it has no up section")
    return parts["up"], parts.get("down")


def _parse_step(text: str, line: int, options: str = "") -> MigrationStep:
    alone = bool(NO_TRANSACTION.search(text)) or bool(NO_TRANSACTION_OPTIONS.intersection(options.split()))
    safe = "-- safe\n" if "safe" in options.split() else ""
    return MigrationStep(safe + text, not alone, line - bool(safe))


def _numbering_faults(found: Sequence[Migration], names: Mapping[str, FileName]) -> Iterator[str]:
    for before, after in pairwise(found):
        if before.version == after.version:
            yield f"{before.name} and {after.name} have the same number"
        elif _is_numbered(after, names) and after.version[0] - before.version[0] > 1:
            yield f"between {before.name} and {after.name} one is missing"


def _is_numbered(migration: Migration, names: Mapping[str, FileName]) -> bool:
    """Whether its number follows the one before without a gap."""
    return not names[migration.name].has_gaps and migration.version[0] < 10**MAX_SEQUENCE_DIGITS


def plan_migrations(migrations: Sequence[Migration], applied: Sequence[AppliedMigration]) -> MigrationPlan:
    """Return what is pending of a folder in a database that has ``applied``."""
    by_name = {migration.name: migration for migration in migrations}
    ran = {known: migration for migration in applied if (known := _matching_file(migration.name, by_name))}
    pending = [migration for migration in migrations if migration.name not in ran]
    edited = [name for name, row in ran.items() if row.checksum and row.checksum != by_name[name].checksum]
    last = max((by_name[name].version for name in ran), default=())
    late = [migration.name for migration in pending if migration.version < last]
    faults = [migration.fault for migration in pending if migration.fault]
    faults += [f"{name} was edited after it ran ({ran[name].at}): write a new migration instead" for name in edited]
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
        if migration.fault:
            return (), migration.fault
        if not migration.is_down_safe:
            return (), f"the down step of {migration.name} is not declared safe (-- safe)"
        steps.append(migration)
    return tuple(steps), ""


def adopt_history(migrations: Sequence[Migration], history: ForeignHistory) -> tuple[Migration, ...]:
    """Return the migrations that another tool applied. Raises ValueError for one half done, or without a file."""
    if history.broken:
        raise ValueError(f"{history.tool} left {history.broken[0]} half done ({history.table})")
    adopted = {recorded: _recorded_file(recorded, migrations) for recorded in history.applied}
    if missing := [recorded for recorded, migration in adopted.items() if migration is None]:
        raise ValueError(f"{history.table} has {', '.join(missing)}, which no file here is")
    ran = {migration.name: migration for migration in adopted.values() if migration}
    if history.is_highest and ran:
        last = max(migration.version for migration in ran.values())
        return tuple(migration for migration in migrations if migration.version <= last)
    return tuple(migration for migration in migrations if migration.name in ran)


def _recorded_file(recorded: str, migrations: Sequence[Migration]) -> Migration | None:
    for migration in migrations:
        if recorded in {migration.name, migration.name.removesuffix(".sql")}:
            return migration
        if recorded.isdigit() and migration.version == (int(recorded),):
            return migration
    return None
