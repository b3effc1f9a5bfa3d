"""Migration files as other tools write them: what goes up, what goes down, and what is refused."""

import pytest

from abreast.core.schema.migration_files import (
    AppliedMigration,
    ForeignHistory,
    Migration,
    adopt_history,
    parse_migrations,
    plan_migrations,
)

UP, DOWN = "CREATE TABLE t (id integer);", "DROP TABLE t;"

FORMATS = {
    "dbmate": f"-- migrate:up\n{UP}\n-- migrate:down\n{DOWN}\n",
    "goose": f"-- +goose Up\n-- +goose StatementBegin\n{UP}\n-- +goose StatementEnd\n\n-- +goose Down\n{DOWN}\n",
    "goose in lower case": f"-- +goose up\n{UP}\n-- +goose down\n{DOWN}\n",
    "sql-migrate": f"-- +migrate Up\n{UP}\n\n-- +migrate Down\n{DOWN}\n",
    "node-pg-migrate": f"-- Up Migration\n{UP}\n\n---- Down Migration\n{DOWN}\n",
    "rambler": f"-- rambler up\n{UP}\n-- rambler down\n{DOWN}\n",
    "Windows": f"-- +goose Up\r\n{UP}\r\n-- +goose Down\r\n{DOWN}\r\n",
}


def migration_in(**files: str) -> Migration:
    """Return the one migration that files hold."""
    migrations, faults = parse_migrations({name: text.encode() for name, text in files.items()})
    assert not faults
    (migration,) = migrations
    return migration


@pytest.mark.parametrize("text", FORMATS.values(), ids=FORMATS)
def test_only_the_up_section_goes_up(text: str) -> None:
    migration = migration_in(**{"001_t.sql": text})
    assert UP in migration.up.sql
    assert "DROP" not in migration.up.sql
    assert migration.down is not None
    assert DOWN in migration.down.sql
    assert "CREATE" not in migration.down.sql
    assert not migration.fault


@pytest.mark.parametrize(
    ("up", "down", "version"),
    [
        ("000001_t.up.sql", "000001_t.down.sql", (1,)),
        ("001_t.sql", "001_t.down.sql", (1,)),
        ("V1__t.sql", "U1__t.sql", (1,)),
        ("V1.2_3__t.sql", "U1.2_3__t.sql", (1, 2, 3)),
    ],
)
def test_the_way_back_in_a_file_of_its_own(up: str, down: str, version: tuple[int, ...]) -> None:
    migration = migration_in(**{up: UP, down: DOWN})
    assert (migration.name, migration.version) == (up, version)
    assert migration.down is not None
    assert migration.down.sql == DOWN


@pytest.mark.parametrize(
    ("text", "up_in_transaction", "down_in_transaction"),
    [
        (f"-- +goose NO TRANSACTION\n-- +goose Up\n{UP}\n-- +goose Down\n{DOWN}\n", False, False),
        (f"-- +migrate Up notransaction\n{UP}\n-- +migrate Down\n{DOWN}\n", False, True),
        (f"-- migrate:up\r\n-- no-transaction\r\n{UP}\r\n-- migrate:down\r\n{DOWN}\r\n", False, True),
        (f"-- migrate:up transaction:false\n{UP}\n-- migrate:down\n{DOWN}\n", False, True),
    ],
)
def test_what_runs_without_a_transaction(text: str, up_in_transaction: bool, down_in_transaction: bool) -> None:
    migration = migration_in(**{"001_t.sql": text})
    assert migration.down is not None
    assert (migration.up.in_transaction, migration.down.in_transaction) == (up_in_transaction, down_in_transaction)


UNKNOWN = {
    "tern": f"{UP}\n---- create above / drop below ----\n{DOWN}",
    "MyBatis": f"-- // first\n{UP}\n-- //@UNDO\n{DOWN}",
    "Play": f"-- !Ups\n{UP}\n-- !Downs\n{DOWN}",
    "Liquibase": f"-- liquibase formatted sql\n-- changeset me:1\n{UP}",
    "goose with variables": f"-- +goose ENVSUB ON\n-- +goose Up\n{UP}",
    "anybody": f"{UP}\n-- Down\n{DOWN}",
    "anybody in a block": f"{UP}\n/* === rollback === */\n{DOWN}",
    "with a mark of our own too": f"-- safe\n{UP}\n--- @down\n{DOWN}",
}


@pytest.mark.parametrize("text", UNKNOWN.values(), ids=UNKNOWN)
def test_sections_of_nobody_known_are_refused_where_they_are_pending(text: str) -> None:
    migration = migration_in(**{"001_t.sql": text})
    (fault,) = plan_migrations([migration], []).faults
    assert fault.startswith("001_t.sql:")
    assert "mark sections as dbmate, goose, sql-migrate, node-pg-migrate, rambler do" in fault
    assert not plan_migrations([migration], [AppliedMigration("001_t.sql", "t")]).faults, "it ran already"


@pytest.mark.parametrize(
    "comment",
    [
        "-- safe", "-- no-transaction", "-- irreversible: down would lose data", "-- contract: rollback is not needed",
        "-- this brings the count of queries that are slow down by half", "-- add the column", "-- look up by name",
    ],
)  # fmt: skip
def test_comments_are_no_sections(comment: str) -> None:
    assert not migration_in(**{"001_t.sql": f"{comment}\n{UP}"}).fault


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"001_t.sql": f"-- migrate:up\n{UP}\n-- +goose Down\n{DOWN}"}, "sections of dbmate and of goose"),
        ({"001_t.sql": f"{UP}\n-- +goose Down\n{DOWN}"}, "SQL before its first section"),
        ({"001_t.sql": f"-- comment\n-- +goose Down\n{DOWN}"}, "no up section"),
        ({"001_t.sql": f"-- +goose Up\n{UP}\n-- +goose Up\n{UP}"}, "its up section is there twice"),
        ({"R__view.sql": UP}, "not a name such as"),
        ({"V1__a.sql": UP, "V1.0__b.sql": UP, "V01__c.sql": UP}, "have the same number"),
    ],
)
def test_what_cannot_be_read_is_said(files: dict[str, str], fault: str) -> None:
    _, faults = parse_migrations({name: text.encode() for name, text in files.items()})
    assert any(fault in found for found in faults), faults


def test_flyways_versions_order_by_their_parts_and_leave_gaps() -> None:
    names = ["V2__b.sql", "V10__d.sql", "V1.1__a.sql", "V2.1__c.sql"]
    migrations, faults = parse_migrations(dict.fromkeys(names, UP.encode()))
    assert not faults
    assert [migration.name for migration in migrations] == ["V1.1__a.sql", "V2__b.sql", "V2.1__c.sql", "V10__d.sql"]


@pytest.mark.parametrize(
    ("names", "history", "adopted"),
    [
        (["001_a.sql", "002_b.sql", "003_c.sql"], ForeignHistory("golang-migrate", "t", ("2",), is_highest=True), 2),
        (["001_a.sql", "002_b.sql", "003_c.sql"], ForeignHistory("goose", "t", ("1", "2")), 2),
        (["001_a.sql", "002_b.sql"], ForeignHistory("sql-migrate", "t", ("001_a.sql",)), 1),
        (["001_a.sql", "002_b.sql"], ForeignHistory("node-pg-migrate", "t", ("001_a", "002_b")), 2),
        (["V1__a.sql", "V2__b.sql"], ForeignHistory("Flyway", "t", ("V1__a.sql",)), 1),
    ],
)
def test_a_history_is_adopted(names: list[str], history: ForeignHistory, adopted: int) -> None:
    migrations, _ = parse_migrations(dict.fromkeys(names, UP.encode()))
    assert [migration.name for migration in adopt_history(migrations, history)] == names[:adopted]


@pytest.mark.parametrize(
    ("history", "why"),
    [
        (ForeignHistory("goose", "t", ("1", "7")), "t has 7, which no file here is"),
        (ForeignHistory("golang-migrate", "t", ("1",), ("1",)), "left 1 half done"),
    ],
)
def test_a_history_that_does_not_fit_is_refused(history: ForeignHistory, why: str) -> None:
    migrations, _ = parse_migrations({"001_a.sql": UP.encode()})
    with pytest.raises(ValueError, match=why):
        adopt_history(migrations, history)
