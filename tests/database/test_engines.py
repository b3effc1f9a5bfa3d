"""What every database does, whatever its engine: real SQLite, real PostgreSQL."""

import io
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

import postgres_server
from abreast.core.errors import DatabaseError
from abreast.core.schema import migration_files
from abreast.core.schema.migration_files import Migration
from abreast.database.interface import Database, MigrationLimits
from abreast.database.postgres.database import PostgresDatabase
from abreast.database.sql_database import SqlDatabase
from abreast.database.sqlite.database import SqliteDatabase
from dump_hooks import FirstWriteHook, child_killer

LIMITS = MigrationLimits(statement_timeout=20, lock_timeout=0.2, max_attempts=3)


class Subject:
    """A database, and a way to ask it without abreast."""

    def __init__(self, database: Database, connect: Callable[[], Any]) -> None:
        self.database = database
        self.connect = connect

    def ask(self, text: str) -> list[Any]:
        with closing(self.connect()) as db:
            found = db.execute(text)
            rows = [tuple(row) for row in found.fetchall()] if found.description else []
            db.commit()
            return rows


@pytest.fixture(params=["sqlite", "postgresql"])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    if request.param == "sqlite":
        file = tmp_path / "shop.db"
        yield Subject(SqliteDatabase("sqlite:///shop.db", tmp_path), lambda: sqlite3.connect(file, timeout=10))
    else:
        url = postgres_server.create_database()
        yield Subject(PostgresDatabase(url), lambda: psycopg.connect(url))


def of(name: str, text: str, down: str | None = None) -> Migration:
    files = {name: text.encode()} | ({name.replace(".sql", ".down.sql"): down.encode()} if down else {})
    (one,), faults = migration_files.parse_migrations(files)
    assert faults == ()
    return one


ORDERS = of("001_orders.sql", "CREATE TABLE orders (id integer PRIMARY KEY, product text NOT NULL);\n")


def run(database: Database, *all_: Migration) -> None:
    database.prepare_migration_table(all_)
    for one in all_:
        database.apply_migration(one, LIMITS, lambda _: None)


def dumped(database: Database, tmp_path: Path) -> tuple[Path, Any]:
    file = tmp_path / "dump"
    with file.open("wb") as target:
        contents = database.dump(target)
    return file, contents


def test_a_migration_runs_and_is_noted(subject: Subject) -> None:
    run(subject.database, ORDERS)
    (ran,) = subject.database.applied_migrations()
    assert (ran.name, ran.checksum) == ("001_orders.sql", ORDERS.checksum)
    assert subject.ask("SELECT id, filename FROM migrations") == [(1, "001_orders.sql")]
    assert list(subject.database.tables()) == ["orders"]
    assert subject.database.tables()["orders"].columns["product"].required


def test_all_of_a_file_or_nothing(subject: Subject) -> None:
    run(subject.database, ORDERS)
    broken = of("002_b.sql", "CREATE TABLE a (id integer);\n\nINSERT INTO orders (id, product) VALUES (1, NULL);\n")
    with pytest.raises(DatabaseError, match=r"002_b\.sql:\d: .*(NOT NULL|not-null)"):
        run(subject.database, broken)
    assert list(subject.database.tables()) == ["orders"]
    assert [migration.name for migration in subject.database.applied_migrations()] == ["001_orders.sql"]


def test_a_table_of_migrations_that_is_there_is_adopted(subject: Subject) -> None:
    key = {"sqlite": "integer", "postgresql": "serial"}[subject.database.engine]
    subject.ask(
        f"CREATE TABLE migrations (id {key} PRIMARY KEY, filename text NOT NULL, executed_at timestamp NOT NULL)"
    )
    subject.ask("INSERT INTO migrations (filename, executed_at) VALUES ('001_orders', '2020-01-01')")
    subject.ask("CREATE TABLE orders (id integer PRIMARY KEY, product text NOT NULL)")
    (known,) = subject.database.applied_migrations()
    assert migration_files.plan_migrations([ORDERS], [known]).pending == ()
    assert known.checksum == ""
    price = of("002_price.sql", "ALTER TABLE orders ADD COLUMN price integer;")
    subject.database.prepare_migration_table([ORDERS, price])
    subject.database.apply_migration(price, LIMITS, lambda _: None)
    edited = of("001_orders.sql", "CREATE TABLE orders (id integer PRIMARY KEY);\n")
    ran = subject.database.applied_migrations()
    assert [(migration.name, bool(migration.at)) for migration in ran] == [
        ("001_orders", True),
        ("002_price.sql", True),
    ]
    assert migration_files.plan_migrations([ORDERS, price], ran).faults == ()
    (fault,) = migration_files.plan_migrations([edited, price], ran).faults
    assert "001_orders.sql was edited after it ran" in fault


@pytest.mark.parametrize("end", ["COMMIT; BEGIN", "ROLLBACK", "END TRANSACTION", "ABORT"])
def test_a_file_that_ends_its_transaction_itself_is_not_begun(subject: Subject, end: str) -> None:
    run(subject.database, ORDERS)
    file = of("002_two.sql", f"CREATE TABLE a (id integer);\n-- COMMIT;\n{end};\nCREATE TABLE b (id integer);\n")
    with pytest.raises(
        DatabaseError, match=rf"002_two\.sql:3: {end.partition(' ')[0].strip(';')} ends the transaction"
    ):
        run(subject.database, file)
    assert list(subject.database.tables()) == ["orders"]
    back = of("002_two.sql", "CREATE TABLE a (id integer);\nSAVEPOINT s;\nROLLBACK TO s;\nRELEASE s;\n")
    run(subject.database, back)
    assert sorted(subject.database.tables()) == ["a", "orders"]


def test_a_table_of_another_form_is_not_touched(subject: Subject) -> None:
    subject.ask("CREATE TABLE migrations (version text)")
    assert subject.database.applied_migrations() == ()
    with pytest.raises(DatabaseError, match="another table called migrations, with the columns version"):
        subject.database.has_migrations_table()
    with pytest.raises(DatabaseError, match="another table called migrations, with the columns version"):
        run(subject.database, ORDERS)
    assert list(subject.database.tables()) == []


def test_the_way_back_of_a_migration(subject: Subject) -> None:
    price = of(
        "002_price.sql",
        "ALTER TABLE orders ADD COLUMN price integer;",
        "-- safe\nALTER TABLE orders DROP COLUMN price;",
    )
    run(subject.database, ORDERS, price)
    subject.database.revert_migration(price, LIMITS, lambda _: None)
    assert "price" not in subject.database.tables()["orders"].columns
    assert [migration.name for migration in subject.database.applied_migrations()] == ["001_orders.sql"]


def test_without_a_transaction_it_is_known_how_far_it_got(subject: Subject) -> None:
    run(subject.database, ORDERS)
    alone = of(
        "002_alone.sql",
        "-- no-transaction\nCREATE INDEX a ON orders (product);\nCREATE INDEX b ON nowhere (product);\n",
    )
    with pytest.raises(DatabaseError, match=r"002_alone\.sql:3"):
        run(subject.database, alone)
    with pytest.raises(DatabaseError, match="was interrupted: 1 of its statements are done"):
        subject.database.applied_migrations()


def test_a_dump_is_of_one_moment_while_others_write(subject: Subject, tmp_path: Path) -> None:
    run(subject.database, ORDERS)
    subject.ask("CREATE TABLE sums (n integer)")
    if isinstance(subject.database, SqliteDatabase):
        subject.ask("PRAGMA journal_mode=WAL")
    stop, written = threading.Event(), [0] * 4

    def write(number: int) -> None:
        with closing(subject.connect()) as db:
            for at in range(number, 10**9, 4):
                if stop.is_set():
                    return
                db.execute(f"INSERT INTO orders (id, product) VALUES ({at}, 'x')")
                db.execute(f"INSERT INTO sums VALUES ({at})")
                db.commit()
                written[number] += 1

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    try:
        while sum(written) < 200:
            time.sleep(0.01)
        before = sum(written)
        file, contents = dumped(subject.database, tmp_path)
        after = sum(written)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    copy = subject.database.sibling_copy("copy")
    copy.restore(file)
    assert copy.check_integrity().rows == contents.rows
    assert contents.rows["orders"] == contents.rows["sums"], "both of a transaction or none"
    assert before - 4 <= contents.rows["orders"] <= after + 4
    copy.drop()
    assert not copy.exists()


def test_a_copy_takes_the_place_of_what_is_there(subject: Subject, tmp_path: Path) -> None:
    run(subject.database, ORDERS)
    subject.ask("INSERT INTO orders (id, product) VALUES (1, 'tea'), (2, 'cup')")
    file, _ = dumped(subject.database, tmp_path)
    subject.ask("DROP TABLE orders")
    with closing(subject.connect()) as open_:  # an application that has it open
        open_.execute("SELECT count(*) FROM migrations").fetchone()
        open_.rollback()
        copy = subject.database.sibling_copy("restored", swappable=True)
        copy.restore(file)
        subject.database.replace_with(copy, "before", print)
    assert subject.ask("SELECT * FROM orders ORDER BY id") == [(1, "tea"), (2, "cup")]


def test_copies_are_made_of_copies(subject: Subject, tmp_path: Path) -> None:
    run(subject.database, ORDERS)
    file, _ = dumped(subject.database, tmp_path)
    first, second = subject.database.sibling_copy("first"), subject.database.sibling_copy("second")
    first.restore(file)
    for _ in range(2):
        second.copy_from(first)
        run(second, of("002_a.sql", "ALTER TABLE orders ADD COLUMN a integer;"))
    assert "a" in second.tables()["orders"].columns
    assert "a" not in first.tables()["orders"].columns
    for one in (first, second):
        one.drop()
        one.drop()


def test_two_runs_cannot_meet(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SqlDatabase, "wait_timeout", 0.2)
    with (
        subject.database.migration_lock(),
        pytest.raises(DatabaseError, match=r"another migration of .* is running"),
        subject.database.migration_lock(),
    ):
        pass
    with subject.database.migration_lock():
        pass


def test_a_lock_is_waited_for_and_tried_again(subject: Subject) -> None:
    run(subject.database, ORDERS)
    told: list[str] = []
    price = of("002_price.sql", "ALTER TABLE orders ADD COLUMN price integer;")
    with closing(subject.connect()) as db:
        db.execute("INSERT INTO orders (id, product) VALUES (1, 'x')")  # holds what the migration needs
        with pytest.raises(DatabaseError):
            subject.database.apply_migration(price, LIMITS, told.append)
        assert len(told) == LIMITS.max_attempts - 1
        assert "price" not in subject.database.tables()["orders"].columns or isinstance(
            subject.database, SqliteDatabase
        )
        letting_go = threading.Timer(
            0.3, db.rollback if isinstance(subject.database, PostgresDatabase) else lambda: None
        )
        if isinstance(subject.database, SqliteDatabase):  # a connection belongs to its thread
            db.rollback()
        letting_go.start()
        subject.database.apply_migration(price, MigrationLimits(lock_timeout=0.2, max_attempts=10), told.append)
        letting_go.join()
    assert "price" in subject.database.tables()["orders"].columns


def test_a_statement_that_takes_too_long_is_ended(subject: Subject) -> None:
    slow = {
        "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n;",
        "postgresql": "SELECT pg_sleep(60);",
    }[subject.database.engine]
    with pytest.raises(DatabaseError, match=r"001_slow\.sql:1: (timed out after 0\.2 s|canceling statement)"):
        subject.database.apply_migration(
            of("001_slow.sql", slow), MigrationLimits(statement_timeout=0.2), lambda _: None
        )
    assert subject.database.applied_migrations() == ()


def test_whose_it_is_stands_in_it(subject: Subject) -> None:
    run(subject.database, ORDERS)
    assert subject.database.owner() == ""
    subject.database.claim("shop/staging/backend")
    subject.database.claim("shop/staging/backend")
    assert subject.database.owner() == "shop/staging/backend"
    assert subject.database.restored_by() == ""
    subject.database.claim("shop/staging/backend", "01M")
    assert subject.database.restored_by() == "01M"
    assert list(subject.database.tables()) == ["orders"], "what is abreast's own is no part of what it looks like"


def test_what_is_no_database_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "shop.db").write_bytes(b"no database at all, but something else" * 100)
    with pytest.raises(DatabaseError, match="file is not a database"):
        SqliteDatabase("sqlite:///shop.db", tmp_path).engine_version()
    url = postgres_server.create_database()
    for wrong in (
        url.replace(postgres_server.QUOTED_PASSWORD, "wrong-password"), url.replace("127.0.0.1:", "127.0.0.1:1"), f"{url}_not_there",
    ):  # fmt: skip
        with pytest.raises(DatabaseError) as found:
            PostgresDatabase(wrong).engine_version()
        assert postgres_server.PASSWORD not in str(found.value)
        assert "wrong-password" not in str(found.value)
    assert not PostgresDatabase(f"{url}_not_there").exists()


def test_a_damaged_file_is_put_aside_when_a_copy_takes_its_place(tmp_path: Path) -> None:
    database = SqliteDatabase("sqlite:///shop.db", tmp_path)
    run(database, ORDERS)
    file, _ = dumped(database, tmp_path)
    (tmp_path / "shop.db").write_bytes(b"damaged" * 1000)
    copy = database.sibling_copy("restored")
    copy.restore(file)
    kept = database.replace_with(copy, "before", print)
    assert Path(kept).read_bytes() == b"damaged" * 1000
    assert list(database.tables()) == ["orders"]


def test_nobody_reads_a_password_in_the_list_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[str] = []
    real = subprocess.Popen

    def watched(arguments: list[str], **more: Any) -> Any:  # noqa: ANN401 (the signature of what it stands for)
        began.append(" ".join(map(str, arguments)))
        return real(arguments, **more)

    database = PostgresDatabase(postgres_server.create_database())
    run(database, ORDERS)
    monkeypatch.setattr(subprocess, "Popen", watched)
    database.dump(io.BytesIO())
    assert began
    assert not any("pa55" in line for line in began)


def test_a_password_may_come_from_a_file_as_for_all_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres_server.create_database()
    user, _, host = url.removeprefix("postgresql://").partition(f":{postgres_server.QUOTED_PASSWORD}@")
    known = tmp_path / "pgpass"
    known.write_text(f"*:*:*:{user}:{postgres_server.PASSWORD.replace(':', chr(92) + ':')}\n")
    known.chmod(0o600)
    database = PostgresDatabase(f"postgresql://{user}@{host}")
    with pytest.raises(DatabaseError, match="no password supplied"):
        database.stats()
    monkeypatch.setenv("PGPASSFILE", str(known))
    run(database, ORDERS)
    file, contents = dumped(database, tmp_path)
    copy = database.sibling_copy("copy")
    copy.restore(file)
    assert copy.check_integrity().rows == contents.rows
    copy.drop()


def test_a_pg_dump_that_is_killed_is_no_backup() -> None:
    database = PostgresDatabase(postgres_server.create_database())
    run(
        database,
        ORDERS,
        of("002_many.sql", "INSERT INTO orders SELECT n, repeat('x', 900) FROM generate_series(1, 20000) n;"),
    )

    with pytest.raises(DatabaseError, match=r"pg_dump: killed by signal 9"):
        database.dump(FirstWriteHook(child_killer("pg_dump")))  # type: ignore[arg-type]


@pytest.mark.exhaustive
def test_programs_that_are_older_than_the_server_are_said() -> None:
    database = PostgresDatabase(postgres_server.create_database(server=postgres_server.newer_server_url()))
    run(database, ORDERS)
    assert list(database.tables()) == ["orders"]
    with pytest.raises(DatabaseError, match=r"(?s)server version mismatch.*needed: a client as new as the server"):
        database.dump(io.BytesIO())


def test_a_role_that_may_make_no_databases_needs_a_place_for_copies(tmp_path: Path) -> None:
    url = postgres_server.create_database(postgres_server.create_role())
    database = PostgresDatabase(url)
    run(database, ORDERS)
    file, contents = dumped(database, tmp_path)
    with pytest.raises(DatabaseError, match="permission denied to create database"):
        database.sibling_copy("copy").restore(file)
    copy = PostgresDatabase(url, scratch=postgres_server.server_url()).sibling_copy("copy")
    copy.restore(file)
    assert copy.check_integrity().rows == contents.rows
    copy.drop()


@pytest.mark.exhaustive
def test_a_server_for_copies_needs_none_of_the_roles(tmp_path: Path) -> None:
    database = PostgresDatabase(
        postgres_server.create_database(postgres_server.create_role()), scratch=postgres_server.newer_server_url()
    )
    reader = postgres_server.create_role()
    run(database, ORDERS, of("002_right.sql", f"GRANT SELECT ON orders TO {reader};"))
    file, contents = dumped(database, tmp_path)
    copy = database.sibling_copy("copy")
    assert copy.connection_url().startswith(postgres_server.newer_server_url().removesuffix("/postgres"))
    copy.restore(file)
    assert copy.check_integrity().rows == contents.rows
    copy.drop()


def test_what_takes_the_place_has_the_owner_the_rights_and_the_settings(tmp_path: Path) -> None:
    owner, reader = postgres_server.create_role(), postgres_server.create_role()
    url = postgres_server.create_database(owner, options="TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-AT'")
    name = url.rpartition("/")[2]
    database = PostgresDatabase(postgres_server.server_url().rpartition("/")[0] + f"/{name}")
    said = [
        f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC",
        f"GRANT CONNECT ON DATABASE {name} TO {reader} WITH GRANT OPTION",
        f"ALTER DATABASE {name} CONNECTION LIMIT 7",
        f"""ALTER DATABASE {name} SET search_path TO "$user", public, 'it''s'""",
        f"ALTER DATABASE {name} SET app.greeting TO 'it''s \"tea\"'",
        f"ALTER ROLE {reader} IN DATABASE {name} SET statement_timeout TO '3s'",
    ]

    def looks() -> list[Any]:
        with psycopg.connect(postgres_server.server_url(), autocommit=True) as db:
            return db.execute(
                "SELECT pg_get_userbyid(datdba), datlocprovider,"
                " coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale'),"  # its name from PostgreSQL 17 on, and before
                " datconnlimit, array(SELECT unnest(datacl)::text ORDER BY 1),"
                " array(SELECT setrole::regrole::text || setconfig::text FROM pg_db_role_setting"
                " WHERE setdatabase = d.oid ORDER BY 1) FROM pg_database d WHERE datname = %s",
                (name,),
            ).fetchall()

    with psycopg.connect(postgres_server.server_url(), autocommit=True) as db:
        for text in said:
            db.execute(text.encode())
    run(database, ORDERS)
    before = looks()
    assert before[0][:4] == (owner, "i", "de-AT", 7)
    file, _ = dumped(database, tmp_path)
    copy = database.sibling_copy("restored", swappable=True)
    copy.restore(file)
    told: list[str] = []
    kept = database.replace_with(copy, "before", told.append)
    assert looks() == before
    assert told == []
    assert kept == f"{name}_before"
    assert list(database.tables()) == ["orders"]


def test_data_come_back_also_where_a_setting_needs_another_role(tmp_path: Path) -> None:
    owner, reader = postgres_server.create_role("CREATEDB"), postgres_server.create_role()
    database = PostgresDatabase(postgres_server.create_database(owner))
    name = database.connection_url().rpartition("/")[2]
    with psycopg.connect(postgres_server.server_url(), autocommit=True) as db:
        db.execute(f"ALTER ROLE {reader} IN DATABASE {name} SET app.token TO 'xq7-sentinel'".encode())
    run(database, ORDERS)
    file, _ = dumped(database, tmp_path)
    copy = database.sibling_copy("restored", swappable=True)
    copy.restore(file)
    told: list[str] = []
    database.replace_with(copy, "before", told.append)
    (line,) = told
    assert line.startswith("permission denied")
    assert line.endswith(f'ALTER ROLE "{reader}" IN DATABASE "{name}" SET "app.token" TO …'), "a value may be a secret"
    assert list(database.tables()) == ["orders"]


def test_a_database_that_is_locked_for_long_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqlDatabase, "wait_timeout", 0.3)
    database = SqliteDatabase("sqlite:///shop.db", tmp_path)
    run(database, ORDERS)
    file, _ = dumped(database, tmp_path)
    copy = database.sibling_copy("restored", swappable=True)
    copy.restore(file)
    with closing(sqlite3.connect(tmp_path / "shop.db")) as held:
        held.execute("INSERT INTO orders VALUES (1, 'tea')")
        with pytest.raises(DatabaseError, match="the database is locked"):
            database.replace_with(copy, "before", print)
        held.commit()
    assert database.stats().rows["orders"] == 1
    kept = database.replace_with(copy, "before", print)
    assert database.stats().rows["orders"] == 0
    assert SqliteDatabase(f"sqlite:///{kept}", tmp_path).stats().rows["orders"] == 1, "what was is kept"


def test_a_virtual_table_whose_module_is_missing_is_in_nobodys_way(tmp_path: Path) -> None:
    database = SqliteDatabase("sqlite:///shop.db", tmp_path)
    run(database, ORDERS)
    with closing(sqlite3.connect(tmp_path / "shop.db")) as db:
        db.execute("PRAGMA writable_schema=ON")
        db.execute(
            "INSERT INTO sqlite_master VALUES ('table', 'near', 'near', 0, 'CREATE VIRTUAL TABLE near USING nowhere (a)')"
        )
        db.commit()
    assert list(database.tables()) == ["orders"]
    _, contents = dumped(database, tmp_path)
    assert contents.rows["orders"] == 0


def test_a_database_that_is_not_there_yet_holds_nothing_and_is_not_made(tmp_path: Path) -> None:
    database = SqliteDatabase("sqlite:///data/shop.db", tmp_path)
    assert (database.stats().rows, database.tables(), database.applied_migrations(), database.owner()) == (
        {},
        {},
        (),
        "",
    )
    file, contents = dumped(database, tmp_path)
    assert not database.exists()
    copy = database.sibling_copy("copy")
    copy.restore(file)
    assert copy.check_integrity().rows == contents.rows == {}


@pytest.mark.exhaustive
def test_a_disk_that_is_full_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    database = SqliteDatabase("sqlite:///shop.db", tmp_path)
    run(database, ORDERS)
    program = (
        "import sys, pathlib\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_engines import *\n"
        "rows = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)'\n"
        "text = f'CREATE TABLE more (id integer);\\nINSERT INTO orders {rows} SELECT i, hex(randomblob(400)) FROM n;'\n"
        "try: run(SqliteDatabase('sqlite:///shop.db', pathlib.Path(sys.argv[1])), of('002_many.sql', text))\n"
        "except DatabaseError as error: print('TOLD', error)\n"
    )
    done = subprocess.run(
        ["/bin/bash", "-c", 'ulimit -f 300; trap "" XFSZ; exec "$@"', "bash", sys.executable, "-c", program,
         tmp_path, Path(__file__).parent],
        capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert "TOLD 002_many.sql:2: " in done.stdout, done.stderr
    assert list(database.tables()) == ["orders"]
    assert [migration.name for migration in database.applied_migrations()] == ["001_orders.sql"]
    assert database.check_integrity().rows["orders"] == 0
