"""A deployment with a database: backed up, rehearsed, migrated; and the way back.

On SQLite and on PostgreSQL where a test is about what their code does: copies, failures, restores and down steps.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from database_project import FIRST_MIGRATION, DatabaseProject, app_source
from sample_project import APP_SOURCE, HEALTHY, SampleProject, free_ports

ADDS_PRICE = "ALTER TABLE orders ADD COLUMN price integer;\n"
DROPS_PRICE = "ALTER TABLE orders DROP COLUMN price;\n"
NEEDS_PRICE = app_source('db.execute("SELECT price FROM orders LIMIT 1")')
HEALTHY_ON_THE_COPY_ONLY = app_source('assert "rehearsal" in url')


@pytest.fixture(params=["postgresql", "sqlite"])
def shop(request: pytest.FixtureRequest, project: SampleProject) -> DatabaseProject:
    return DatabaseProject(project, request.param)


@pytest.mark.smoke
def test_it_is_backed_up_rehearsed_and_migrated_before_the_new_version_starts(project: SampleProject) -> None:
    shop = DatabaseProject(project, "postgresql")
    told = shop.deploy()
    assert [line.split()[2] for line in told.splitlines() if "backend" in line and line.endswith("done")] == [
        "build", "backup", "rehearse", "migrate", "stage", "check",
    ]  # fmt: skip
    assert shop.query("SELECT id, filename FROM migrations") == [(1, "001_orders.sql")]
    shop.insert_orders()
    shop.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN price INTEGER NOT NULL DEFAULT 0;\n")
    new = shop.project.commit(app_py=NEEDS_PRICE)
    assert "database: back up, rehearse, then apply 002_price.sql" in shop.run("plan").stdout
    told = shop.deploy()
    assert "rehearse  note + column orders.price: integer" in told.lower()
    assert shop.project.served_commits()["backend"] == new
    newest = shop.backups()[0]
    assert newest["rows"]["orders"] == 100
    assert newest["release"] == "v1"
    assert newest["verified"]
    assert shop.leftover_copies() == []
    shop.project.commit()
    assert "migrate" not in shop.deploy(), "there is nothing to run"


def test_what_fails_on_real_data_or_is_not_healthy_on_the_copy_is_stopped_at_the_rehearsal(
    shop: DatabaseProject,
) -> None:
    shop.deploy()
    shop.insert_orders()
    before, rows, served = shop.schema(), shop.orders_digest(), shop.project.served_commits()
    shop.write_migration(
        "002_price.sql",
        "CREATE TABLE better (id INTEGER PRIMARY KEY, product TEXT NOT NULL, note TEXT NOT NULL);\n"
        "INSERT INTO better SELECT * FROM orders;\nDROP TABLE orders;\nALTER TABLE better RENAME TO orders;\n",
    )
    shop.project.commit()
    told = shop.deploy(code=1)
    assert "backend      rehearse  FAILED 002_price.sql:" in told
    assert (shop.schema(), shop.orders_digest(), shop.project.served_commits()) == (before, rows, served)
    assert shop.leftover_copies() == []

    shop.project.config["services"]["backend"]["health"]["start"] = "1s"
    shop.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN prize INTEGER;\n")
    shop.project.commit(app_py=NEEDS_PRICE)
    told = shop.deploy(code=1)
    assert "rehearse  FAILED on the migrated copy: " in told
    assert (shop.schema(), shop.orders_digest(), shop.project.served_commits()) == (before, rows, served)


def test_a_candidate_on_the_copy_is_told_and_gets_other_variables(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    assert "the rehearsal starts the new version on a copy" in shop.deploy()
    told = project.folder.parent / "told"
    shop.write_migration("002_price.sql", ADDS_PRICE)
    line = f"open('{told}', 'a').write(os.environ.get('ABREAST_REHEARSAL', '0') + os.environ['MAILS'] + ' ')"
    backend = project.config["services"]["backend"]
    backend["env"] = {"MAILS": "real"}
    backend["database"]["rehearsal"] = {"env": {"MAILS": "${TEST_MAILS}"}}
    project.commit(app_py=NEEDS_PRICE.replace("STARTED =", f"{line}\nSTARTED =", 1))
    assert "not set: TEST_MAILS" in shop.deploy(code=1)
    assert not told.exists()
    shop.variables["TEST_MAILS"] = "none"
    assert "the rehearsal starts" not in shop.deploy()
    assert told.read_text() == "1none 0real ", "the one on the copy, then the one with users"


def test_restore_brings_back_every_row_the_drill_measures_that_and_an_empty_database_is_not_migrated(
    shop: DatabaseProject,
) -> None:
    here = shop.project.config["environments"]["local"]
    here["objectives"] = {"rto": "5m", "rpo": "1h"}
    shop.project.commit()
    shop.deploy()
    shop.insert_orders()
    before = shop.orders_digest()
    shop.run("db", "backup")
    assert "cannot ask for confirmation" in shop.run("db", "restore", code=2).stderr, "nobody is there"
    shop.query("DROP TABLE orders")
    told = shop.run("db", "restore", "--yes").stdout
    assert "orders: no table now, 100 rows in the backup" in told
    assert shop.orders_digest() == before
    assert shop.leftover_copies() == []
    assert shop.project.served_commits()["backend"] == shop.project.status()["services"]["backend"]["commit"]

    told = shop.run("db", "drill").stdout
    assert "recovery time" in told
    assert shop.leftover_copies() == []
    here["objectives"] = {"rto": "1ms"}
    shop.project.commit()
    assert "the recovery time is" in shop.run("db", "drill", code=1).stdout

    if shop.engine == "sqlite":
        shop.sqlite_file.unlink()
    else:
        for table in ("orders", "migrations", "migrations_begun", "abreast_owner"):
            shop.query(f"DROP TABLE {table}")
    shop.write_migration("002_more.sql", "CREATE TABLE more (id integer);")
    shop.project.commit()
    told = shop.deploy(code=1)
    assert "the database of backend is empty, but its last backup (" in told
    assert "next:   abreast db restore --env local --service backend" in told


# ── what must not be run ───────────────────────────────────────────────────────────────────────


def test_what_is_wrong_with_the_files_is_an_error_before_anything_runs(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.deploy()
    before = shop.schema(), len(shop.backups()), project.served_commits()
    for name, text, told in (
        ("001_orders.sql", "CREATE TABLE orders (id integer);", "migrations/001_orders.sql was edited after it ran"),
        ("003_b.sql", "SELECT 1;", "migrations/between 001_orders.sql and 003_b.sql one is missing"),
        ("001_other.sql", "SELECT 1;", "migrations/001_orders.sql and 001_other.sql have the same number"),
        ("000_early.sql", "SELECT 1;", "migrations/000_early.sql comes before one that ran already"),
        ("002_b.down.sql", "SELECT 1;", "migrations/002_b.down.sql: there is no migration that it takes back"),
        ("second.sql", "SELECT 1;", "migrations/second.sql: not a name such as 001_name.sql"),
    ):
        shop.write_migration(name, text)
        project.commit()
        assert told in shop.deploy(code=2)
        assert told in shop.run("plan", code=2).stderr
        assert (shop.schema(), len(shop.backups()), project.served_commits()) == before
        project.git("reset", "-q", "--hard", "HEAD~1")


def test_what_the_running_version_could_not_live_with_is_refused_unless_the_file_says_that_it_can(
    project: SampleProject,
) -> None:
    shop = DatabaseProject(project)
    shop.write_migration("001_orders.sql", FIRST_MIGRATION + "CREATE TABLE old (id integer);\n")
    shop.project.commit()
    shop.deploy()
    here = shop.project.config["environments"]["local"]
    here["breaking"] = "block"
    shop.write_migration("002_note.sql", "ALTER TABLE orders DROP COLUMN note;\n-- irreversible: notes are gone\n")
    before = shop.schema()
    shop.project.commit()
    assert "BREAKING (blocked): 002_note.sql:1: the column orders.note is dropped" in shop.run("plan").stdout
    assert "the column orders.note is dropped: stop using it in this release" in shop.deploy(code=3)
    assert shop.schema() == before
    here["breaking"] = "warn"
    shop.project.commit()
    assert "BREAKING: 002_note.sql:1" in shop.deploy()
    assert shop.schema() != before

    here["breaking"] = "block"
    drop, contract = "-- irreversible: it is gone\nDROP TABLE old;\n", "-- contract: no version reads it since v1\n"
    shop.write_migration("003_old.sql", drop)
    shop.project.commit()
    assert "BREAKING (blocked): 003_old.sql:2" in shop.run("plan").stdout
    shop.write_migration("003_old.sql", contract + drop)
    shop.project.commit()
    assert "BREAKING" not in shop.deploy()


def test_where_breaking_blocks_each_migration_needs_its_way_back(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    project.config["environments"]["local"]["breaking"] = "block"
    project.commit()
    assert "migrations/001_orders.sql has no down step: write 001_orders.down.sql" in shop.deploy(code=2)
    shop.write_migration("001_orders.down.sql", "DROP TABLE orders;\n")
    project.commit()
    shop.deploy()


def test_the_database_of_another_environment_is_refused(project: SampleProject, tmp_path: Path) -> None:
    shop = DatabaseProject(project)
    shop.variables["SHOP_DATABASE_URL"] = f"sqlite:///{tmp_path}/one.db"
    local = project.config["environments"]["local"]
    front, back = free_ports(2)
    staging = {**local, "frontend": {"local": {"port": front}}, "backend": {"local": {"port": back}}}
    project.config["environments"] = {"local": local, "staging": staging}
    project.commit()
    shop.deploy("--env", "staging")
    told = shop.deploy("--env", "local", code=3)
    assert "this database belongs to shop/staging/backend, not to shop/local/backend" in told
    shop.run("db", "backup", "--env", "local", code=3)
    shop.run("down", "--env", "staging", "--yes")


# ── the way back ───────────────────────────────────────────────────────────────────────────────


@contextmanager
def falling_sick(project: SampleProject, commit: str, sick: Path) -> Iterator[None]:
    """Make a file, at which services fall sick, as soon as users are on a commit."""

    def fall() -> None:
        while project.served_commits()["backend"] != commit:
            time.sleep(0.05)
        sick.touch()

    falling = threading.Thread(target=fall)
    falling.start()
    yield
    falling.join()


def test_a_rollback_and_each_failure_take_back_the_schema_where_that_is_declared_safe(
    shop: DatabaseProject, tmp_path: Path
) -> None:
    shop.deploy()
    shop.insert_orders()
    first, before, rows = shop.project.served_commits(), own_tables(shop), shop.orders_digest()

    def assert_as_before() -> None:
        assert shop.project.served_commits() == first
        assert own_tables(shop) == before
        assert shop.orders_digest() == rows
        assert shop.query("SELECT filename FROM migrations") == [("001_orders.sql",)]
        assert shop.leftover_copies() == []

    shop.write_migration("002_price.sql", ADDS_PRICE)
    shop.write_migration("002_price.down.sql", f"-- safe\n{DROPS_PRICE}")
    shop.project.config["services"]["backend"]["health"]["start"] = "1s"
    shop.project.commit(app_py=HEALTHY_ON_THE_COPY_ONLY)
    shop.deploy(code=1)
    assert_as_before()

    shop.project.config["services"]["backend"]["health"]["start"] = "20s"
    shop.project.config["environments"]["local"]["settle"] = "20s"
    commit = shop.project.commit(app_py=app_source(f'assert not os.path.exists("{tmp_path}/sick")'))
    with falling_sick(shop.project, commit, tmp_path / "sick"):
        shop.deploy(code=1)
    assert_as_before()

    shop.project.config["environments"]["local"]["settle"] = "300ms"
    shop.project.commit(app_py=NEEDS_PRICE)
    shop.deploy()
    assert own_tables(shop) != before
    known = {backup["name"] for backup in shop.backups()}
    told = shop.run("rollback", "--reason", "no", "--yes").stdout
    assert "revert 002_price.sql after the traffic switch and a backup" in told
    assert_as_before()
    assert shop.backups()[0]["name"] not in known, "after a fresh backup"


def own_tables(shop: DatabaseProject) -> list[Any]:
    """Return the schema without abreast's own tables."""
    return [column for column in shop.schema() if "migrations" not in column[0]]


def test_a_rollback_and_a_failure_say_where_the_schema_stays(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.deploy()
    first = shop.project.served_commits()
    shop.write_migration("002_price.sql", ADDS_PRICE)
    health = shop.project.config["services"]["backend"]["health"]
    health["start"] = "1s"
    shop.project.commit(app_py=HEALTHY_ON_THE_COPY_ONLY)
    told = shop.deploy(code=1)
    assert "the schema keeps 002_price.sql: 002_price.sql has no down step" in told
    assert shop.project.served_commits() == first
    migrated = shop.schema()
    assert "price" in str(migrated)
    assert shop.leftover_copies() == []

    health["start"] = "20s"
    for down, why in (
        ("", "002_price.sql has no down step"),
        (DROPS_PRICE, "the down step of 002_price.sql is not declared safe"),
    ):
        if down:
            shop.write_migration("002_price.down.sql", down)
        shop.project.commit(app_py=NEEDS_PRICE)
        shop.deploy()
        assert f"the schema is not reverted: {why}" in shop.run("rollback", "--reason", "no", "--yes").stdout
        assert (shop.project.served_commits(), shop.schema()) == (first, migrated)
    shop.project.commit(app_py=NEEDS_PRICE)
    shop.deploy()


def test_rollback_restores_the_data_where_that_is_asked_for(project: SampleProject) -> None:
    shop = DatabaseProject(project, "postgresql")
    shop.deploy()
    shop.insert_orders()
    first, before = shop.project.served_commits(), shop.orders_digest()
    shop.write_migration(
        "002_price.sql", "ALTER TABLE orders ADD COLUMN price integer;\nUPDATE orders SET product = 'lost';\n"
    )
    shop.project.commit()
    shop.deploy()
    shop.insert_orders(7)
    told = shop.run("rollback", "--restore-data", "--reason", "no", "--yes").stdout
    assert "orders: 107 rows now, 100 rows in the backup" in told
    assert "would be lost" in told
    assert shop.project.served_commits() == first
    assert shop.orders_digest() == before
    restored, replaced = shop.backups()[:2]
    assert restored["rows"]["orders"] == 100
    assert (replaced["rows"]["orders"], replaced["verified"] != "") == (107, True), "a backup of the present state"
    shop.run("db", "restore", replaced["name"].rpartition("/")[2], "--yes")
    assert shop.query("SELECT count(*) FROM orders") == [(107,)]


def test_a_migration_stays_where_its_service_stays_and_another_fails_alone(
    project: SampleProject, tmp_path: Path
) -> None:
    shop, sick = DatabaseProject(project), tmp_path / "sick"
    mail = APP_SOURCE.replace(HEALTHY, f'    return (503, {{}}) if os.path.exists("{sick}") else (200, {{}})\n')
    project.config["services"]["mail"] = {
        "run": f"exec {sys.executable} -S mail.py", "health": {"path": "/health", "hold": "0s", "start": "5s"},
    }  # fmt: skip
    project.config["environments"]["local"] |= {"mail": {"local": {"port": free_ports(1)[0]}}}
    project.config["on_failure"] = "alone"
    project.commit(mail_py=mail)
    shop.deploy()
    project.config["environments"]["local"]["settle"] = "10s"
    shop.write_migration("002_price.sql", ADDS_PRICE)
    shop.write_migration("002_price.down.sql", f"-- safe\n{DROPS_PRICE}")
    commit = project.commit(app_py=NEEDS_PRICE)
    with falling_sick(project, commit, sick):
        shop.deploy(code=1)
    assert project.served_commits()["backend"] == commit
    assert project.status()["services"]["mail"]["commit"] != commit
    assert "price" in str(shop.schema())
    assert shop.leftover_copies() == []
