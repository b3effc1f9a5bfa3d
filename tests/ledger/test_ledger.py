"""The ledger keeps what it was told, once, in order, and says when it cannot."""

import itertools
import os
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from abreast.core.errors import StateError, UsageError
from abreast.core.events import Event, EventKind
from abreast.core.model import Chapter, LiveService, Service, Version
from abreast.core.plan import DeploymentKind, OnFailure, Plan
from abreast.core.states import DeploymentState
from abreast.ledger.entry_file import LEDGER_FILE, make_state_folder
from abreast.ledger.interface import ReleasePart
from abreast.ledger.sqlite import SqliteLedger

SERVICE = Service("web", "local", run="x")


def plan(id: str, environment: str = "local") -> Plan:
    return Plan(id, DeploymentKind.DEPLOY, "shop", environment, "v1", "c" * 40, (), 1, 1, OnFailure.TOGETHER, "", "me")


def live(name: str, release: str) -> LiveService:
    service = Service(name, "local", run="x")
    return LiveService(
        name, "local", release, "c" * 40, "sha256:1", "D1", "t", Version(f"{name}-D1", name, (), ""), service
    )


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    with SqliteLedger.open(tmp_path, lambda: datetime(2026, 11, 21, 1, 2, 3, 4000, UTC)) as opened:
        yield opened


def test_an_event_is_kept_once_by_its_key(ledger: SqliteLedger) -> None:
    ledger.record_plan(plan("D1"))
    ledger.append_events(Event("D1", "k", EventKind.NOTE, "one"), Event("D1", "k", EventKind.NOTE, "two"))
    ledger.append_events(Event("D1", "k", EventKind.NOTE, "three"))
    (first,) = [event for event in ledger.events("D1") if event.key == "k"]
    assert (first.message, first.at) == ("one", "2026-11-21T01:02:03.004Z")
    assert ledger.events("D1", after=first.seq) == ()


def test_events_that_come_together_are_kept_all_or_none(ledger: SqliteLedger) -> None:
    ledger.record_plan(plan("D1"))
    with pytest.raises(StateError):
        ledger.append_events(
            Event("D1", "k", EventKind.NOTE), Event("D1", "s", EventKind.STATE, state=DeploymentState.SUCCEEDED)
        )
    assert [event.key for event in ledger.events("D1")] == ["planned"]


def test_a_newer_deployment_replaces_those_that_wait(ledger: SqliteLedger) -> None:
    for name in ("D1", "D2"):
        ledger.record_plan(plan(name))
    ledger.record_plan(plan("D3", "staging"))
    assert {deployment.id: deployment.state for deployment in ledger.deployments()} == {
        "D1": DeploymentState.CANCELLED, "D2": DeploymentState.WAITING, "D3": DeploymentState.WAITING,
    }  # fmt: skip
    assert "replaced by D2" in ledger.events("D1")[-1].message


def test_states_move_by_the_rules_only(ledger: SqliteLedger) -> None:
    ledger.record_plan(plan("D1"))
    with pytest.raises(StateError, match="waiting cannot become succeeded"):
        ledger.append_events(Event("D1", "s", EventKind.STATE, state=DeploymentState.SUCCEEDED))
    assert ledger.deployment("D1").state is DeploymentState.WAITING
    assert ledger.events("D1")[-1].kind is EventKind.PLANNED


def test_releases_are_numbered_and_their_parts_never_change(ledger: SqliteLedger) -> None:
    assert [ledger.reserve_version("shop", "c"), ledger.reserve_version("shop", "c")] == ["v1", "v2"]
    ledger.add_release_part("v2", ReleasePart("web", "c", "sha256:1", SERVICE))
    ledger.add_release_part("v2", ReleasePart("web", "c", "sha256:2", SERVICE))
    assert ledger.release("v2").parts["web"] == ReleasePart("web", "c", "sha256:1", SERVICE)
    for wrong in ("v9", "latest", "v", "v99999999999999999999"):
        with pytest.raises(UsageError, match="there is no release"):
            ledger.release(wrong)


def test_what_is_live_comes_and_goes(ledger: SqliteLedger) -> None:
    ledger.record_plan(plan("D1"))
    live = LiveService(
        "web", "local", "v1", "c", "sha256:1", "D1", "t", Version("web-D1", "web", (), "http://x"), SERVICE
    )
    ledger.record_live_services("D1", [live])
    assert ledger.live_services("local") == {"web": live}
    ledger.record_live_services("D1", [], ["web"])
    assert ledger.live_services("local") == {}


def test_a_deployment_is_found_by_enough_of_its_id(ledger: SqliteLedger) -> None:
    for name in ("01AAAA", "01AABB"):
        ledger.record_plan(plan(name))
    assert ledger.deployment("bb").id == ledger.deployment("01AAB").id == "01AABB"
    for wrong in ("01", "zz", "", "%"):
        with pytest.raises(UsageError, match="01AABB, 01AAAA"):
            ledger.deployment(wrong)


STEPS = st.lists(
    st.tuples(st.sampled_from(["D1", "D2"]), st.sampled_from("abc"), st.none() | st.sampled_from(DeploymentState)),
    max_size=15,
)


@pytest.mark.exhaustive
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(STEPS)
def test_any_sequence_leaves_a_whole_chain_and_a_state_it_was_told(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, DeploymentState | None]]
) -> None:
    with SqliteLedger.open(tmp_path_factory.mktemp("ledger")) as ledger:
        ledger.record_plan(plan("D1", "one"))
        ledger.record_plan(plan("D2", "two"))
        for deployment, key, state in steps * 2:
            try:
                ledger.append_events(Event(deployment, key, EventKind.STATE, chapter=Chapter.BUILD, state=state))
            except StateError:
                continue
        assert ledger.find_damage() == ""
        for deployment in ("D1", "D2"):
            keys = [event.key for event in ledger.events(deployment)]
            assert len(keys) == len(set(keys))
            told = [event.state for event in ledger.events(deployment) if event.state]
            assert ledger.deployment(deployment).state is (told[-1] if told else DeploymentState.WAITING)


def test_a_changed_event_breaks_the_chain_and_changing_is_refused(ledger: SqliteLedger, tmp_path: Path) -> None:
    ledger.record_plan(plan("D1"))
    for key in "abc":
        ledger.append_events(Event("D1", key, EventKind.NOTE, key))
    database = sqlite3.connect(tmp_path / LEDGER_FILE)
    for statement in ("UPDATE entries SET entry = '{}'", "DELETE FROM entries"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            database.execute(statement)
    database.execute("DROP TRIGGER entries_stay")
    database.execute("UPDATE entries SET entry = replace(entry, '\"b\"', '\"B\"') WHERE seq = 4")
    database.commit()
    database.close()
    assert ledger.find_damage().startswith("entry 4 (event of D1, ")


CHANGES = {
    "a state": ("UPDATE deployments SET state = 'cancelled'", "deployment D1 was changed"),
    "a release": ("UPDATE deployments SET release = 'v9'", "deployment D1 was changed"),
    "a deployment that is gone": ("DELETE FROM deployments", "deployment D1 was changed"),
    "a live version": ("UPDATE live SET live = replace(live, 'v1', 'v9')", "what is live of local/api was changed"),
    "a live version that is gone": ("DELETE FROM live", "what is live of local/api was changed"),
    "the age of a secret": ("UPDATE secrets SET since = '2020'", "the age of the secret local/api/KEY was changed"),
    "a live version that never was": (
        "INSERT INTO live VALUES ('local', 'web', '{}')", "what is live of local/web was changed",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("statement", "damage"), CHANGES.values(), ids=CHANGES)
def test_a_changed_row_is_noticed(ledger: SqliteLedger, tmp_path: Path, statement: str, damage: str) -> None:
    ledger.record_plan(plan("D1"))
    ledger.append_events(Event("D1", "state/running", EventKind.STATE, state=DeploymentState.RUNNING))
    ledger.record_live_services("D1", [live("api", "v1")])
    ledger.record_secret_fingerprints("local", {"api/KEY": "1234"})
    assert ledger.find_damage() == ""
    with closing(sqlite3.connect(tmp_path / LEDGER_FILE)) as database:
        database.execute(statement)
        database.commit()
    assert damage in ledger.find_damage()


def test_what_is_live_is_recorded_once_for_each_change(ledger: SqliteLedger, tmp_path: Path) -> None:
    ledger.record_plan(plan("D1"))
    for version in ("v1", "v1", "v2", "v2", "v1"):
        ledger.record_live_services("D1", [live("api", version)])
    for _ in range(2):
        ledger.clear_live_services("local", ["local"])
    with closing(sqlite3.connect(tmp_path / LEDGER_FILE)) as database:
        recorded = database.execute("SELECT json_extract(entry, '$.data.api.release') FROM entries WHERE kind = 'live'")
        assert [release for (release,) in recorded] == ["v1", "v2", "v1", None]
    assert ledger.find_damage() == ""


def test_a_running_deployment_is_no_damage(ledger: SqliteLedger, tmp_path: Path) -> None:
    ledger.record_plan(plan("D1"))
    stop = threading.Event()

    def deploy() -> None:
        with SqliteLedger.open(tmp_path) as other:
            other.append_events(Event("D1", "state/running", EventKind.STATE, state=DeploymentState.RUNNING))
            for number in itertools.count():
                chapter = (Chapter.BUILD, Chapter.STAGE)[number % 2]
                other.append_events(Event("D1", f"n{number}", EventKind.NOTE, chapter=chapter))
                other.record_live_services("D1", [live("api", f"v{number}")])
                if stop.is_set():
                    return

    deploying = threading.Thread(target=deploy)
    deploying.start()
    try:
        found = {ledger.find_damage() for _ in range(60)}
    finally:
        stop.set()
        deploying.join()
    assert found == {""}


@pytest.mark.parametrize("lost", ["the last event", "the whole file is an older one"])
def test_a_ledger_without_its_end_is_refused(tmp_path: Path, lost: str) -> None:
    with SqliteLedger.open(tmp_path) as ledger:
        ledger.record_plan(plan("D1"))
    older = (tmp_path / LEDGER_FILE).read_bytes()
    with SqliteLedger.open(tmp_path) as ledger:
        ledger.append_events(Event("D1", "a", EventKind.NOTE))
    if lost == "the last event":
        with closing(sqlite3.connect(tmp_path / LEDGER_FILE)) as database:
            database.execute("DROP TRIGGER entries_remain")
            database.execute("DELETE FROM entries WHERE seq = 3")
            database.commit()
    else:
        (tmp_path / LEDGER_FILE).write_bytes(older)
    with pytest.raises(StateError, match="3 entries were recorded, and 2 are left") as refused:
        SqliteLedger.open(tmp_path)
    (tmp_path / "ledger.anchor").rename(tmp_path / "ledger.anchor.lost")
    assert "mv " in str(refused.value)
    with SqliteLedger.open(tmp_path) as ledger:
        assert "anchor" in ledger.find_damage()


# ── files that cannot be used ──────────────────────────────────────────────────────────────────


def test_a_file_of_a_newer_version_is_left_as_it_is(tmp_path: Path) -> None:
    SqliteLedger.open(tmp_path).close()
    database = sqlite3.connect(tmp_path / LEDGER_FILE)
    database.execute("PRAGMA user_version = 7")
    database.close()
    with pytest.raises(StateError, match="newer abreast") as caught:
        SqliteLedger.open(tmp_path)
    assert "pip install -U abreast" in str(caught.value)
    assert _schema(tmp_path) == 7


@pytest.mark.parametrize(
    "content", [b"this is not a database at all, but long enough to be read as one" * 20, b"\0" * 4096]
)
def test_a_damaged_file_is_told_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    (tmp_path / LEDGER_FILE).write_bytes(content)
    with pytest.raises(StateError, match=r"ledger\.db"):
        SqliteLedger.open(tmp_path)
    assert (tmp_path / LEDGER_FILE).read_bytes() == content


def test_git_ignores_the_state_folder_and_linters_see_a_checkout_in_it(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    checkout = tmp_path / ".abreast" / "work" / "D1"
    checkout.mkdir(parents=True)
    (checkout / "app.py").write_text("import os\n")
    make_state_folder(tmp_path / ".abreast")
    status = subprocess.run(["git", "status", "--porcelain"], cwd=tmp_path, capture_output=True, check=True)
    assert status.stdout == b""
    ruff = str(Path(sys.executable).with_name("ruff"))
    linted = subprocess.run([ruff, "check", "--no-cache"], cwd=checkout, capture_output=True, text=True, check=False)
    assert "F401" in linted.stdout


def test_another_programs_database_is_not_touched(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / LEDGER_FILE)
    database.execute("CREATE TABLE theirs (x)")
    database.close()
    with pytest.raises(StateError, match="is not an abreast ledger"):
        SqliteLedger.open(tmp_path)


def test_a_full_disk_loses_nothing_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    ledger = SqliteLedger.open(tmp_path)
    ledger.record_plan(plan("D1"))
    ledger.append_events(Event("D1", "before", EventKind.NOTE))
    (pages,) = ledger.file._db.execute("PRAGMA page_count").fetchone()
    ledger.file._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StateError, match="full"):
        ledger.append_events(Event("D1", "large", EventKind.NOTE, "x" * 100_000))
    ledger.file._db.execute("PRAGMA max_page_count = 100000")
    ledger.append_events(Event("D1", "after", EventKind.NOTE))
    assert [event.key for event in ledger.events("D1")] == ["planned", "before", "after"]
    assert ledger.find_damage() == ""
    ledger.close()


def test_a_file_that_may_not_grow_is_told(tmp_path: Path) -> None:
    SqliteLedger.open(tmp_path).close()
    code = (
        "from pathlib import Path\nfrom abreast.ledger.sqlite import SqliteLedger\n"
        "from abreast.core.errors import StateError\n"
        "try:\n    ledger = SqliteLedger.open(Path('.'))\n    [ledger.reserve_version('shop', 'c' * 4000) for _ in range(100)]\n"
        "except StateError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000)),
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert "ledger.db cannot be used" in done.stdout, done.stderr
    with SqliteLedger.open(tmp_path) as ledger:
        assert ledger.find_damage() == ""


def _schema(folder: Path) -> int:
    database = sqlite3.connect(folder / LEDGER_FILE)
    (version,) = database.execute("PRAGMA user_version").fetchone()
    database.close()
    return int(version)
