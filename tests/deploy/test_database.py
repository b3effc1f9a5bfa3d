"""A deployment with a database: backed up, rehearsed, migrated; and the way back. On SQLite and on PostgreSQL."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from database_project import DatabaseProject, app_source
from sample_project import APP_SOURCE, HEALTHY, SampleProject, free_ports

ENGINE_MATTERS_LITTLE = pytest.mark.parametrize(
    "shop", ["sqlite", pytest.param("postgresql", marks=pytest.mark.exhaustive)], indirect=True
)


@pytest.fixture(params=["postgresql", pytest.param("sqlite", marks=pytest.mark.exhaustive)])
def shop(request: pytest.FixtureRequest, project: SampleProject) -> DatabaseProject:
    return DatabaseProject(project, request.param)


@pytest.mark.smoke
def test_it_is_backed_up_rehearsed_and_migrated_before_the_new_version_starts(shop: DatabaseProject) -> None:
    told = shop.deploy()
    assert [line.split()[2] for line in told.splitlines() if "backend" in line and line.endswith("done")] == [
        "build", "backup", "rehearse", "migrate", "stage", "check",
    ]  # fmt: skip
    assert shop.query("SELECT id, filename FROM migrations") == [(1, "001_orders.sql")]
    shop.insert_orders()
    shop.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN price INTEGER NOT NULL DEFAULT 0;\n")
    new = shop.project.commit(app_py=app_source('db.execute("SELECT price FROM orders LIMIT 1")'))
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


@ENGINE_MATTERS_LITTLE
def test_what_fails_on_real_data_is_stopped_at_the_rehearsal(shop: DatabaseProject) -> None:
    shop.deploy()
    shop.insert_orders()
    before, rows, served = shop.schema(), shop.orders_digest(), shop.project.served_commits()
    shop.write_migration(
        "002_note_needed.sql",
        "CREATE TABLE better (id INTEGER PRIMARY KEY, product TEXT NOT NULL, note TEXT NOT NULL);\n"
        "INSERT INTO better SELECT * FROM orders;\nDROP TABLE orders;\nALTER TABLE better RENAME TO orders;\n",
    )
    shop.project.commit()
    told = shop.deploy(code=1)
    assert "backend      rehearse  FAILED 002_note_needed.sql:" in told
    assert (shop.schema(), shop.orders_digest(), shop.project.served_commits()) == (before, rows, served)
    assert shop.leftover_copies() == []


@ENGINE_MATTERS_LITTLE
def test_a_candidate_that_is_not_healthy_on_the_copy_is_stopped_there(shop: DatabaseProject) -> None:
    shop.deploy()
    shop.insert_orders()
    shop.project.config["services"]["backend"]["health"]["start"] = "1s"
    shop.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN prize INTEGER;\n")
    before = shop.schema()
    shop.project.commit(app_py=app_source('db.execute("SELECT price FROM orders LIMIT 1")'))
    told = shop.deploy(code=1)
    assert "rehearse  FAILED on the migrated copy: " in told
    assert shop.schema() == before


def test_a_candidate_on_the_copy_is_told_and_gets_other_variables(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    assert "the rehearsal starts the new version on a copy" in shop.deploy()
    told = project.folder.parent / "told"
    shop.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN price INTEGER;\n")
    line = f"open('{told}', 'a').write(os.environ.get('ABREAST_REHEARSAL', '0') + os.environ['MAILS'] + ' ')"
    backend = project.config["services"]["backend"]
    backend["env"] = {"MAILS": "real"}
    backend["database"]["rehearsal"] = {"env": {"MAILS": "${TEST_MAILS}"}}
    project.commit(
        app_py=app_source('db.execute("SELECT price FROM orders LIMIT 1")').replace(
            "STARTED =", f"{line}\nSTARTED =", 1
        )
    )
    assert "not set: TEST_MAILS" in shop.deploy(code=1)
    assert not told.exists()
    shop.variables["TEST_MAILS"] = "none"
    assert "the rehearsal starts" not in shop.deploy()
    assert told.read_text() == "1none 0real ", "the one on the copy, then the one with users"


def test_restore_brings_back_every_row(shop: DatabaseProject) -> None:
    shop.deploy()
    shop.insert_orders()
    before = shop.orders_digest()
    shop.run("db", "backup")
    shop.query("DROP TABLE orders")
    told = shop.run("db", "restore", "--yes").stdout
    assert "orders: no table now, 100 rows in the backup" in told
    assert shop.orders_digest() == before
    assert shop.leftover_copies() == []
    assert shop.project.served_commits()["backend"] == shop.project.status()["services"]["backend"]["commit"]


def test_the_drill_recovers_on_a_copy_and_measures(shop: DatabaseProject) -> None:
    shop.project.config["environments"]["local"]["objectives"] = {"rto": "5m", "rpo": "1h"}
    shop.project.commit()
    shop.deploy()
    shop.insert_orders()
    shop.run("db", "backup")
    told = shop.run("db", "drill").stdout
    assert "recovery time" in told
    assert shop.leftover_copies() == []
    shop.project.config["environments"]["local"]["objectives"] = {"rto": "1ms"}
    shop.project.commit()
    assert "the recovery time is" in shop.run("db", "drill", code=1).stdout


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


def test_what_the_running_version_could_not_live_with_is_refused(shop: DatabaseProject) -> None:
    shop.deploy()
    shop.project.config["environments"]["local"]["breaking"] = "block"
    shop.write_migration("002_note.sql", "ALTER TABLE orders DROP COLUMN note;\n-- irreversible: notes are gone\n")
    before = shop.schema()
    shop.project.commit()
    assert "BREAKING (blocked): 002_note.sql:1: the column orders.note is dropped" in shop.run("plan").stdout
    assert "the column orders.note is dropped: stop using it in this release" in shop.deploy(code=3)
    assert shop.schema() == before
    shop.project.config["environments"]["local"]["breaking"] = "warn"
    shop.project.commit()
    assert "BREAKING: 002_note.sql:1" in shop.deploy()
    assert shop.schema() != before


def test_a_contract_is_said_in_the_file(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.deploy()
    project.config["environments"]["local"]["breaking"] = "block"
    text = "-- contract: no version reads notes since v1\n-- irreversible: they are gone\nALTER TABLE orders DROP COLUMN note;\n"
    shop.write_migration("002_note.sql", text)
    project.commit()
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


@ENGINE_MATTERS_LITTLE
def test_a_database_that_is_empty_all_at_once_is_not_migrated(shop: DatabaseProject) -> None:
    shop.deploy()
    shop.insert_orders()
    shop.run("db", "backup")
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


# ── the way back ───────────────────────────────────────────────────────────────────────────────


@ENGINE_MATTERS_LITTLE
def test_rollback_takes_the_schema_back_where_that_is_declared_safe(shop: DatabaseProject) -> None:
    shop.deploy()
    shop.insert_orders()
    first, before = shop.project.served_commits(), shop.schema()
    shop.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN price integer;\n")
    shop.write_migration("002_price.down.sql", "-- safe\nALTER TABLE orders DROP COLUMN price;\n")
    shop.project.commit(app_py=app_source('db.execute("SELECT price FROM orders LIMIT 1")'))
    shop.deploy()
    count = len(shop.backups())
    told = shop.run("rollback", "--reason", "no", "--yes").stdout
    assert "revert 002_price.sql after the traffic switch and a backup" in told
    assert shop.project.served_commits() == first
    assert [column for column in shop.schema() if "migrations" not in column[0]] == [
        column for column in before if "migrations" not in column[0]
    ]
    assert shop.query("SELECT filename FROM migrations") == [("001_orders.sql",)]
    assert len(shop.backups()) == count + 1, "after a fresh backup"
    assert shop.leftover_copies() == []


@pytest.mark.parametrize(
    ("down", "why"),
    [(None, "002_price.sql has no down step"),
     ("ALTER TABLE orders DROP COLUMN price;", "the down step of 002_price.sql is not declared safe")],
)  # fmt: skip
def test_rollback_says_where_the_schema_stays(project: SampleProject, down: str | None, why: str) -> None:
    shop = DatabaseProject(project)
    shop.deploy()
    first = project.served_commits()
    shop.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN price integer;\n")
    if down:
        shop.write_migration("002_price.down.sql", down)
    project.commit()
    shop.deploy()
    migrated = shop.schema()
    assert f"the schema is not reverted: {why}" in shop.run("rollback", "--reason", "no", "--yes").stdout
    assert (project.served_commits(), shop.schema()) == (first, migrated)
    project.commit(app_py=app_source('db.execute("SELECT price FROM orders LIMIT 1")'))
    shop.deploy()


@pytest.mark.exhaustive
def test_rollback_restores_the_data_where_that_is_asked_for(shop: DatabaseProject) -> None:
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


def test_nobody_is_asked_where_nobody_is(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.deploy()
    shop.run("db", "backup")
    assert "cannot ask for confirmation" in shop.run("db", "restore", code=2).stderr


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


@ENGINE_MATTERS_LITTLE
def test_a_failure_after_the_turn_takes_the_migration_back(shop: DatabaseProject, tmp_path: Path) -> None:
    shop.deploy()
    shop.insert_orders()
    first, rows = shop.project.served_commits(), shop.orders_digest()
    shop.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN price integer;\n")
    shop.write_migration("002_price.down.sql", "-- safe\nALTER TABLE orders DROP COLUMN price;\n")
    shop.project.config["environments"]["local"]["settle"] = "20s"
    commit = shop.project.commit(app_py=app_source(f'assert not os.path.exists("{tmp_path}/sick")'))
    with falling_sick(shop.project, commit, tmp_path / "sick"):
        shop.deploy(code=1)
    assert shop.project.served_commits() == first
    assert "price" not in str(shop.schema())
    assert shop.orders_digest() == rows
    assert shop.leftover_copies() == []


@pytest.mark.exhaustive
def test_a_migration_stays_where_its_service_stays_and_another_fails_alone(
    shop: DatabaseProject, tmp_path: Path
) -> None:
    project, sick = shop.project, tmp_path / "sick"
    mail = APP_SOURCE.replace(HEALTHY, f'    return (503, {{}}) if os.path.exists("{sick}") else (200, {{}})\n')
    project.config["services"]["mail"] = {
        "run": f"exec {sys.executable} -S mail.py", "health": {"path": "/health", "hold": "0s", "start": "5s"},
    }  # fmt: skip
    project.config["environments"]["local"] |= {"mail": {"local": {"port": free_ports(1)[0]}}}
    project.config["on_failure"] = "alone"
    project.commit(mail_py=mail)
    shop.deploy()
    project.config["environments"]["local"]["settle"] = "10s"
    shop.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN price integer;\n")
    shop.write_migration("002_price.down.sql", "-- safe\nALTER TABLE orders DROP COLUMN price;\n")
    commit = project.commit(app_py=app_source('db.execute("SELECT price FROM orders LIMIT 1")'))
    with falling_sick(project, commit, sick):
        shop.deploy(code=1)
    assert project.served_commits()["backend"] == commit
    assert project.status()["services"]["mail"]["commit"] != commit
    assert "price" in str(shop.schema())
    assert shop.leftover_copies() == []


@pytest.mark.parametrize(("down", "stays"), [("-- safe\nALTER TABLE orders DROP COLUMN price;", False), (None, True)])
def test_a_failure_after_the_migration_takes_it_back_or_says_that_it_stays(
    shop: DatabaseProject, down: str | None, *, stays: bool
) -> None:
    shop.deploy()
    shop.insert_orders()
    before, first, rows = shop.schema(), shop.project.served_commits(), shop.orders_digest()
    shop.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN price integer;\n")
    if down:
        shop.write_migration("002_price.down.sql", down)
    shop.project.config["services"]["backend"]["health"]["start"] = "1s"
    shop.project.commit(app_py=app_source('assert "rehearsal" in url'))  # healthy on the copy only
    told = shop.deploy(code=1)
    assert shop.project.served_commits() == first
    assert ("price" in str(shop.schema())) == stays
    if stays:
        assert "the schema keeps 002_price.sql: 002_price.sql has no down step" in told
    else:
        assert [column for column in shop.schema() if "migr" not in column[0]] == [
            column for column in before if "migr" not in column[0]
        ]
        assert shop.orders_digest() == rows
    assert shop.leftover_copies() == []
