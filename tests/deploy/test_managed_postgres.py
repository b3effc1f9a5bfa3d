"""PostgreSQL that abreast runs itself: a URL without a server makes one for the environment, on this machine."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from abreast.testing.process_tree import kill_at_once, kill_everything_of, processes_of
from database_project import DatabaseProject, app_source
from sample_project import SampleProject, eventually, wait_for_exit

TEMPLATE = "${SHOP_DATABASE_URL:-postgresql:///shop}"
PARTS = {
    "DB_HOST": "host", "DB_PORT": "port", "DB_USERNAME": "user", "DB_PASSWORD": "password", "DB_NAME": "database",
    "DB_URL": "connectionString", "DB_ASYNC_URL": "postgresql+asyncpg",
}  # fmt: skip
PROVES_PARTS = """
login = os.environ["DB_USERNAME"] + ":" + os.environ["DB_PASSWORD"]
print("a careless program tells", login, url, flush=True)
place = os.environ["DB_HOST"] + ":" + os.environ["DB_PORT"] + "/" + os.environ["DB_NAME"]
if not os.environ["DB_URL"] == url == f"postgresql://{login}@{place}": raise Exception("not the parts of the URL")
if os.environ["DB_ASYNC_URL"] != url.replace("postgresql:", "postgresql+asyncpg:"): raise Exception("another URL")
db.execute("SELECT product FROM orders LIMIT 1")
"""


def server_folder(project: SampleProject, environment: str = "local") -> Path:
    return project.folder / ".abreast" / "local" / environment / "postgres"


def password_of(project: SampleProject, environment: str = "local") -> str:
    return (server_folder(project, environment) / "password").read_text()


def url_of(project: SampleProject, environment: str = "local", database: str = "shop") -> str:
    """Return what a person needs to look into a database with any client."""
    port = (server_folder(project, environment) / "port").read_text()
    return f"postgresql://abreast:{password_of(project, environment)}@127.0.0.1:{port}/{database}"


def psql(url: str, sql: str) -> str:
    """Ask a database by PostgreSQL's own client."""
    return subprocess.run(["psql", url, "-XAtc", sql], check=True, capture_output=True, text=True).stdout.strip()


def postmaster(project: SampleProject, environment: str = "local") -> int:
    """Return the process id of the server, 0 if none runs."""
    with suppress(OSError, IndexError, ValueError):
        pid = int((server_folder(project, environment) / "data" / "postmaster.pid").read_text().split()[0])
        os.kill(pid, 0)
        return pid
    return 0


@pytest.fixture
def shop(project: SampleProject) -> DatabaseProject:
    """A shop whose code takes the parts of the URL, and whose health needs its table."""
    made = DatabaseProject(project, "postgresql", "postgresql:///shop")
    made.variables = {}
    database = project.config["services"]["backend"]["database"]
    database |= {"url": TEMPLATE, "variables": PARTS}
    made.write_migration("001_orders.down.sql", "DROP TABLE orders;\n")
    project.commit(app_py=app_source("\n        ".join(PROVES_PARTS.strip().splitlines())))
    return made


@pytest.mark.smoke
def test_it_is_made_by_the_first_deployment_and_outlives_all_others(shop: DatabaseProject) -> None:
    project = shop.project
    planned = shop.run("plan").stdout
    assert "which abreast runs on this machine: the first deployment makes it" in planned
    assert "then apply 001_orders.sql" in planned
    assert "the first deployment makes it" in shop.run("doctor", code=None).stdout
    assert "001_orders.sql" in shop.run("db", "status").stdout
    assert not server_folder(project).exists(), "a command that reads has made it"
    told = shop.deploy()
    assert "postgresql runs on this machine" in shop.run("status").stdout
    url = url_of(project)
    assert psql(url, "SELECT filename FROM migrations") == "001_orders.sql"
    psql(url, "INSERT INTO orders VALUES (1, 'tea')")
    assert psql(url, "SHOW fsync; SHOW listen_addresses; SHOW unix_socket_directories").split() == ["on", "127.0.0.1"]
    assert Path(f"/proc/{postmaster(project)}").stat().st_uid != 0

    os.kill(killed := postmaster(project), signal.SIGKILL)
    eventually(lambda: postmaster(project) not in {0, killed})
    eventually(lambda: project.status()["services"]["backend"]["health"] == "healthy")

    shop.write_migration("002_price.sql", "ALTER TABLE orders ADD COLUMN price integer NOT NULL DEFAULT 0;\n")
    shop.write_migration("002_price.down.sql", "-- safe\nALTER TABLE orders DROP COLUMN price;\n")
    project.commit()
    told += shop.deploy()
    assert "rehearse  note + column orders.price: integer" in told
    assert psql(url, "SELECT id, product, price FROM orders") == "1|tea|0"
    told += shop.run("rollback", "--yes", "--reason", "no prices", "--env", "local").stdout
    assert psql(url, "SELECT * FROM orders") == "1|tea|"

    told += shop.run("down", "--yes").stdout
    assert postmaster(project) == 0
    assert "database system is shut down" in (project.folder / ".abreast/logs/local/postgres.log").read_text()
    assert "postgresql on this machine is stopped" in shop.run("status").stdout
    assert "PostgreSQL of local does not run" in shop.run("plan").stdout
    assert "PostgreSQL of local does not run" in shop.run("db", "status", code=1).stdout
    assert postmaster(project) == 0, "a command that reads has started it"
    told += shop.run("db", "backup").stdout
    assert psql(url, "SELECT * FROM orders") == "1|tea|"
    shop.run("down", "--yes")
    assert postmaster(project) == 0, "it ran without any service"
    assert_hidden(project, password_of(project), told)
    logs = [file.read_text() for file in (project.folder / ".abreast" / "logs").rglob("*.log")]
    assert any("a careless program tells" in text for text in logs)


def assert_hidden(project: SampleProject, password: str, told: str) -> None:
    """The password is in no output, and in no file of the state but the one that has it."""
    assert password not in told
    holding = subprocess.run(
        ["grep", "-rlaF", password, project.folder / ".abreast"], check=False, capture_output=True, text=True
    ).stdout.split()
    assert holding == [str(server_folder(project) / "password")]
    assert (server_folder(project) / "password").stat().st_mode & 0o777 == 0o600


def test_killed_while_it_is_made_two_commands_make_one_and_a_preview_has_its_own(shop: DatabaseProject) -> None:
    project = shop.project
    project.config["environments"]["local"]["preview"] = {"database": "backup"}
    project.commit()
    home = server_folder(project).parent
    begun = project.start("deploy", "--yes", variables={})
    eventually(lambda: any(home.glob(".postgres-*/data/base/1")))
    begun.kill()
    assert not server_folder(project).exists()
    commands = [project.start("deploy", "--yes", variables={}), project.start("db", "migrate", "--yes", variables={})]
    assert 0 in [wait_for_exit(command) for command in commands]
    assert len([line for _, line in processes_of(server_folder(project)) if "postgres -D" in line]) == 1
    assert not [*home.glob(".postgres-*")]
    told = "".join(command.output for command in commands) + shop.deploy()
    url = url_of(project)
    psql(url, "INSERT INTO orders VALUES (1, 'tea')")

    kept = postmaster(project)
    kill_at_once(pid for pid, line in processes_of(home) if ".supervisor." in line)
    shop.run("db", "backup")
    assert postmaster(project) == kept, "the next supervisor adopts it"

    kill_everything_of(home)  # as a reboot does
    preview = "local-pr-7"
    project.commit("A new text", app_py=(project.folder / "app.py").read_text() + "\n# new\n")
    told += shop.deploy("--env", preview)
    assert psql(url_of(project, preview, "shop_preview-7"), "SELECT product FROM orders") == "tea"
    assert postmaster(project) == 0, "a deployment of another environment has started it"
    shop.run("down", "--env", preview, "--yes")
    assert not server_folder(project, preview).exists()
    assert "postgresql on this machine is stopped. next: abreast deploy" in shop.run("status").stdout
    told += shop.deploy()
    assert psql(url, "SELECT product FROM orders") == "tea"
    assert project.status()["services"]["backend"]["health"] == "healthy"
    assert_hidden(project, password_of(project), told)

    shop.run("down", "--yes")
    assert postmaster(project) == 0
    assert_what_it_cannot_do_is_said(shop)


def assert_what_it_cannot_do_is_said(shop: DatabaseProject) -> None:
    """The port of a server that is stopped is taken, or its files are another PostgreSQL's: nothing is built."""
    folder = server_folder(shop.project)
    with socket.create_server(("127.0.0.1", int((folder / "port").read_text()))):
        told = shop.run("deploy", "--yes", code=1).stderr
        assert "which PostgreSQL of local has, is taken by" in told
        assert "or write a free port to" in told
        planned = shop.run("plan").stdout
        assert "which PostgreSQL of local has, is taken by" in planned, planned
    (folder / "data" / "PG_VERSION").write_text("9\n")
    assert "the server of PostgreSQL 9 is not installed" in shop.run("deploy", "--yes", code=1).stderr


WITHOUT_SERVER = """
import sys
from abreast.database.postgres import programs
programs.PLACES = ()
from abreast.cli.run import run
print("planned", run(["plan"]), flush=True)
sys.exit(run(["deploy", "--yes"]))
"""


def test_without_postgresql_the_plan_says_what_is_needed_and_nothing_is_built(shop: DatabaseProject) -> None:
    project = shop.project
    variables = {**os.environ, "PATH": os.path.dirname(sys.executable) + ":/usr/bin:/bin"}  # noqa: PTH120
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SERVER],
        cwd=project.folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    plan, _, deployment = done.stdout.partition("planned 0\n")
    for told in (plan, deployment):
        assert "PostgreSQL is not installed on this machine, so abreast cannot run it" in told
        assert "or DATABASE_URL of a server that runs" in told
    assert done.returncode == 1
    assert not project.build_log.exists()
    assert not server_folder(project).exists()
