"""Variables that lead to a database in any spelling lead to its copy in a rehearsal; PgBouncer is a real one."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

import postgres_server
from abreast.core.errors import DatabaseError
from abreast.database.postgres.connection_url import libpq_connection
from abreast.database.postgres.database import PostgresDatabase
from abreast.database.sqlite.database import SqliteDatabase
from sample_project import eventually, free_ports, require_programs


@pytest.fixture
def real() -> PostgresDatabase:
    return PostgresDatabase(postgres_server.create_database())


@pytest.fixture
def copy(real: PostgresDatabase) -> Iterator[PostgresDatabase]:
    copy = real.sibling_copy("copy", swappable=True)
    assert isinstance(copy, PostgresDatabase)
    with psycopg.connect(postgres_server.server_url(), autocommit=True) as db:
        db.execute(f"CREATE DATABASE {name_of(copy)}".encode())
    yield copy
    copy.drop()


def name_of(database: PostgresDatabase) -> str:
    return urlsplit(database.connection_url()).path[1:]


SPELLINGS = {
    "as it is": "postgresql://{user}@127.0.0.1:{port}/{name}",
    "another scheme": "postgres://{user}@127.0.0.1:{port}/{name}",
    "another name of the host": "postgresql://{user}@localhost:{port}/{name}",
    "a parameter more": "postgresql://{user}@127.0.0.1:{port}/{name}?sslmode=prefer",
    "Prisma": "postgresql://{user}@localhost:{port}/{name}?schema=public&connection_limit=1",
    "SQLAlchemy": "postgresql+psycopg://{user}@localhost:{port}/{name}",
    "JDBC": "jdbc:postgresql://localhost:{port}/{name}?user=postgres&password={password}&ApplicationName=x",
    "JDBC with a wrapper": "jdbc:aws-wrapper:postgresql://localhost:{port}/{name}?user=postgres&password={password}",
    "R2DBC": "r2dbc:pool:postgresql://{user}@localhost:{port}/{name}",
    "Django with PostGIS": "postgis://{user}@localhost:{port}/{name}",
    "Elixir": "ecto://{user}@localhost:{port}/{name}",
    "Npgsql": "Host=localhost;Port={port};Database={name};Username=postgres;Password='{plain}';Pooling=true",
    "a socket": "postgresql://{user}@/{name}?host={folder}&port={port}",
    "keywords": "host=localhost port={port} user=postgres password='{plain}' dbname={name}",
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_every_spelling_of_the_real_database_leads_to_the_copy(
    real: PostgresDatabase, copy: PostgresDatabase, spelling: str
) -> None:
    facts = {
        "user": f"postgres:{postgres_server.QUOTED_PASSWORD}", "port": urlsplit(real.connection_url()).port,
        "name": name_of(real), "password": postgres_server.QUOTED_PASSWORD, "plain": postgres_server.PASSWORD,
        "folder": socket_folder(),
    }  # fmt: skip
    value = spelling.format(**facts)
    assert asked(value) == name_of(real)
    led = real.redirected_variables({"DIRECT_URL": value, "OTHER": "x"}, copy)
    assert led.keys() == {"DIRECT_URL"}
    assert asked(led["DIRECT_URL"]) == name_of(copy)
    if "://" in value:
        assert led["DIRECT_URL"].partition("://")[0] == value.partition("://")[0], "its driver stays"


def asked(value: str) -> str:
    """Return the name of the database that a value leads to."""
    with psycopg.connect(libpq_connection(value)) as db:
        row = db.execute("SELECT current_database()").fetchone()
    assert row
    return str(row[0])


def socket_folder() -> str:
    with psycopg.connect(postgres_server.server_url()) as db:
        row = db.execute("SHOW unix_socket_directories").fetchone()
    assert row
    return str(row[0])


def test_what_leads_elsewhere_or_nowhere_stays(real: PostgresDatabase, copy: PostgresDatabase) -> None:
    other = postgres_server.create_database()
    variables = {
        "ANALYTICS_URL": other,
        "GONE_URL": real.connection_url().replace("127.0.0.1:", "127.0.0.1:1"),
        "API_URL": "https://api.example.com/shop",
        "SERVICE": name_of(real),
    }
    assert real.redirected_variables(variables, copy) == {}


def test_a_name_in_a_variable_of_its_own_is_the_copys(real: PostgresDatabase, copy: PostgresDatabase) -> None:
    variables = dict.fromkeys(("PGDATABASE", "DB_NAME", "DATABASE", "POSTGRES_DB"), name_of(real))
    assert real.redirected_variables(variables, copy) == dict.fromkeys(variables, name_of(copy))


@pytest.fixture
def pooler(real: PostgresDatabase) -> Iterator[str]:
    """The URL of the real database behind a pooler, which gives it another name."""
    require_programs("pgbouncer")
    (port,) = free_ports(1)
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)  # it runs as another user, since it refuses to be root
    (folder / "users").write_text(f'"postgres" "{postgres_server.PASSWORD}"')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\npool = host=127.0.0.1 port={urlsplit(real.connection_url()).port} dbname={name_of(real)}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = scram-sha-256\nauth_file = {folder}/users\n"
    )
    user = "postgres" if os.geteuid() == 0 else None
    command = ["pgbouncer", "-q", str(folder / "pgbouncer.ini")]
    with subprocess.Popen(command, cwd=folder, user=user, extra_groups=[] if user else None) as process:
        try:
            url = f"postgresql://postgres:{postgres_server.QUOTED_PASSWORD}@127.0.0.1:{port}/pool"
            eventually(lambda: answers(url))
            yield url
        finally:
            process.kill()


def answers(url: str) -> bool:
    try:
        return bool(asked(url))
    except psycopg.OperationalError:
        return False


def test_a_pooler_that_knows_only_the_real_database_is_refused(
    real: PostgresDatabase, copy: PostgresDatabase, pooler: str
) -> None:
    with pytest.raises(DatabaseError) as refused:
        real.redirected_variables({"POOLED_URL": pooler}, copy)
    assert "POOLED_URL leads to the real database" in str(refused.value)
    assert postgres_server.PASSWORD not in str(refused.value)


@pytest.mark.parametrize(
    "spelling",
    [
        "{file}", "sqlite:///{file}", "sqlite:////{file}", "sqlite+aiosqlite:///{file}", "file:{file}?mode=rw&cache=shared",
        "file://{file}", "jdbc:sqlite:{file}", "sqlite3:{file}", "{folder}/../data/shop.db", "{folder}/link.db",
    ],
)  # fmt: skip
def test_every_spelling_of_a_file_leads_to_the_copy(tmp_path: Path, spelling: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    real = SqliteDatabase("sqlite:///data/shop.db", tmp_path)
    with real._transaction() as db:
        db.execute("CREATE TABLE orders (id)")
    (folder / "link.db").symlink_to(folder / "shop.db")
    copy = real.sibling_copy("copy")
    value = spelling.format(file=folder / "shop.db", folder=folder)
    led = real.redirected_variables({"DIRECT_URL": value, "OTHER": "/etc/hosts", "EMPTY": "", "SLASH": "/"}, copy)
    assert led.keys() == {"DIRECT_URL"}
    assert str(copy._file) in led["DIRECT_URL"]
    assert led["DIRECT_URL"].partition("/")[0] == value.partition("/")[0]
    assert led["DIRECT_URL"].partition("?")[2] == value.partition("?")[2]
