"""Projects that another tool migrated so far: its files, its history, and tables that have the name of ours."""

import os
import subprocess

import pytest

from database_project import FIRST_MIGRATION, DatabaseProject
from npm import install_packages
from sample_project import SampleProject

GOOSE = """-- +goose Up
-- +goose StatementBegin
ALTER TABLE orders ADD COLUMN price integer;
-- +goose StatementEnd

-- +goose Down
DROP TABLE orders;
"""


@pytest.mark.smoke
def test_a_file_of_goose_keeps_the_table_that_its_down_section_drops(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.deploy()
    shop.insert_orders(1000)
    shop.write_migration("002_price.sql", GOOSE)
    project.commit()
    shop.run("db", "migrate", "--yes")
    assert shop.query("SELECT count(*), count(price) FROM orders") == [(1000, 0)]


def test_sections_of_an_unknown_tool_stop_before_anything_runs(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.deploy()
    shop.insert_orders(10)
    shop.write_migration("002_drop.sql", "CREATE TABLE prices (id integer);\n-- //@UNDO\nDROP TABLE orders;\n")
    project.commit()
    refused = shop.run("db", "migrate", "--yes", code=2)
    assert "migrations/002_drop.sql:2: sections of MyBatis Migrations" in refused.stderr
    assert shop.query("SELECT count(*) FROM orders") == [(10,)]


def test_the_history_of_node_pg_migrate_is_adopted(project: SampleProject) -> None:
    bin_ = install_packages("node-pg-migrate", "node-pg-migrate@8.0.3", "pg@8.16.3")
    shop = DatabaseProject(project, "postgresql")
    (project.folder / "migrations" / "001_orders.sql").unlink()
    shop.write_migration(
        "1700000000000_orders.sql", f"-- Up Migration\n{FIRST_MIGRATION}-- Down Migration\nDROP TABLE orders;\n"
    )
    command = [str(bin_ / "node-pg-migrate"), "up", "--migration-file-language", "sql"]
    done = subprocess.run(
        command,
        cwd=project.folder,
        env={**os.environ, "DATABASE_URL": shop.url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    shop.insert_orders(5)
    shop.write_migration("1700000000001_price.sql", "-- Up Migration\nALTER TABLE orders ADD COLUMN price integer;\n")
    project.commit()
    adopt(shop, "node-pg-migrate migrated the database of backend (pgmigrations)", "1700000000000_orders.sql")
    shop.deploy()
    assert shop.query("SELECT count(*), count(price) FROM orders") == [(5, 0)]


@pytest.mark.exhaustive
def test_the_history_of_dbmate_is_adopted(project: SampleProject) -> None:
    bin_ = install_packages("dbmate", "dbmate@2.28.0")
    shop = DatabaseProject(project)
    shop.sqlite_file.parent.mkdir(parents=True)
    shop.write_migration("001_orders.sql", f"-- migrate:up\n{FIRST_MIGRATION}-- migrate:down\nDROP TABLE orders;\n")
    command = [
        str(bin_ / "dbmate"),
        "--no-dump-schema",
        "--url",
        f"sqlite:{shop.sqlite_file}",
        "--migrations-dir",
        "migrations",
        "up",
    ]
    done = subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    shop.insert_orders(5)
    project.commit(_gitignore=".abreast\n")
    shop.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN price integer;\n")
    project.commit()
    adopt(shop, "dbmate or Rails migrated the database of backend (schema_migrations)", "001_orders.sql")
    shop.deploy()
    assert shop.query("SELECT count(*), count(price) FROM orders") == [(5, 0)]


def adopt(shop: DatabaseProject, refusal: str, adopted: str) -> None:
    """Be refused, and do what the refusal says."""
    before = shop.orders_digest()
    refused = shop.deploy(code=2)
    assert refusal in refused
    assert "abreast db baseline --env local --service backend" in refused
    assert shop.orders_digest() == before
    done = shop.run("db", "baseline", "--env", "local", "--service", "backend", "--yes")
    assert adopted in done.stdout
    assert "1 migration recorded as applied" in done.stdout
    assert "has recorded 1 migration " in shop.run("db", "baseline", "--yes", code=2).stderr


def test_a_database_that_a_person_migrated_is_adopted_up_to_a_number(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.sqlite_file.parent.mkdir(parents=True)
    shop.query(FIRST_MIGRATION)
    shop.insert_orders(3)
    assert "--to with the number" in shop.run("db", "baseline", "--yes", code=2).stderr
    assert "is not the number of a migration" in shop.run("db", "baseline", "--yes", "--to", "x", code=2).stderr
    shop.run("db", "baseline", "--yes", "--to", "001")
    shop.deploy()
    assert shop.query("SELECT count(*) FROM orders") == [(3,)]


LARAVEL = "CREATE TABLE migrations (id integer PRIMARY KEY, migration text NOT NULL, batch integer NOT NULL)"


def test_laravels_table_of_the_same_name_stops_nobody(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.sqlite_file.parent.mkdir(parents=True)
    shop.query(LARAVEL)
    shop.query("INSERT INTO migrations VALUES (1, '2014_10_12_000000_create_users_table', 1)")
    refused = shop.deploy(code=1)
    assert "another table called migrations" in refused
    assert "migrations_table: abreast_migrations" in refused
    project.config["services"]["backend"]["database"]["migrations_table"] = "abreast_migrations"
    project.commit()
    shop.deploy()
    assert shop.query("SELECT filename FROM abreast_migrations") == [("001_orders.sql",)]
    assert shop.query("SELECT batch FROM migrations") == [(1,)]
    shop.run("db", "backup")
    assert "001_orders.sql" in shop.run("db", "status").stdout


def test_laravels_table_stops_no_command(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    shop.sqlite_file.parent.mkdir(parents=True)
    shop.query(LARAVEL)
    backend = project.config["services"]["backend"]
    backend["database"] = {"url": "${SHOP_DATABASE_URL}", "command": f"sqlite3 $SHOP_FILE '{FIRST_MIGRATION}'"}
    backend["database"]["command"] = "python3 step.py"
    project.commit(
        step_py="import os, sqlite3\n"
        "db = sqlite3.connect(os.environ['DATABASE_URL'].removeprefix('sqlite:///'))\n"
        "db.execute('CREATE TABLE IF NOT EXISTS orders (id integer PRIMARY KEY, product text, note text)')\n"
    )
    shop.deploy()
    shop.run("db", "backup")
    shop.run("db", "status", code=0)
