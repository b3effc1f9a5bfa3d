"""Migrators of others: Alembic, Knex, dbmate; each with its own way to say what is pending, and back."""

import sys
from pathlib import Path

import pytest

from database_project import ALEMBIC_ENV, ALEMBIC_STEP, DatabaseProject, app_source, migrator_source
from npm import install_packages
from sample_project import APP_SOURCE, SampleProject


def write(project: SampleProject, **files: str) -> None:
    for name, text in files.items():
        file = project.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.exhaustive)])
def shop(request: pytest.FixtureRequest, project: SampleProject) -> DatabaseProject:
    made = DatabaseProject(project, request.param)
    del project.config["services"]["backend"]["database"]["migrations"]
    return made


def with_a_command(project: SampleProject, down: str) -> DatabaseProject:
    """Return a shop whose second release brings a column by a command."""
    shop = DatabaseProject(project)
    backend = project.config["services"]["backend"]
    backend["health"]["start"] = "1s"
    backend["database"] = {
        "url": "${SHOP_DATABASE_URL}",
        "command": f"{sys.executable} step.py up",
        "down": f"{sys.executable} step.py down",
    }
    project.commit(step_py=migrator_source(price=False, down=down))
    shop.deploy()
    project.commit(
        step_py=migrator_source(price=True, down=down),
        app_py=app_source('db.execute("SELECT price FROM orders LIMIT 1")'),
    )
    shop.deploy()
    assert "price" in str(shop.schema())
    return shop


@pytest.mark.smoke
def test_a_way_back_by_a_command_is_no_break(project: SampleProject) -> None:
    project.config["environments"]["local"]["breaking"] = "block"
    shop = with_a_command(project, "ALTER TABLE orders DROP COLUMN price")
    assert f"migrations: run by `{sys.executable} step.py up`" in shop.run("db", "status").stdout
    told = shop.run("rollback", "--reason", "no", "--yes").stdout
    assert f"database: run `{sys.executable} step.py down` after the traffic switch" in told
    assert "step.py up" not in told
    assert "price" not in str(shop.schema())


def test_what_an_earlier_release_brought_stays_when_a_later_one_fails_and_comes_back_after_a_restore(
    project: SampleProject,
) -> None:
    shop = with_a_command(project, "ALTER TABLE orders DROP COLUMN price")
    older = shop.backups()[0]["name"].rpartition("/")[2]
    project.commit(app_py=app_source('assert "rehearsal" in url'))
    shop.deploy(code=1)
    assert project.latest_deployment()["state"] == "turned-back"
    assert "price" in str(shop.schema()), "the release that is live needs it"

    project.commit(step_py="raise SystemExit('not this one: it is not live')")
    assert "recovery time" in shop.run("db", "drill").stdout
    shop.run("db", "restore", older, "--yes")
    assert "price" not in str(shop.schema())
    shop.run("db", "migrate", "--yes")
    assert "price" in str(shop.schema())


def test_only_what_the_latest_release_brought_is_reverted(project: SampleProject) -> None:
    shop = with_a_command(project, "ALTER TABLE orders DROP COLUMN price")
    project.config["services"]["backend"]["database"]["status"] = "true"
    project.commit()
    assert "`true`: nothing to do" in shop.deploy()
    before = shop.schema()
    assert "step.py down" not in shop.run("rollback", "--reason", "no", "--yes").stdout, "it brought nothing"
    told = shop.run("rollback", "--to", "v1", "--reason", "no", "--yes").stdout
    assert "the schema is not reverted: " in told
    assert "may have run for several releases since" in told
    assert shop.schema() == before


def test_a_command_needs_what_was_built(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    backend = project.config["services"]["backend"]
    backend["database"] = {"url": "${SHOP_DATABASE_URL}", "command": "true"}
    project.commit()
    done = shop.run("db", "migrate", "--yes", code=1)
    assert "`true` runs inside the live artifact, and nothing is live yet" in done.stdout + done.stderr


@pytest.mark.exhaustive
def test_a_way_back_that_changes_no_table_is_run_too(project: SampleProject) -> None:
    shop = with_a_command(project, "UPDATE orders SET note = 'back'")
    shop.insert_orders(3)
    shop.run("rollback", "--reason", "no", "--yes")
    assert shop.query("SELECT DISTINCT note FROM orders") == [("back",)]


@pytest.mark.exhaustive
@pytest.mark.timeout(280)
def test_alembic(project: SampleProject) -> None:
    """With PostgreSQL; with SQLite, it is an example of docs/databases.md."""
    shop = DatabaseProject(project, "postgresql")
    del project.config["services"]["backend"]["database"]["migrations"]
    alembic = f"{Path(sys.executable).parent}/alembic"
    project.config["services"]["backend"]["database"] |= {
        "command": f"{alembic} upgrade head",
        "status": f"{alembic} current --check-heads",
        "down": f"{alembic} downgrade -1",
    }
    orders = 'op.create_table("orders", sa.Column("id", sa.Integer, primary_key=True), sa.Column("product", sa.Text), sa.Column("note", sa.Text))'
    write(
        project,
        **{
            "alembic.ini": "[alembic]\nscript_location = steps\npath_separator = os\n",
            "steps/env.py": ALEMBIC_ENV,
            "steps/versions/1.py": ALEMBIC_STEP.format(
                number=1, before=None, up=orders, down='op.drop_table("orders")'
            ),
        },
    )
    project.commit()
    assert "upgrade head`" in shop.run("plan").stdout
    shop.deploy()
    shop.insert_orders(5)
    second = ALEMBIC_STEP.format(
        number=2, before='"1"', up='op.add_column("orders", sa.Column("price", sa.Integer))',
        down='op.drop_column("orders", "price")',
    )  # fmt: skip
    write(project, **{"steps/versions/2.py": second})
    project.commit(app_py=app_source('db.execute("SELECT price FROM orders LIMIT 1")'))
    assert "rehearse  note + column orders.price: integer" in shop.deploy().lower()
    assert "price" in str(shop.schema())
    shop.run("rollback", "--reason", "no", "--yes")
    assert "price" not in str(shop.schema())


def test_what_a_migrator_breaks_is_seen_in_the_rehearsal(shop: DatabaseProject) -> None:
    project = shop.project
    program = "import os, sys; sys.path.insert(0, '.'); import step"
    connect = "import os, sqlite3\nurl = os.environ['DATABASE_URL']\n" + (
        "db = sqlite3.connect(url.removeprefix('sqlite:///'))\n"
        if shop.engine == "sqlite"
        else "import psycopg\ndb = psycopg.connect(url)\n"
    )
    text = "db.execute('{}')\ndb.commit()\ndb.close()\n"
    project.config["services"]["backend"]["database"]["command"] = f'{sys.executable} -c "{program}"'
    create = "CREATE TABLE IF NOT EXISTS orders (id integer PRIMARY KEY, product text, note text)"
    project.commit(step_py=connect + text.format(create))
    shop.deploy()
    shop.insert_orders(3)
    before = shop.schema()
    project.config["environments"]["local"]["breaking"] = "block"
    project.commit(step_py=connect + text.format("ALTER TABLE orders DROP COLUMN note"))
    told = shop.deploy(code=1)
    assert "BREAKING: the column orders.note is gone" in told
    assert "rehearse  FAILED this would break the running version" in told
    assert shop.schema() == before


def test_a_migrator_that_could_not_be_led_to_a_copy_is_not_run(project: SampleProject) -> None:
    shop = DatabaseProject(project)
    backend = project.config["services"]["backend"]
    backend["database"] = {"url": "${SHOP_DATABASE_URL}", "command": "exit 7"}
    backend["env"] = {"DATABASE_URL": "${ELSE_URL}"}
    shop.variables["ELSE_URL"] = "sqlite:////somewhere/else.db"
    project.commit()
    told = shop.deploy(code=1)
    assert "no variable of backend holds its database URL" in told
    backend["env"] = {}
    project.commit()
    assert "rehearse  FAILED `exit 7`: exit code 7" in shop.deploy(code=1)


def test_a_migrator_that_gets_its_address_elsewhere_is_led_to_the_copy_or_found_out(
    project: SampleProject, tmp_path: Path
) -> None:
    shop = DatabaseProject(project, "postgresql")
    backend = project.config["services"]["backend"]
    backend["database"] = {"url": "${SHOP_DATABASE_URL}", "command": "true"}
    project.commit(app_py=APP_SOURCE)
    shop.deploy()
    before = shop.schema()

    # Another spelling, in another variable: it is led to the copy.
    backend["database"]["command"] = connecting_program("os.environ['DIRECT_URL']")
    shop.variables["OTHER_URL"] = shop.url.replace("127.0.0.1", "localhost")
    backend["env"] = {"DIRECT_URL": "${OTHER_URL}"}
    backend["health"]["start"] = "1s"
    project.commit(app_py="raise SystemExit('a candidate that never starts')")
    assert "+ table led" in shop.deploy(code=1)
    assert shop.schema() == before

    # A file: it reaches the real database.
    (tmp_path / "address").write_text(shop.url)
    backend["database"]["command"] = connecting_program(f"open('{tmp_path}/address').read()")
    project.commit()
    told = shop.deploy(code=1)
    assert "rehearse  FAILED the rehearsal changed the real database (+ table led" in told
    assert "abreast db restore --env local" in told


def connecting_program(address: str) -> str:
    """Return a command that makes a table in the database at this address, a Python expression."""
    statement = "CREATE TABLE IF NOT EXISTS led (id int)"
    program = f"import os, psycopg; psycopg.connect({address}, autocommit=True).execute('{statement}')"
    return f'{sys.executable} -c "{program}"'


@pytest.mark.exhaustive
def test_knex(project: SampleProject) -> None:
    bin_ = install_packages("knex", "knex@3.1.0", "pg@8.16.3")
    shop = DatabaseProject(project, "postgresql")
    project.config["services"]["backend"]["database"] = {
        "url": "${SHOP_DATABASE_URL}",
        "command": "node_modules/.bin/knex migrate:latest",
        "down": "node_modules/.bin/knex migrate:rollback",
    }
    project.config["services"]["backend"]["build"] = f"ln -s {bin_.parent} node_modules"
    write(
        project,
        **{
            "knexfile.js": "module.exports = {client: 'pg', connection: process.env.DATABASE_URL, migrations: {directory: './steps'}};\n",
            "steps/001_orders.js": "exports.up = k => k.schema.createTable('orders', t => { t.integer('id').primary(); t.text('product'); t.text('note'); });\n"
            "exports.down = k => k.schema.dropTable('orders');\n",
        },
    )
    project.commit()
    shop.deploy()
    shop.insert_orders(5)
    write(
        project,
        **{
            "steps/002_price.js": "exports.up = k => k.schema.alterTable('orders', t => t.integer('price'));\n"
            "exports.down = k => k.schema.alterTable('orders', t => t.dropColumn('price'));\n"
        },
    )
    project.commit(app_py=app_source('db.execute("SELECT price FROM orders LIMIT 1")'))
    assert "+ column orders.price: integer" in shop.deploy()
    shop.run("rollback", "--reason", "no", "--yes")
    assert "price" not in str(shop.schema())
    assert shop.leftover_copies() == []


def test_dbmate(project: SampleProject) -> None:
    bin_ = install_packages("dbmate", "dbmate@2.28.0")
    shop = DatabaseProject(project)
    mate = f"{bin_}/dbmate --no-dump-schema --migrations-dir steps"
    project.config["services"]["backend"]["database"] = {
        "url": "${SHOP_DATABASE_URL}",
        "command": f"{mate} up",
        "status": f"{mate} status --exit-code",
    }
    file = "-- migrate:up\n{}\n-- migrate:down\n"
    write(
        project, **{"steps/001_orders.sql": file.format("CREATE TABLE orders (id INTEGER PRIMARY KEY, product TEXT);")}
    )
    project.commit()
    shop.deploy()
    shop.insert_orders(5)
    project.commit()
    assert "status --exit-code`: nothing to do" in shop.deploy()
    write(project, **{"steps/002_price.sql": file.format("ALTER TABLE orders ADD COLUMN price INTEGER NOT NULL;")})
    before = shop.schema()
    project.commit()
    assert "rehearse  FAILED" in shop.deploy(code=1), "it fails on rows, and passes where there are none"
    assert shop.schema() == before
