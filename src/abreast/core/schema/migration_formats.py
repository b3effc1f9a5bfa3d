"""How migration tools name their files and mark the sections in them. A new tool is one line."""

import re

from abreast.core.errors import UsageError
from abreast.core.frozen_dataclass import dataclass

_LINES = re.MULTILINE | re.IGNORECASE


@dataclass(frozen=True, slots=True)
class SectionFormat:
    """How a tool marks the sections of a file. Groups of ``mark``: ``up`` or ``down``, and the section's options."""

    tool: str
    mark: re.Pattern[str]
    source: str


SECTION_FORMATS = (
    SectionFormat("dbmate", re.compile(r"^--[ \t]*migrate:(up|down)\b(.*)$", _LINES), "https://github.com/amacneil/dbmate"),
    SectionFormat("goose", re.compile(r"^--[ \t]*\+goose[ \t]+(up|down)\b(.*)$", _LINES),
                  "https://pressly.github.io/goose/documentation/annotations/"),
    SectionFormat("sql-migrate", re.compile(r"^--[ \t]*\+migrate[ \t]+(up|down)\b(.*)$", _LINES),
                  "https://github.com/rubenv/sql-migrate#writing-migrations"),
    SectionFormat("node-pg-migrate", re.compile(r"^[ \t]*--[ \t-]*(up|down)[ \t]+migration\b(.*)$", _LINES),
                  "https://salsita.github.io/node-pg-migrate/"),
    SectionFormat("rambler", re.compile(r"^--[ \t]*rambler[ \t]+(up|down)\b(.*)$", _LINES),
                  "https://github.com/elwinar/rambler"),
)  # fmt: skip

NO_TRANSACTION = re.compile(r"^--[ \t]*(no-transaction|\+goose[ \t]+no[ \t]+transaction)[ \t\r]*$", _LINES)
NO_TRANSACTION_OPTIONS = frozenset({"transaction:false", "notransaction"})
"""Of dbmate and sql-migrate, after the mark of a section."""

_UNSUPPORTED = (
    (re.compile(r"^--[ \t]*\+goose[ \t]+envsub\b", _LINES), "goose would replace variables (ENVSUB)"),
    (re.compile(r"^--[ \t]*liquibase[ \t]+formatted\b", _LINES), "it is written for Liquibase"),
    (re.compile(r"^-+[ \t]*create above / drop below\b", _LINES), "tern's sections"),
    (re.compile(r"^(--|#)[ \t-]*!(ups|downs)\b", _LINES), "sections of Play's evolutions"),
    (re.compile(r"^--[ \t]*//[ \t]*@undo\b", _LINES), "sections of MyBatis Migrations"),
)
_COMMENT = re.compile(r"^[ \t]*(?:--|#|/\*)(.*)$", re.MULTILINE)
_BACKWARD = frozenset({"down", "downs", "undo", "rollback", "revert", "backward", "backwards"})
_OWN_MARK = re.compile(r"[ \t]*(safe|no-transaction|(contract|irreversible):.*|\+goose .*|\+migrate .*)", re.IGNORECASE)
_MAX_MARK_WORDS = 4
"""A comment with more words is prose."""


def unreadable_section(text: str) -> tuple[int, str]:
    """Return the line of a section that abreast does not know, and what it is. (0, "") if there is none.

    A short comment with a word such as "down" is taken for the mark of a section: run as one, a file would be undone
    by its own second half.
    """
    for pattern, why in _UNSUPPORTED:
        if found := pattern.search(text):
            return text.count("\n", 0, found.start()) + 1, why
    for comment in _COMMENT.finditer(text):
        words = re.findall(r"[a-z]+", comment[1].lower())
        is_known = _OWN_MARK.fullmatch(comment[1]) or any(known.mark.match(comment[0]) for known in SECTION_FORMATS)
        if len(words) <= _MAX_MARK_WORDS and _BACKWARD.intersection(words) and not is_known:
            line = text.count("\n", 0, comment.start()) + 1
            return line, f"`{comment[0].strip()}` looks like the mark of a section"
    return 0, ""


@dataclass(frozen=True, slots=True)
class FileName:
    """What the name of a migration file says. ``version`` orders; ``has_gaps`` if its tool leaves gaps between them."""

    version: tuple[int, ...]
    name: str
    is_down: bool = False
    has_gaps: bool = False


_NUMBERED = re.compile(r"(\d+)[_-](.+?)(\.up|\.down)?\.sql")
"""``001_name.sql``; golang-migrate and sqlx: ``001_name.up.sql``, ``001_name.down.sql``."""

_FLYWAY = re.compile(r"([VU])(\d+(?:[._]\d+)*)__(.+)\.sql")
"""https://documentation.red-gate.com/flyway/flyway-concepts/migrations/versioned-migrations"""


def parse_file_name(name: str) -> FileName | None:
    """Return what a file name says, None if it is not the name of a migration."""
    if found := _NUMBERED.fullmatch(name):
        return FileName((int(found[1]),), found[2], is_down=found[3] == ".down")
    if found := _FLYWAY.fullmatch(name):
        return FileName(parse_version(found[2]), found[3], is_down=found[1] == "U", has_gaps=True)
    return None


def parse_version(text: str) -> tuple[int, ...]:
    """Return a number such as ``003``, ``20260101120000`` or Flyway's ``1.2``. Raises UsageError for another text."""
    parts = re.split("[._]", text.removeprefix("V"))
    if not all(part.isdigit() for part in parts):
        raise UsageError(f"{text!r} is not the number of a migration", need="a number such as 003")
    return tuple(int(part) for part in parts)
