"""The commands for databases: status, list, migrate, rehearse, schedules; and what they never show."""

import json
import resource
import signal
import subprocess
from pathlib import Path

import pyrage  # type: ignore[import-untyped]
import pytest

from crash_relay import latest_deployment
from database_project import DatabaseProject, app_source
from sample_project import SampleProject, eventually, wait_for_exit
from terminal import CTRL_C, Terminal, print_screen_on_failure

EVERY_SECOND = "* * * * * *"
THREE_MEGABYTES = 3 * 1024 * 1024
TEN_MEGABYTES = (
    "INSERT INTO orders (product) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10000)"
    " SELECT hex(randomblob(500)) FROM n"
)


@pytest.mark.smoke
def test_status_says_what_ran_what_is_pending_and_how_old_the_newest_backup_is(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.deploy()
    shop.insert_orders(3)
    shop.write_migration("002_more.sql", "CREATE TABLE more (id integer);\nALTER TABLE orders DROP COLUMN note;\n")
    project.commit()
    told = shop.run("db", "status").stdout
    assert "backend: sqlite 3." in told
    assert "migrations: 1 applied, latest 001_orders.sql" in told
    assert "pending: 002_more.sql" in told
    assert "BREAKING: 002_more.sql:2: the column orders.note is dropped" in told
    assert "newest backup: local/backend/" in told
    found = json.loads(shop.run("db", "status", "--json").stdout)["backend"]
    assert (found["rows"]["orders"], found["pending"], found["owner"]) == (3, ["002_more.sql"], "shop/local/backend")
    project.config["environments"]["local"]["objectives"] = {"rpo": "1ms"}
    project.commit()
    assert "FAULT: the newest recovery point is" in shop.run("db", "status", code=1).stdout


def test_migrate_without_a_deployment_and_a_rehearsal_that_fails_touches_nothing(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.deploy()
    shop.insert_orders(3)
    served, before = project.served_commits(), shop.schema()
    fails = "CREATE UNIQUE INDEX once ON orders (note);\nUPDATE orders SET note = 'same';\n"
    shop.write_migration("002_more.sql", fails)
    project.commit()
    assert "002_more.sql:2: UNIQUE constraint failed" in shop.run("db", "rehearse", code=1).stdout
    assert shop.schema() == before
    assert shop.leftover_copies() == []
    shop.write_migration("002_more.sql", "CREATE TABLE more (id integer);\n")
    project.commit()
    told = shop.run("db", "rehearse").stdout
    assert "+ table more (id)" in told
    assert "more" not in str(shop.schema())
    told = shop.run("db", "migrate", "--yes").stdout
    assert "migrate   done" in told
    assert "more" in str(shop.schema())
    assert project.served_commits() == served
    assert "nothing to do" in shop.run("db", "migrate", "--yes").stdout
    assert shop.leftover_copies() == []
    kinds = [deployment["kind"] for deployment in json.loads(shop.run("history", "--json").stdout)]
    assert kinds == ["migrate", "rehearse", "rehearse", "deploy"]
    assert json.loads(shop.run("status", "--json").stdout)["environments"]["local"]["release"] == "v1"


def test_without_a_database_it_is_said(project: SampleProject) -> None:
    commands = [("backup",), ("list",), ("status",), ("drill",), ("migrate", "--yes")]
    for command in commands:
        assert "no service has a database" in project.run("db", *command, code=2).stderr, command
    shop = DatabaseProject(project)
    for command in commands:
        told = shop.run("db", *command, "--service", "frontend", code=2).stderr
        assert "frontend has no database" in told, command


def test_what_must_not_be_restored_is_not(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.deploy()
    assert "there is no backup 'v7' of backend in local" in shop.run("db", "restore", "v7", "--yes", code=2).stderr
    name = shop.backups()[0]["name"]
    note = project.folder / ".abreast" / "backups" / f"{name}.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), "verified": ""}))
    told = shop.run("db", "restore", name.rpartition("/")[2], "--yes", code=1).stderr
    assert "was never verified" in told


def test_a_restore_that_fails_leaves_what_was(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.deploy()
    shop.query(TEN_MEGABYTES)
    shop.run("db", "backup")
    shop.insert_orders(10)
    before = shop.orders_digest()
    name = shop.backups()[0]["name"]
    restore = ("db", "restore", name.rpartition("/")[2], "--yes")
    assert "free disk space" in limited(shop, THREE_MEGABYTES, *restore)
    assert shop.orders_digest() == before
    assert shop.leftover_copies() == []
    sealed = project.folder / ".abreast" / "backups" / f"{name}.dump.zst.age"
    sealed.write_bytes(sealed.read_bytes()[:-500])
    told = shop.run(*restore, code=1).stdout
    assert "is truncated or was changed" in told
    assert "next: abreast db list shows what can be restored; then: abreast db restore BACKUP --env local" in told
    assert shop.orders_digest() == before
    assert shop.leftover_copies() == []


def test_the_same_restore_again_does_not_restore_the_damage(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.deploy()
    shop.insert_orders(5)
    shop.run("db", "backup")
    good = shop.orders_digest()
    for _ in range(2):
        shop.query("DELETE FROM orders WHERE id > 1")
        shop.run("db", "restore", "--yes")
        assert shop.orders_digest() == good
    assert sum(backup["before_restore"] for backup in shop.backups()) == 2
    assert "verified, before a restore" in shop.run("db", "list").stdout


def test_where_the_newest_backup_is_damaged_the_one_before_is_restored(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.deploy()
    shop.insert_orders(5)
    shop.run("db", "backup")
    good = shop.orders_digest()
    shop.insert_orders(2)
    shop.run("db", "backup")
    newest, older, *_ = (backup["name"] for backup in shop.backups())
    sealed = project.folder / ".abreast" / "backups" / f"{newest}.dump.zst.age"
    sealed.write_bytes(sealed.read_bytes()[:-3] + b"rot")
    assert f"{older}  7 rows, verified" in shop.run("db", "verify", older.rpartition("/")[2]).stdout
    assert f"{newest}  CANNOT BE RESTORED" in shop.run("db", "verify", code=1).stdout
    told = shop.run("db", "verify", "--all", code=1).stdout
    assert (f"{older}  7 rows, verified" in told, f"{newest}  CANNOT" in told) == (True, True)
    assert shop.leftover_copies() == []

    assert "truncated or was changed" in shop.run("db", "restore", newest.rpartition("/")[2], "--yes", code=1).stdout
    told = shop.run("db", "restore", "--yes").stdout
    assert f"{newest} cannot be restored: " in told
    assert f"Going on with {older}" in told
    assert shop.orders_digest() == good


def test_without_room_for_the_copy_nothing_is_migrated(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.deploy()
    shop.query(TEN_MEGABYTES)
    before = shop.schema()
    shop.write_migration("002_more.sql", "CREATE TABLE more (id integer);\n")
    project.commit()
    assert "backup    FAILED" in limited(shop, THREE_MEGABYTES, "deploy", "--yes")
    assert shop.schema() == before
    assert shop.leftover_copies() == []
    shop.deploy()


def limited(shop: DatabaseProject, size: int, *arguments: str) -> str:
    """Run a command that may write no file beyond ``size`` bytes, and that fails; returns what it told."""
    command = shop.project.start(*arguments, variables=shop.variables)
    resource.prlimit(command.pid, resource.RLIMIT_FSIZE, (size, size))
    assert wait_for_exit(command) == 1
    assert "Traceback" not in command.output
    return command.output


def test_the_configuration_and_the_variables_belong_to_a_backup_sealed(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    project.config["services"]["backend"]["env"] = {"API_TOKEN": "${API_TOKEN}"}
    shop.variables["API_TOKEN"] = "xq7-sentinel-of-a-backup"
    project.commit()
    shop.deploy()
    backups = project.folder / ".abreast" / "backups"
    sealed = (backups / f"{shop.backups()[0]['name']}.about.age").read_bytes()
    key = pyrage.x25519.Identity.from_str((project.folder / ".abreast" / "backup.key").read_text().splitlines()[1])
    around = json.loads(pyrage.decrypt(sealed, [key]))
    assert around["variables"]["backend"] == {"API_TOKEN": "xq7-sentinel-of-a-backup"}
    assert around["abreast.yml"] == (project.folder / "abreast.yml").read_text()
    found = subprocess.run(
        ["grep", "-rlF", "xq7-sentinel", ".abreast"], cwd=project.folder, capture_output=True, check=False
    )
    assert found.stdout == b""


@pytest.mark.parametrize(("timezone", "due"), [(None, "03:00:00 UTC"), ("Asia/Tokyo", "18:00:00 UTC")])
def test_the_schedule_is_in_utc_or_in_its_time_zone_wherever_it_runs(
    project: SampleProject, timezone: str | None, due: str
) -> None:
    shop = DatabaseProject(project)
    project.config["backups"] = {"schedule": "0 3 * * *", **({"timezone": timezone} if timezone else {})}
    project.commit()
    running = project.start("db", "backup", "--scheduled", variables={**shop.variables, "TZ": "America/New_York"})
    eventually(lambda: f"{due}\n" in running.output)
    running.send_signal(signal.SIGTERM)
    wait_for_exit(running)


def notes(project: SampleProject) -> list[Path]:
    """Return the file beside each backup: to ask `abreast db list` again and again takes more than the backups."""
    return [*(project.folder / ".abreast" / "backups").rglob("*.json")]


@pytest.mark.timeout(200)
def test_on_a_schedule_and_an_alert_where_it_fails(project: SampleProject, tmp_path: Path) -> None:
    shop = DatabaseProject(project)
    project.config["backups"] = {
        "schedule": EVERY_SECOND,
        "drill": EVERY_SECOND,
        "alert": f'echo "$ABREAST_ALERT" > {tmp_path}/alert',
    }
    project.config["environments"]["local"]["objectives"] = {"rto": "1ms"}
    project.commit()
    shop.deploy()
    known = len(shop.backups())
    assert len(notes(project)) == known
    running = [project.start("db", verb, "--scheduled", variables=shop.variables) for verb in ("backup", "drill")]
    try:
        eventually(lambda: len(notes(project)) > known, 90)
        eventually(lambda: (tmp_path / "alert").exists() and (tmp_path / "alert").read_text(), 90)
    finally:
        for command in running:
            command.send_signal(signal.SIGINT)
        for command in running:
            command.wait(90)
    assert len(shop.backups()) > known
    assert "the drill failed" in (tmp_path / "alert").read_text()


@pytest.fixture
def waiting(project: SampleProject, tmp_path: Path) -> DatabaseProject:
    """A shop whose drill waits for a release that is healthy."""
    shop = DatabaseProject(project)
    project.config["backups"] = {"drill": EVERY_SECOND}
    project.config["services"]["backend"]["health"]["start"] = "90s"
    project.commit(app_py=app_source(f'assert not os.path.exists("{tmp_path}/sick")'))
    shop.deploy()
    shop.run("db", "backup")
    (tmp_path / "sick").touch()
    return shop


def at_check(project: SampleProject) -> bool:
    latest = latest_deployment(project.folder)
    return (latest.kind, latest.chapter) == ("drill", "check")


@pytest.mark.timeout(200)
def test_a_schedule_ends_when_its_drill_is_ended(project: SampleProject, waiting: DatabaseProject) -> None:
    running = project.start("db", "drill", "--scheduled", variables=waiting.variables)
    try:
        eventually(lambda: at_check(project), 120)
        running.send_signal(signal.SIGTERM)
        assert running.wait(60) == 1
    finally:
        running.kill()
    assert project.latest_deployment()["state"] == "cancelled"


@pytest.mark.timeout(200)
def test_a_schedule_ends_when_its_drill_is_turned_back_at_the_terminal(
    project: SampleProject, waiting: DatabaseProject
) -> None:
    at = Terminal(project, "db", "drill", "--scheduled", variables=waiting.variables)
    try:
        with print_screen_on_failure(at):
            eventually(lambda: at_check(project), 120)
            at.type(CTRL_C)
            eventually(lambda: at.shows("[t]urn back, [l]eave it to be resumed, or [g]o on?"))
            at.type("t\n")
            assert at.process.wait(60) == 1
    finally:
        at.close()
    assert project.latest_deployment()["state"] == "cancelled"


def test_the_password_of_a_database_appears_nowhere(project: SampleProject) -> None:
    shop = DatabaseProject(project, "postgresql")
    said = [shop.deploy()]
    shop.insert_orders(3)
    shop.write_migration("002_bad.sql", "ALTER TABLE orders ADD COLUMN price integer;\nSELECT 1 / 0;\n")
    project.commit()
    said.append(shop.deploy(code=1))
    for arguments in (
        ["db", "backup"],
        ["db", "list"],
        ["db", "status", "--json"],
        ["db", "drill"],
        ["plan", "--json"],
    ):
        done = shop.run(*arguments, code=None)
        said.append(done.stdout + done.stderr)
    shop.variables["SHOP_DATABASE_URL"] = shop.url.replace("@127.0.0.1", "@127.0.0.2:1,127.0.0.1")
    done = shop.run("db", "status", code=None)
    said.append(done.stdout + done.stderr)
    for secret in ("pa55 w%rd", "pa55%20w"):
        assert not any(secret in text for text in said), [text for text in said if secret in text]
        found = subprocess.run(
            ["grep", "-rlaF", secret, ".abreast"], cwd=project.folder, capture_output=True, text=True, check=False
        )
        assert found.stdout == ""


def test_the_doctor_looks_at_databases(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.deploy()
    told = shop.run("doctor").stdout
    assert "backend (database)  sqlite 3." in told
    assert "the newest recovery point is 0.0 hours old" in told
    shop.sqlite_file.write_bytes(b"no database " * 1000)
    assert "file is not a database" in shop.run("doctor", code=1).stdout


def test_a_drill_after_data_were_rolled_back_recovers_what_is_live(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.deploy()
    shop.insert_orders(3)
    shop.write_migration("002_more.sql", "CREATE TABLE more (id integer);\n")
    project.commit()
    shop.deploy()
    shop.run("db", "backup")
    left = shop.backups()[0]["name"]
    shop.run("rollback", "--restore-data", "--reason", "no", "--yes")
    assert "more" not in str(shop.schema())
    told = shop.run("db", "drill").stdout
    assert "recovery time" in told
    assert left not in told, "that backup is of a history that was left"
    assert shop.backups()[0]["release"] == "v1"
    assert left in {backup["name"] for backup in shop.backups()}, "who names it can still have it"


def test_a_person_can_migrate_though_the_backup_cannot_be_verified(project: SampleProject) -> None:
    shop = DatabaseProject(project, "postgresql")
    project.config["environments"]["local"]["may_skip"] = ["backup"]
    project.commit()
    shop.deploy()
    shop.query(
        "CREATE FUNCTION total() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM orders); END'"
    )
    shop.query("CREATE MATERIALIZED VIEW totals AS SELECT total()")  # pg_restore refreshes it without a search_path
    shop.write_migration("002_more.sql", "CREATE TABLE more (id integer);\n")
    project.commit()
    told = shop.deploy(code=1)
    assert "REFRESH MATERIALIZED VIEW" in told or "pg_restore" in told
    assert "--skip-gate backup" in told
    assert "more" not in str(shop.schema())
    told = shop.deploy("--skip-gate", "backup", "--reason", "the view is rebuilt every night")
    assert "cannot be restored" in told
    assert "not rehearsed, as accepted by" in told
    assert "the view is rebuilt every night" in told
    assert "more" in str(shop.schema())
    assert not shop.backups()[0]["verified"]
