"""Compatibility: precision and recall of the found risks on the migrations of public projects.

ABREAST_MIGRATION_CORPUS names a folder with a clone of each repository in ``migration_corpus.py``, at its commit there:

    git clone https://github.com/LemmyNet/lemmy && git -C lemmy checkout 439734d

Each source's migrations run one after the other on a real database. Before a file runs, its statements are judged, given
the schema as it is then; what existed before is in use by the running version, and every table has a million rows. The
labels say which statements must be flagged. They were written from the documentation of the databases before abreast
judged any of them; PostgreSQL's own pg_locks, pg_stat_xact_user_tables and relfilenode told which statements scan or
rewrite a table under a lock that writers wait for. A statement must be flagged if

- something that existed before its file, and that a client can use, is gone, renamed or of another type afterwards, or
  refuses, hides or no longer does what it did: NOT NULL, a new column without a value, a lost default, a lost unique key
  (ON CONFLICT), REVOKE, row security, policies, rules, dropped or disabled triggers. Not: new constraints and triggers
  (the SQL does not say whether the running version satisfies them), trigger functions, the bodies of functions, names of
  constraints and indexes, and what the same file creates again.
- rows are deleted, or a table is created again without all of them.
- in PostgreSQL, writers wait while a table is scanned, indexed or rewritten, or every row is updated; in SQLite,
  they wait while a table is indexed, copied or updated.
"""

import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg

from abreast.core.schema.compatibility import find_risks
from abreast.core.schema.migration_files import Migration, MigrationStep
from abreast.core.schema.sql_statements import split_statements
from abreast.core.schema.tables import Column, Table, Tables, breaking_changes
from abreast.database.postgres import catalog as postgres_catalog
from abreast.database.sqlite import catalog as sqlite_catalog
from benchmarks.migration_corpus import SOURCES, SQUAWK, Source, digest, read_labels, squawk_snippets
from benchmarks.tests_helpers import tests_module

ROWS = 1_000_000
CORPUS_VARIABLE = "ABREAST_MIGRATION_CORPUS"
_ALONE = re.compile(r"\bconcurrently\b|\bvacuum\b|add value", re.IGNORECASE)
"""What cannot run in a transaction, so that its file is one without."""
_TRANSACTION = re.compile(r"(BEGIN|COMMIT|START|END)\b", re.IGNORECASE)
_TABLE = re.compile(
    r'(?:\btable|\bon|\bupdate|\btruncate|\breferences|\bcluster|\bvacuum(?: full| analyze| freeze| \([^)]*\))?)'
    r'\s+(?:if exists |only |concurrently )*"?(\w+)"?(?:\s*,\s*(\w+))*', re.IGNORECASE
)  # fmt: skip
_CREATED = re.compile(r'create table "?(\w+)"?', re.IGNORECASE)

_CHANGING = re.compile(
    r"\s*(DO|SELECT|CALL|(ALTER|DROP) (MATERIALIZED VIEW|VIEW|FUNCTION|TYPE|SEQUENCE|POLICY|RULE)|DROP TABLE)\b",
    re.IGNORECASE,
)
"""Beginnings of statements whose text alone does not tell what they take away."""
_KINDS = frozenset(
    [
        "new",
        "table",
        "column",
        "function",
        "type",
        "sequence",
        "trigger",
        "policy",
        "rule",
        "of",
        "on",
        "public",
        "auth",
        "storage",
    ]
)

Verdict = tuple[bool, bool, bool]
"""Whether a statement must be flagged, and is by its text, and by its text or the rehearsal's difference."""
Execute = Callable[[str], None]


def run() -> str:
    """Return a table of precision and recall by source."""
    if not (folder := os.environ.get(CORPUS_VARIABLE)):
        raise SystemExit(f"set {CORPUS_VARIABLE} to a folder of clones; benchmarks/compatibility.py says which")
    corpus, labels = Path(folder), read_labels()
    verdicts: dict[str, list[Verdict]] = {}
    with tests_module("postgres_server") as server:
        for source in SOURCES:
            clone = corpus / source.repository.partition("/")[2]
            verdicts[source.name] = list(_judge_source(source, clone, labels[source.name], server))
    verdicts[SQUAWK[0]] = list(_judge_squawk(corpus / SQUAWK[0], labels[SQUAWK[0]]))
    rows = [f"| {_title(name)} | {_measures(each)} |" for name, each in verdicts.items()]
    total = [verdict for each in verdicts.values() for verdict in each]
    missing = sum(len(marks) for files in labels.values() for marks in files.values()) - len(total)
    return f"""## Compatibility

{len(total):,} labelled statements of the migrations of public projects{f" ({missing} labelled ones were not found)" if missing else ""}, each judged on the schema that the earlier files left, with a
million rows in each table. What must be flagged, and how to make the corpus, is in `benchmarks/compatibility.py`. "With the rehearsal": flagged by the
text, or it names what the difference of a real database before and after its file is about. Goals: recall 100 %, precision ≥ 97 %.

| source | statements | must be flagged | precision | recall | with the rehearsal: precision | recall |
|---|---|---|---|---|---|---|
{chr(10).join(rows)}
| **all** | {_measures(total)} |"""


def _title(name: str) -> str:
    sources = {source.name: (source.repository, source.commit) for source in SOURCES} | {SQUAWK[0]: SQUAWK[1:]}
    repository, commit = sources[name]
    engine = next((f", {engine}" for engine in ("SQLite", "PostgreSQL") if name.endswith(f"-{engine.lower()}")), "")
    return f"{repository} {commit}{engine}"


def _measures(verdicts: Sequence[Verdict]) -> str:
    must = sum(needed for needed, _, _ in verdicts)
    parts = [f"{len(verdicts)}", f"{must}"]
    for at in (1, 2):
        found = sum(verdict[at] for verdict in verdicts)
        right = sum(verdict[at] and verdict[0] for verdict in verdicts)
        parts += [f"{100 * right / max(1, of):.1f} %" for of in (found, must)]
    return " | ".join(parts)


def _judge_source(
    source: Source, clone: Path, labels: Mapping[str, Mapping[str, bool]], server: ModuleType
) -> Iterator[Verdict]:
    with _database(source, server) as (execute, read):
        for file in source.files(clone):
            path, text = file.relative_to(clone).as_posix(), source.repair(file.read_text())
            if path in labels:
                yield from _judge_file(path, text, source.engine, labels[path], execute, read)
                continue
            with suppress(ValueError):
                for _, statement in split_statements(MigrationStep(text), source.engine):
                    execute(statement)


@contextmanager
def _database(source: Source, server: ModuleType) -> Iterator[tuple[Execute, Callable[[], Tables]]]:
    """Yield how to run a statement, which may fail as the whole file would, and how to read the schema."""
    if source.engine == "sqlite":
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as lite:
            yield partial(_execute, lite), lambda: sqlite_catalog.read_tables(lite, ())
        return
    url = server.create_database()
    if source.setup:
        with psycopg.connect(url, autocommit=True) as admin:
            admin.execute(source.setup.replace("{database}", admin.info.dbname).encode())
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("SET client_min_messages = error")
        yield partial(_execute, db), lambda: postgres_catalog.read_tables(db, ())


def _execute(db: Any, statement: str) -> None:  # noqa: ANN401 (a connection of either library)
    if not _TRANSACTION.match(statement):
        with suppress(psycopg.Error, sqlite3.Error):
            db.execute(statement.encode() if isinstance(db, psycopg.Connection) else statement)


def _judge_file(
    path: str, text: str, engine: str, labels: Mapping[str, bool], execute: Execute, read: Callable[[], Tables]
) -> Iterator[Verdict]:
    statements = list(split_statements(MigrationStep(text), engine))
    before = read()
    risky = _risky_lines(path, text, engine, before, [line for line, _ in statements])
    for _, statement in statements:
        execute(statement)
    names = [_names(difference) for difference in breaking_changes(before, read())]
    open_labels = dict(labels)
    for line, statement in statements:
        if (needed := open_labels.pop(digest(statement), None)) is not None:
            is_culprit = bool(_CHANGING.match(statement)) and any(_mentions(statement, each) for each in names)
            yield needed, line in risky, line in risky or is_culprit


def _risky_lines(path: str, text: str, engine: str, tables: Tables, starts: Sequence[int]) -> AbstractSet[int]:
    """Return the first lines of the statements in which there is a risk."""
    migration = Migration((1,), path, MigrationStep(text, in_transaction=not _ALONE.search(text)))
    risks = find_risks([migration], engine, tables, dict.fromkeys(tables, ROWS))
    return {max((start for start in starts if start <= risk.line), default=1) for risk in risks}


def _names(difference: str) -> Sequence[str]:
    """Return the names of what a difference is about: a table and its column or rule, or another object."""
    what = difference.partition(" is ")[0].partition(" has ")[0].partition(" returns ")[0].partition(":")[0]
    what = re.sub(r"\(.*?\)|^the | (does|needs|refuses|applies) .*", " ", what)
    words = re.findall(r"\w+", what)
    return [word for word in words if word not in _KINDS]


def _mentions(statement: str, names: Sequence[str]) -> bool:
    words = {word.casefold() for word in re.findall(r"\w+", statement)}
    return bool(names) and all(name.casefold() in words for name in names)


def _judge_squawk(clone: Path, labels: Mapping[str, Mapping[str, bool]]) -> Iterator[Verdict]:
    """Yield verdicts on snippets, given that every table exists that they name and do not create."""
    seen: set[str] = set()
    for path, text in squawk_snippets(clone):
        name = digest(text)
        if name in seen or name not in labels.get(path, {}):
            continue
        seen.add(name)
        named = {word.casefold() for found in _TABLE.finditer(text) for word in found.groups() if word}
        created = {found[1].casefold() for found in _CREATED.finditer(text)}
        tables = {table: Table({"id": Column("integer")}) for table in named - created}
        is_flagged = bool(_risky_lines(path, text, "postgresql", tables, [1]))
        yield labels[path][name], is_flagged, is_flagged
