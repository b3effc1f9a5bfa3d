"""PostgreSQL as people have it: roles without rights, other spellings of URLs, odd names, sessions in the way."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg
import pytest

import postgres_server
from abreast.core.errors import DatabaseError
from abreast.database.postgres import database_admin
from abreast.database.postgres.connection_url import database_name, is_postgres_url, with_database
from abreast.database.postgres.database import PostgresDatabase
from sample_project import eventually


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as db:
        for statement in statements:
            db.execute(statement.encode())


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as db:
        return db.execute(query.encode()).fetchall()


def round_trip(database: PostgresDatabase, folder: Path) -> PostgresDatabase:
    """Back up, restore into a copy, replace the database by it. Return the database."""
    with (folder / "dump").open("wb") as into:
        stats = database.dump(into)
    copy = database.sibling_copy("restored-x", swappable=True)
    copy.restore(folder / "dump")
    assert copy.check_integrity().rows == stats.rows
    database.replace_with(copy, "before_x", print)
    return database


@pytest.fixture
def owned() -> str:
    """The URL of a database whose owner is no superuser."""
    return postgres_server.create_database(owner=postgres_server.create_role("CREATEDB"))


def test_a_role_that_is_no_superuser_backs_up_rehearses_and_restores(owned: str, tmp_path: Path) -> None:
    execute(owned, "CREATE TABLE orders (id integer)", "INSERT INTO orders VALUES (1), (2)")
    database = PostgresDatabase(owned)
    rehearsal = database.sibling_copy("rehearsal-x")
    with (tmp_path / "dump").open("wb") as into:
        database.dump(into)
    verified = database.sibling_copy("verified-x")
    verified.restore(tmp_path / "dump")
    rehearsal.copy_from(verified)
    execute(rehearsal.connection_url(), "CREATE TABLE more (id integer)")
    for copy in (verified, rehearsal):
        copy.drop()
    round_trip(database, tmp_path)
    assert rows(owned, "SELECT count(*) FROM orders") == [(2,)]


@contextmanager
def superusers_session(url: str) -> Iterator[int]:
    """Be a superuser who looks into a database; yield the session's process id."""
    netloc = urlsplit(postgres_server.server_url()).netloc
    with psycopg.connect(f"postgresql://{netloc}{urlsplit(url).path}", application_name="pgAdmin") as db:
        yield db.info.backend_pid


def test_a_client_that_connects_after_the_look_for_sessions_is_not_in_the_way(
    owned: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = PostgresDatabase(owned)
    with (tmp_path / "dump").open("wb") as into:
        database.dump(into)
    copy = database.sibling_copy("restored", swappable=True)
    copy.restore(tmp_path / "dump")
    clients: list[psycopg.Connection[Any]] = []
    look = database_admin._end_sessions

    def look_and_let_one_in(ender: "psycopg.Connection[Any]", names: Sequence[str]) -> list[str]:
        in_the_way = look(ender, names)
        if not clients:
            clients.append(psycopg.connect(owned))
        return in_the_way

    monkeypatch.setattr(database_admin, "SWAP_TIMEOUT", 0.0)
    monkeypatch.setattr(database_admin, "_end_sessions", look_and_let_one_in)
    kept = database.replace_with(copy, "before", print)
    clients[0].close()
    assert PostgresDatabase(with_database(owned, kept)).exists()


@pytest.mark.exhaustive
def test_the_session_in_the_way_is_named(owned: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("abreast.database.postgres.database_admin.DROP_TIMEOUT", 0.5)
    copy = PostgresDatabase(owned).sibling_copy("verified-x")
    assert isinstance(copy, PostgresDatabase)
    execute(with_database(owned, "postgres"), f'CREATE DATABASE "{urlsplit(copy.connection_url()).path[1:]}"')
    with superusers_session(copy.connection_url()) as pid, pytest.raises(DatabaseError) as refused:
        copy.drop()
    assert f"in use by session {pid} of postgres (pgAdmin), which this role may not end" in str(refused.value)
    assert "admin: ${ADMIN_DATABASE_URL}" in str(refused.value)
    copy.drop()
    assert not copy.exists()


def test_a_session_of_another_that_ends_in_time_is_waited_for(owned: str) -> None:
    copy = PostgresDatabase(owned).sibling_copy("verified-x")
    execute(with_database(owned, "postgres"), f'CREATE DATABASE "{urlsplit(copy.connection_url()).path[1:]}"')
    leave = threading.Event()

    def look() -> None:
        with superusers_session(copy.connection_url()):
            entered.set()
            leave.wait(20)

    entered = threading.Event()
    admin = threading.Thread(target=look)
    admin.start()
    entered.wait(20)
    threading.Timer(0.5, leave.set).start()
    copy.drop()
    admin.join()
    assert not copy.exists()


def test_row_security_needs_another_role_and_says_so(owned: str, tmp_path: Path) -> None:
    execute(
        owned,
        "CREATE TABLE orders (id integer)",
        "INSERT INTO orders VALUES (1)",
        "ALTER TABLE orders ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE orders FORCE ROW LEVEL SECURITY",
    )
    with pytest.raises(DatabaseError, match="admin: ") as refused, (tmp_path / "dump").open("wb") as into:
        PostgresDatabase(owned).dump(into)
    assert "row-level security" in str(refused.value)
    netloc = urlsplit(postgres_server.server_url()).netloc
    admin = f"postgresql://{netloc}{urlsplit(owned).path}"
    round_trip(PostgresDatabase(owned, admin=admin), tmp_path)
    assert rows(admin, "SELECT count(*) FROM orders") == [(1,)]
    assert rows(admin, "SELECT tableowner FROM pg_tables WHERE tablename = 'orders'") == [(urlsplit(owned).username,)]


@pytest.mark.parametrize("name", ["shop.live", "my shop", 'a"quote', "Ümläut", "per%cent"])
def test_odd_names(name: str, tmp_path: Path) -> None:
    server = postgres_server.server_url()
    quoted = name.replace('"', '""')
    execute(server, f'CREATE DATABASE "{quoted}"')
    url = with_database(server, name)
    try:
        execute(
            url,
            'CREATE TABLE "a.b" ("x y" integer)',
            'INSERT INTO "a.b" VALUES (1)',
            'CREATE SCHEMA "s.t"',
            'CREATE TABLE "s.t"."u.v" (id integer)',
        )
        database = round_trip(PostgresDatabase(url), tmp_path)
        assert database.stats().rows == {"a.b": 1, "s.t.u.v": 0}
        assert [copy.name for copy in database.list_copies()] == ["before_x"]
        database.drop_copy(database.list_copies()[0])
        assert database.list_copies() == []
    finally:
        execute(
            server,
            f'DROP DATABASE IF EXISTS "{quoted}" WITH (FORCE)',
            f'DROP DATABASE IF EXISTS "{quoted}_before_x" WITH (FORCE)',
        )


@pytest.mark.exhaustive
def test_spellings_of_the_url(tmp_path: Path) -> None:
    plain = postgres_server.create_database()
    execute(plain, "CREATE TABLE orders (id integer)", "INSERT INTO orders VALUES (1)")
    parts = urlsplit(plain)
    ((folder,),) = rows(plain, "SHOW unix_socket_directories")
    password = quote(postgres_server.PASSWORD, safe="")
    for url in (
        plain.replace("postgresql://", "postgres://"),
        plain.replace("postgresql://", "postgresql+psycopg://"),
        f"{plain}?schema=public&connection_limit=5",
        f"postgresql:///{parts.path[1:]}?host={folder}&port={parts.port}&user=postgres&password={password}",
        f"postgresql://postgres:{password}@/{parts.path[1:]}?host={folder}&port={parts.port}",
    ):
        assert is_postgres_url(url)
        database = PostgresDatabase(url)
        assert database.stats().rows == {"orders": 1}, url
        copy = database.sibling_copy("verified-x")
        with (tmp_path / "dump").open("wb") as into:
            database.dump(into)
        copy.restore(tmp_path / "dump")
        assert copy.stats().rows == {"orders": 1}
        copy.drop()


def test_the_settings_and_the_comment_of_the_database_stay(tmp_path: Path) -> None:
    url = postgres_server.create_database()
    name = urlsplit(url).path[1:]
    execute(
        url,
        "CREATE SCHEMA app",
        "CREATE TABLE app.orders (id integer)",
        f"ALTER DATABASE {name} SET search_path TO app, public",
        f"COMMENT ON DATABASE {name} IS 'the shop''s orders'",
    )
    database = PostgresDatabase(url)
    verified = database.sibling_copy("verified-x")
    with (tmp_path / "dump").open("wb") as into:
        database.dump(into)
    verified.restore(tmp_path / "dump")
    assert rows(verified.connection_url(), "SELECT count(*) FROM orders") == [(0,)], "found by the search path"
    verified.drop()
    round_trip(database, tmp_path)
    assert rows(url, "SELECT count(*) FROM orders") == [(0,)]
    comment = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
    assert rows(url, comment) == [("the shop's orders",)]


@pytest.mark.exhaustive
def test_checks_that_call_functions_are_restored(tmp_path: Path) -> None:
    url = postgres_server.create_database()
    execute(
        url,
        "CREATE TABLE zones (name text)",
        "CREATE FUNCTION is_zone(text) RETURNS boolean LANGUAGE sql AS 'SELECT EXISTS (SELECT FROM zones WHERE name = $1)'",
        "CREATE DOMAIN zone AS text CHECK (is_zone(VALUE))",
        "CREATE TABLE a_parcels (zone text CHECK (is_zone(zone)), weight int CHECK (weight > 0), other zone)",
        "ALTER TABLE a_parcels ADD CONSTRAINT old CHECK (weight > 100) NOT VALID",
        "INSERT INTO zones VALUES ('east'), ('west')",
    )
    database = PostgresDatabase(url)
    execute(url, "ALTER TABLE a_parcels DROP CONSTRAINT old", "INSERT INTO a_parcels VALUES ('east', 7, 'west')")
    execute(url, "ALTER TABLE a_parcels ADD CONSTRAINT old CHECK (weight > 100) NOT VALID")
    checks = "SELECT conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c' ORDER BY 1"
    before = rows(url, checks)

    def restored() -> tuple[PostgresDatabase, list[str]]:
        copy = database.sibling_copy("verified-x")
        with (tmp_path / "dump").open("wb") as into:
            database.dump(into)
        return copy, list(copy.restore(tmp_path / "dump"))

    copy, gaps = restored()
    assert gaps == []
    assert rows(copy.connection_url(), checks) == before
    assert rows(copy.connection_url(), "SELECT zone, weight, other FROM a_parcels") == [("east", 7, "west")]
    execute(url, "DELETE FROM zones WHERE name = 'east'")
    copy, gaps = restored()
    assert gaps == ["the constraint a_parcels_zone_check of TABLE a_parcels, which is NOT VALID now"]
    assert rows(copy.connection_url(), "SELECT count(*) FROM a_parcels") == [(1,)]
    with pytest.raises(psycopg.errors.CheckViolation):
        execute(copy.connection_url(), "INSERT INTO a_parcels VALUES ('north', 7, 'west')")
    copy.drop()


def test_what_a_scratch_server_cannot_show_is_said(tmp_path: Path) -> None:
    url = postgres_server.create_database()
    execute(url, "CREATE TABLE orders (id integer)")
    database = PostgresDatabase(url, with_database(postgres_server.server_url(), "postgres"))
    copy = database.sibling_copy("verified-x")
    with (tmp_path / "dump").open("wb") as into:
        database.dump(into)
    (gap,) = copy.restore(tmp_path / "dump")
    assert gap.startswith("owners and rights")
    copy.drop()


def test_databases_of_others_on_the_server_are_no_copies(owned: str) -> None:
    name, server = urlsplit(owned).path[1:], postgres_server.server_url()
    theirs = [f"{name}_verified-theirs", f"x{name}_verified-x", f"{name}_archive", f"{name}_2024_before_x"]
    for other in theirs:
        execute(server, f'CREATE DATABASE "{other}"', f'REVOKE CONNECT ON DATABASE "{other}" FROM PUBLIC')
    try:
        copies = PostgresDatabase(owned).list_copies()
        assert [(copy.name, copy.size) for copy in copies] == [("verified-theirs", 0)], "the size is not told"
    finally:
        for other in theirs:
            execute(server, f'DROP DATABASE "{other}"')


def test_what_the_server_still_creates_for_a_killed_client_is_dropped() -> None:
    server = postgres_server.server_url()
    copy = PostgresDatabase(postgres_server.create_database()).sibling_copy("preview-17", swappable=True)
    create = f'CREATE DATABASE "{database_name(copy.connection_url())}" TEMPLATE template0'
    with psycopg.connect(server) as holder:
        holder.execute("LOCK TABLE pg_database IN SHARE MODE")
        creating = in_thread(lambda: execute(server, create))
        waiting = f"SELECT pid FROM pg_stat_activity WHERE query = '{create}' AND wait_event_type = 'Lock'"
        eventually(lambda: rows(server, waiting))
        ((pid,),) = rows(server, waiting)
        os.kill(int(str(pid)), signal.SIGSTOP)
    dropping = in_thread(copy.drop)
    dropping.join(1)
    os.kill(int(str(pid)), signal.SIGCONT)
    dropping.join()
    creating.join()
    assert not copy.exists()


def in_thread(work: Callable[[], None]) -> threading.Thread:
    """Start work of which nobody needs to know how it ends."""

    def quietly() -> None:
        with suppress(psycopg.Error):
            work()

    thread = threading.Thread(target=quietly)
    thread.start()
    return thread
