"""``breaking: block`` holds what the rehearsal saw: whatever a migration says, the running version keeps what it needs."""

from collections.abc import Callable, Iterator

import pytest

from database_project import DatabaseProject
from sample_project import SampleProject

PORTABLE = {
    "dropped by a name that the file created": "CREATE TABLE IF NOT EXISTS orders (id integer);\nDROP TABLE IF EXISTS orders;",
    "dropped and created again, empty": "DROP TABLE orders;\nCREATE TABLE orders (id integer PRIMARY KEY, product text NOT NULL, note text);",
    "renamed, and a view with fewer columns": "ALTER TABLE orders RENAME TO orders_2;\nCREATE VIEW orders AS SELECT id, product FROM orders_2;",
    "emptied": "DELETE FROM orders WHERE 1 = 1;",
    "partly emptied": "DELETE FROM orders WHERE id > 3;",
}  # fmt: skip
POSTGRESQL = {
    "truncated in a block": "DO $$ BEGIN EXECUTE 'TRUNCATE orders'; END $$;",
    "dropped by a function": "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DROP TABLE orders; END $$;\nSELECT f();",
    "row security": "ALTER TABLE orders ENABLE ROW LEVEL SECURITY;",
    "a right": "REVOKE INSERT ON orders FROM postgres;",
    "a rule": "CREATE RULE quiet AS ON INSERT TO orders DO INSTEAD NOTHING;",
}
CASES = [
    *(
        pytest.param("sqlite", sql, id=f"sqlite, {name}", marks=pytest.mark.exhaustive)
        for name, sql in PORTABLE.items()
    ),
    *(pytest.param("postgresql", sql, id=f"postgresql, {name}") for name, sql in {**PORTABLE, **POSTGRESQL}.items()),
]


def blocking(shop: DatabaseProject) -> DatabaseProject:
    """Deploy, take ten orders, and block breaking changes from now on."""
    shop.deploy()
    shop.insert_orders(10)
    shop.project.config["environments"]["local"]["breaking"] = "block"
    return shop


@pytest.fixture(scope="module")
def shops(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], DatabaseProject]]:
    """One deployed shop per engine, for all cases: none of them changes it."""
    made: dict[str, DatabaseProject] = {}

    def shop(engine: str) -> DatabaseProject:
        if engine not in made:
            project = SampleProject(tmp_path_factory.mktemp(engine) / "project")
            made[engine] = blocking(DatabaseProject(project, engine))
        return made[engine]

    yield shop
    for shop_ in made.values():
        shop_.project.down()


@pytest.mark.parametrize(("engine", "sql"), CASES)
def test_what_the_running_version_needs_stays(shops: Callable[[str], DatabaseProject], engine: str, sql: str) -> None:
    shop = shops(engine)
    before = shop.schema(), shop.orders_digest()
    shop.write_migration("002_change.sql", f"-- irreversible: a test\n{sql}\n")
    shop.project.commit()
    told = shop.deploy(code=None)
    assert shop.project.latest_deployment()["state"] in {"turned-back", "succeeded"}
    assert "would break" in told, told
    assert (shop.schema(), shop.orders_digest()) == before


def test_what_says_why_it_is_safe_runs(project: SampleProject) -> None:
    shop = blocking(DatabaseProject(project))
    shop.write_migration(
        "002_change.sql", "-- irreversible: gone\n-- contract: orders before 2020\nDELETE FROM orders WHERE id > 3;\n"
    )
    project.commit()
    shop.deploy()
    assert shop.query("SELECT count(*) FROM orders") == [(3,)]


def test_a_file_that_says_so_excuses_no_other(project: SampleProject) -> None:
    shop = blocking(DatabaseProject(project))
    shop.write_migration(
        "002_contract.sql", "-- irreversible: gone\n-- contract: a test\nDELETE FROM orders WHERE id > 8;\n"
    )
    by_trigger = (
        "CREATE TRIGGER t AFTER UPDATE ON orders BEGIN DELETE FROM orders WHERE id > 3; END;\n"
        "UPDATE orders SET note = 'x' WHERE id = 1;\nDROP TRIGGER t;\n"
    )
    shop.write_migration("003_other.sql", f"-- irreversible: gone\n{by_trigger}")
    project.commit()
    assert "orders has lost 5 of 8 rows" in shop.deploy(code=1)
    assert shop.query("SELECT count(*) FROM orders") == [(10,)]
