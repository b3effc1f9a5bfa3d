"""Backups of 1 GB on both engines against plain tools, recovery time, and detection of breaking migrations."""

import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import yaml

from abreast.core.schema import migration_files
from abreast.core.schema.compatibility import find_risks
from abreast.core.schema.context import LARGE_TABLE_ROWS
from abreast.core.schema.tables import Column, Table
from benchmarks.bench_project import BenchProject
from benchmarks.tests_helpers import TESTS_FOLDER, tests_module

ROWS, RUNS = 4_600_000, 5
ABREAST_SCRIPT = """
import json, resource, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from abreast.core.backups import Backup, BackupRetention
from abreast.database.postgres.database import PostgresDatabase
from abreast.database.backup_encryption import BackupKeys
from abreast.database.sqlite.database import SqliteDatabase
from abreast.database.backup_store import EncryptedBackupStore
url, home = sys.argv[1], Path(sys.argv[2])
database = PostgresDatabase(url) if url.startswith("postgresql") else SqliteDatabase(url, home)
store = EncryptedBackupStore(f"file://{home}/vault", BackupKeys([], home / "key"), BackupRetention())
began = time.perf_counter()
plain, copy = home / "plain.dump", database.sibling_copy("copy")
saved = store.save(Backup("a/b/c", "p", "a", "b", "v1", "2026-01-01T00:00:00Z", "", ""), database.dump, {}, plain)
sealed = time.perf_counter() - began
with ThreadPoolExecutor(1) as executor:
    checking = executor.submit(store.check_stored, saved)
    copy.restore(plain)
    assert copy.check_integrity().rows == saved.rows
    checking.result()
copy.drop()
memory = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(json.dumps({"sealed": sealed, "verified": time.perf_counter() - began - sealed, "memory": memory / 1024, "stored": saved.stored}))
"""


def run() -> str:
    """Return tables of both engines, the recovery times, and a table of the migration corpus."""
    with (
        tests_module("postgres_server") as postgres_server,
        tempfile.TemporaryDirectory(prefix="abreast-bench-") as name,
    ):
        home = Path(name)
        home.chmod(0o755)
        subprocess.run(["age-keygen", "-o", home / "key"], check=True, capture_output=True)
        _fill_sqlite(home / "shop.db")
        size = (home / "shop.db").stat().st_size
        sqlite_table = _compare_with_tools(home, f"sqlite:///{home}/shop.db", _time_sqlite_tools, size)
        url = postgres_server.create_database()  # after the SQLite runs, so that no server competes with them
        _fill_postgres(url)
        postgres_table = _compare_with_tools(home, url, _postgres_tools_timer(postgres_server, url), size)
        rto = (
            _drill_recovery_seconds(home, f"sqlite:///{home}/shop.db", 13100),
            _drill_recovery_seconds(home, url, 13110),
        )
    return f"""## Backups

A table of {ROWS:,} rows with an index: {size / 1e6:,.0f} MB as a SQLite file. Medians of {RUNS} alternating runs after one warm-up, on one disk and {os.cpu_count()}
cores. Both encrypt with age to one recipient. The plain tools use zstd's default level on one core, one after the other. abreast uses
level 1 on all cores, which other work on the machine may share; the parentheses show the lowest and highest ratio. Memory is that of
abreast plus its largest child process. Goal for SQLite: ≥ 2 times as fast, each, with < 200 MB.

{sqlite_table}

Plain tools for backup: `sqlite3 .backup`, `zstd -3`, `age`, one after the other. To verify: `age -d | zstd -d`, `PRAGMA
integrity_check`, `count(*)`. abreast writes the dump to the store and to a scratch file at once, and verifies that file, while it
compares the digest of what the store returns.

{postgres_table}

Plain tools for backup: `pg_dump -Fc -Z0 | zstd -3 | age`. To verify: `age -d | zstd -d`, `createdb`, `pg_restore -j`, `count(*)`.

Recovery time measured by `abreast db drill`, until the release is healthy on the copy: {rto[0]:.1f} s on SQLite, {rto[1]:.1f} s on
PostgreSQL.

{_compatibility_report()}"""


def _compare_with_tools(home: Path, url: str, run_tools: Callable[[Path], dict[str, float]], size: int) -> str:
    runs: dict[str, list[dict[str, float]]] = {"abreast": [], "plain tools": []}
    for _ in range(1 + RUNS):
        os.sync()  # no run pays for the other's unwritten data
        runs["plain tools"].append(run_tools(home))
        shutil.rmtree(home / "vault", ignore_errors=True)
        os.sync()
        done = subprocess.run(
            [sys.executable, "-c", ABREAST_SCRIPT, url, home], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        runs["abreast"].append(json.loads(done.stdout))
    medians = {
        name: {key: statistics.median(run[key] for run in each[1:]) for key in each[0]} for name, each in runs.items()
    }
    rows = [
        f"| {name} | {one['sealed']:.1f} s | {size / 1e6 / one['sealed']:,.0f} MB/s | {one['verified']:.1f} s | "
        f"{one['memory']:,.0f} MB | {one['stored'] / 1e6:,.0f} MB |"
        for name, one in medians.items()
    ]
    ratio = [_format_ratio(runs["plain tools"][1:], runs["abreast"][1:], key) for key in ("sealed", "verified")]
    engine = "PostgreSQL" if url.startswith("postgresql") else "SQLite"
    head = f"| {engine} | backup, compress, encrypt | | verify | peak memory | stored |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows, f"| ratio | {ratio[0]} | | {ratio[1]} | | |"])


def _format_ratio(plain: Sequence[dict[str, float]], ours: Sequence[dict[str, float]], key: str) -> str:
    """Return the median, lowest and highest ratio of neighbouring runs."""
    ratios = [other[key] / own[key] for other, own in zip(plain, ours, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _time_sqlite_tools(home: Path) -> dict[str, float]:
    steps = [
        f"sqlite3 {home}/shop.db '.backup {home}/plain.db'",
        f"zstd -q -f -3 {home}/plain.db -o {home}/plain.zst",
        f"age -r $(age-keygen -y {home}/key) -o {home}/plain.age {home}/plain.zst",
    ]
    back = [
        f"age -d -i {home}/key {home}/plain.age | zstd -q -f -d -o {home}/back.db",
        f"sqlite3 {home}/back.db 'PRAGMA integrity_check; SELECT count(*) FROM orders' | grep -q {ROWS}",
    ]
    return _time_steps(home, steps, back)


def _postgres_tools_timer(postgres: Any, url: str) -> Callable[[Path], dict[str, float]]:  # noqa: ANN401 (a module)
    bin_, name = postgres.program_folder(), url.rpartition("/")[2]
    server = url.removesuffix(name)

    def run_tools(home: Path) -> dict[str, float]:
        steps = [
            f"{bin_}/pg_dump -Fc -Z0 -d '{url}' | zstd -q -3 | age -r $(age-keygen -y {home}/key) -o {home}/plain.age",
        ]
        back = [
            f"age -d -i {home}/key {home}/plain.age | zstd -q -f -d -o {home}/back.dump",
            f"{bin_}/psql -q -d '{server}postgres' -c 'CREATE DATABASE back'",
            f"{bin_}/pg_restore -j {os.cpu_count()} -d '{server}back' {home}/back.dump",
            f"{bin_}/psql -q -t -d '{server}back' -c 'SELECT count(*) FROM orders' | grep -q {ROWS}",
        ]
        figures = _time_steps(home, steps, back)
        subprocess.run([f"{bin_}/psql", "-q", "-d", f"{server}postgres", "-c", "DROP DATABASE back"], check=True)
        return figures

    return run_tools


def _time_steps(home: Path, steps: list[str], restore_steps: list[str]) -> dict[str, float]:
    began = time.perf_counter()
    memory = [_run_and_peak_memory(step) for step in steps]
    sealed = time.perf_counter() - began
    memory += [_run_and_peak_memory(step) for step in restore_steps]
    verified = time.perf_counter() - began - sealed
    stored = (home / "plain.age").stat().st_size
    for name in ("plain.db", "plain.zst", "plain.age", "back.db", "back.dump"):
        (home / name).unlink(missing_ok=True)
    return {"sealed": sealed, "verified": verified, "memory": max(memory), "stored": float(stored)}


def _run_and_peak_memory(step: str) -> float:
    """Run a command; return the peak memory of its largest process, in MB."""
    process = subprocess.Popen(["/bin/bash", "-o", "pipefail", "-c", step])
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, step)
    return used.ru_maxrss / 1024


def _fill_sqlite(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, product INTEGER, at TEXT, note TEXT, token BLOB)")
        db.execute(
            "INSERT INTO orders WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " SELECT i, abs(random()) % 99999, datetime(1700000000 + i, 'unixepoch'),"
            " 'order ' || i || ' of ' || hex(randomblob(4)) || ' for the shop at the corner, to be sent by ' ||"
            " (CASE i % 5 WHEN 0 THEN 'bicycle' WHEN 1 THEN 'train' WHEN 2 THEN 'post' ELSE 'whoever goes there' END)"
            " || ', with greetings to number ' || (abs(random()) % 1000) || ' and to all who live there',"
            " randomblob(24) FROM n",
            (ROWS,),
        )
        db.execute("CREATE INDEX by_product ON orders (product)")


def _fill_postgres(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(
            "CREATE TABLE orders (id integer PRIMARY KEY, product integer, at timestamp, note text, token bytea)"
        )
        db.execute(
            b"INSERT INTO orders SELECT i, (random() * 99999)::int, to_timestamp(1700000000 + i),"
            b" 'order ' || i || ' of ' || substr(md5(i::text), 1, 8) || ' for the shop at the corner, to be sent by ' ||"
            b" (ARRAY['bicycle', 'train', 'post', 'whoever goes there', 'whoever goes there'])[i % 5 + 1]"
            b" || ', with greetings to number ' || (random() * 1000)::int || ' and to all who live there',"
            b" decode(md5((i + 1)::text) || substr(md5((i + 2)::text), 1, 16), 'hex')"
            b" FROM generate_series(1, " + str(ROWS).encode() + b") i"
        )
        db.execute("CREATE INDEX by_product ON orders (product)")
        db.execute("VACUUM ANALYZE")
        db.execute("CHECKPOINT")


def _drill_recovery_seconds(home: Path, url: str, port: int) -> float:
    os.environ["BENCH_DATABASE_URL"] = url
    shop = BenchProject(home / f"drill{port}", 1, port, build=0, hold=0.1, settle=0.1)
    config = yaml.safe_load((shop.folder / "abreast.yml").read_text())
    config["services"]["s000"]["database"] = {"url": "${BENCH_DATABASE_URL}"}
    (shop.folder / "abreast.yml").write_text(yaml.safe_dump(config))
    shop.commit()
    with shop:
        for command in (("deploy", "--yes"), ("db", "backup"), ("db", "drill")):
            shop.timed_abreast(*command)
        return float(next(event["data"]["rto"] for event in shop.events() if event["kind"] == "measured"))


def _compatibility_report() -> str:
    """Return a table of precision and recall of the detected breaking migrations, by engine."""
    corpus = yaml.safe_load((TESTS_FOLDER / "core" / "compatibility.yaml").read_text())
    kinds = {"id": "INTEGER", "name": "VARCHAR(20)", "email": "TEXT", "price": "NUMERIC(10,2)", "made": "TEXT"}
    tables = {"users": Table({name: Column(kind) for name, kind in kinds.items()})}
    large = {"n": "INTEGER", "at": "TEXT", "note": "TEXT", "user_id": "INTEGER"}
    tables["large"] = Table({name: Column(kind) for name, kind in large.items()})
    tables |= {name: Table({"id": Column("INTEGER")}) for name in ("teams", "active", "report", "measures", "old")}
    rows = []
    for engine, name in (("pg", "postgresql"), ("lite", "sqlite")):
        verdicts = [
            (one["breaks"], bool(find_risks(migration_files.parse_migrations({"001_it.sql": one["sql"].encode()})[0], name, tables, {"large": 10 * LARGE_TABLE_ROWS})))
            for one in corpus[engine]
        ]  # fmt: skip
        true_positives = sum(breaks and reported for breaks, reported in verdicts)
        false_positives = sum(reported and not breaks for breaks, reported in verdicts)
        breaking = sum(breaks for breaks, _ in verdicts)
        rows.append(
            f"| {name} | {len(verdicts)} | {breaking} | {100 * true_positives / breaking:.1f} % | {100 * true_positives / (true_positives + false_positives):.1f} % |"
        )
    return "\n".join([
        "Detection of breaking migrations, on the corpus in `tests/core/compatibility.yaml`. Goals: recall 100 %, precision ≥ 95 %.", "", "| engine | migrations | breaking | recall | precision |", "|---|---|---|---|---|", *rows,
    ])  # fmt: skip
