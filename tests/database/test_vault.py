"""The vault: what is sealed can be opened by whom it is for, by plain tools too, and whatever was changed is refused."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, ClassVar

import pyrage  # type: ignore[import-untyped]
import pytest

from abreast.core.backups import Backup, BackupRetention, backup_name, expired
from abreast.core.errors import DatabaseError, UsageError
from abreast.core.secrets import Secret
from abreast.database.backup_encryption import BackupKeys
from abreast.database.backup_store import EncryptedBackupStore
from abreast.database.interface import DatabaseStats
from sample_project import require_programs

pytestmark = pytest.mark.timeout(600)  # the first of them installs Azurite

CONTENT = os.urandom(1 << 20) + b"rows " * 100_000
AT = "2026-11-21T01:02:03.456Z"


def backup(at: str = AT, release: str = "v4", *, verified: bool = False, sequence: int = 0) -> Backup:
    return Backup(
        backup_name("production", "backend", at, release), "shop", "production", "backend", release, at, "sqlite", "3",
        verified=at if verified else "", sequence=sequence,
    )  # fmt: skip


def write(into: IO[bytes]) -> DatabaseStats:
    into.write(CONTENT)
    return DatabaseStats({"orders": 7}, len(CONTENT))


def save(
    there: EncryptedBackupStore,
    made: Backup,
    write: Callable[[IO[bytes]], DatabaseStats],
    context: Mapping[str, object],
) -> Backup:
    with tempfile.TemporaryDirectory() as folder:
        return there.save(made, write, context, Path(folder) / "plain")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "backup.key"


def vault(url: str, key: Path) -> EncryptedBackupStore:
    return EncryptedBackupStore(url, BackupKeys([], key, create=True), BackupRetention())


@pytest.mark.parametrize("store", ["file", "s3", "az", "gs"])
def test_what_is_put_there_comes_back(store: str, request: pytest.FixtureRequest, tmp_path: Path, key: Path) -> None:
    there = vault(request.getfixturevalue(store), key)
    saved = save(there, backup(), write, {"variables": {"backend": {"TOKEN": "xq7-sentinel"}}})
    assert (saved.rows, saved.size) == ({"orders": 7}, len(CONTENT))
    again = vault(there._objects.url, key)
    assert again.list_backups("production") == [saved]
    assert again.list_backups("production", "back") == again.list_backups("staging") == []
    around = again.fetch(saved, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == CONTENT
    assert (tmp_path / "out").stat().st_mode & 0o077 == 0
    assert around["variables"] == {"backend": {"TOKEN": "xq7-sentinel"}}
    newer = save(again, backup("2027-02-21T01:02:03Z", "v5"), write, {})
    again.write_metadata(newer.as_verified("2027-02-21T01:02:04Z"))
    assert [listed.release for listed in again.list_backups("production", "backend")] == ["v5", "v4"]


def test_nothing_of_it_lies_about_in_clear(file: str, tmp_path: Path, key: Path) -> None:
    there = vault(file, key)
    save(
        there,
        backup(),
        lambda into: (into.write(b"xq7-sentinel" * 1000), DatabaseStats())[1],
        {"token": "xq7-sentinel"},
    )
    found = subprocess.run(
        ["grep", "-rlF", "xq7-sentinel", tmp_path / "store"], capture_output=True, text=True, check=False
    )
    assert found.stdout == ""
    assert key.stat().st_mode & 0o077 == 0


def test_plain_tools_open_it(file: str, tmp_path: Path, key: Path) -> None:
    require_programs("age", "zstd")
    saved = save(vault(file, key), backup(), write, {})
    sealed = tmp_path / "store" / f"{saved.name}.dump.zst.age"
    opened = subprocess.run(["age", "--decrypt", "-i", key, sealed], capture_output=True, check=True).stdout
    assert subprocess.run(["zstd", "-dc"], input=opened, capture_output=True, check=True).stdout == CONTENT


def test_recipients_can_open_it_and_so_can_the_process_that_made_it(file: str, tmp_path: Path) -> None:
    theirs = pyrage.x25519.Identity.generate()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "ssh"], check=True)
    keys = BackupKeys([str(theirs.to_public()), (tmp_path / "ssh.pub").read_text()], None)
    there = EncryptedBackupStore(file, keys, BackupRetention())
    saved = there.save(backup(), write, {}, tmp_path / "plain")
    assert (tmp_path / "plain").read_bytes() == CONTENT
    there.check_stored(saved)
    with pytest.raises(DatabaseError, match="no key to open a backup"):
        EncryptedBackupStore(file, keys, BackupRetention()).fetch(saved, tmp_path / "again")
    (tmp_path / "their.key").write_text(str(theirs))
    EncryptedBackupStore(file, BackupKeys([], tmp_path / "their.key"), BackupRetention()).fetch(
        saved, tmp_path / "again"
    )
    if shutil.which("age"):
        sealed = tmp_path / "store" / f"{saved.name}.dump.zst.age"
        subprocess.run(["age", "--decrypt", "-i", tmp_path / "ssh", sealed], capture_output=True, check=True)


@pytest.mark.exhaustive
def test_a_passphrase_opens_it(file: str, tmp_path: Path) -> None:
    there = EncryptedBackupStore(file, BackupKeys([], None, lambda: Secret("p", "correct horse")), BackupRetention())
    saved = save(there, backup(), write, {})
    EncryptedBackupStore(file, BackupKeys([], None, lambda: Secret("p", "correct horse")), BackupRetention()).fetch(
        saved, tmp_path / "out"
    )
    assert (tmp_path / "out").read_bytes() == CONTENT
    with pytest.raises(DatabaseError, match="the passphrase does not open this backup"):
        EncryptedBackupStore(file, BackupKeys([], None, lambda: Secret("p", "wrong")), BackupRetention()).fetch(
            saved, tmp_path / "out"
        )


def test_a_wrong_key_is_said(file: str, tmp_path: Path, key: Path) -> None:
    saved = save(vault(file, key), backup(), write, {})
    wrong = EncryptedBackupStore(file, BackupKeys([], tmp_path / "other.key", create=True), BackupRetention())
    save(wrong, backup("2027-01-01T00:00:00Z"), write, {})
    with pytest.raises(DatabaseError, match="the key does not open production/backend/"):
        wrong.fetch(saved, tmp_path / "out")
    (tmp_path / "none.key").write_text("AGE-SECRET-KEY-nonsense")
    with pytest.raises(DatabaseError, match="is not an age key"):
        EncryptedBackupStore(file, BackupKeys([], tmp_path / "none.key"), BackupRetention()).fetch(
            saved, tmp_path / "out"
        )
    with pytest.raises(DatabaseError, match="is not an age recipient"):
        save(EncryptedBackupStore(file, BackupKeys(["age1nonsense"], None), BackupRetention()), backup(), write, {})


@pytest.mark.parametrize("harm", ["truncated", "a byte", "another's", "gone", "the note", "the label"])
def test_what_was_changed_is_refused(file: str, tmp_path: Path, key: Path, harm: str) -> None:
    there = vault(file, key)
    saved = save(there, backup(), write, {})
    other = save(there, backup("2027-01-01T00:00:00Z", "v5"), write, {})
    sealed = tmp_path / "store" / f"{saved.name}.dump.zst.age"
    if harm == "truncated":
        sealed.write_bytes(sealed.read_bytes()[:-1000])
    elif harm == "a byte":
        content = bytearray(sealed.read_bytes())
        content[len(content) // 2] ^= 1
        sealed.write_bytes(content)
    elif harm == "another's":
        shutil.copy(tmp_path / "store" / f"{other.name}.dump.zst.age", sealed)
    elif harm == "gone":
        sealed.unlink()
    elif harm == "the note":
        note = tmp_path / "store" / f"{saved.name}.json"
        note.write_text(json.dumps({**json.loads(note.read_text()), "rows": {"orders": 8}}))
        (saved,) = (listed for listed in there.list_backups("production") if listed.name == saved.name)
    else:
        shutil.copy(tmp_path / "store" / f"{other.name}.about.age", tmp_path / "store" / f"{saved.name}.about.age")
    with pytest.raises(
        DatabaseError, match=r"is truncated or was changed|is not what was encrypted|is gone|has changed"
    ):
        there.fetch(saved, tmp_path / "out")


def test_what_fails_half_way_leaves_no_backup(file: str, tmp_path: Path, key: Path) -> None:
    def fail(into: IO[bytes]) -> DatabaseStats:
        into.write(CONTENT)
        raise DatabaseError("pg_dump: it ended by signal 9")

    there = vault(file, key)
    with pytest.raises(DatabaseError, match="it ended by signal 9"):
        save(there, backup(), fail, {})
    assert there.list_backups("production") == []
    assert not list((tmp_path / "store").rglob("*.json"))
    assert [path for path in (tmp_path / "store").rglob("*.age") if path.is_file()] == []


def test_a_store_without_room_is_said(tmp_path: Path, key: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_vault import *\n"
        "there = vault('file://' + sys.argv[1], pathlib.Path(sys.argv[1]) / 'key')\n"
        "try: there.save(backup(), write, {}, pathlib.Path('/dev/null'))\n"
        "except DatabaseError as error: print('TOLD', error)\n"
    )
    (tmp_path / "full").mkdir()
    done = subprocess.run(
        ["/bin/bash", "-c", 'ulimit -f 200; trap "" XFSZ; exec "$@"', "bash", sys.executable, "-c", program,
         tmp_path / "full", Path(__file__).parent],
        capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert "TOLD the backup store file://" in done.stdout, done.stderr
    assert vault(f"file://{tmp_path}/full", key).list_backups("production") == []


@pytest.mark.exhaustive
def test_memory_is_bounded(file: str, tmp_path: Path, key: Path) -> None:
    program = (
        "import os, resource, sys, pathlib\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "from test_vault import *\n"
        "import sqlglot\n"
        "blocks = [os.urandom(1 << 20) for _ in range(16)]\n"  # further apart than the compression looks back
        "def much(into):\n"
        "    for number in range(128): into.write(blocks[number % 16])\n"
        "    return DatabaseStats()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "there = vault(sys.argv[1], pathlib.Path(sys.argv[3]) / 'key')\n"
        "saved = save(there, backup(), much, {})\n"
        "there.fetch(saved, pathlib.Path(sys.argv[3]) / 'out')\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, file, Path(__file__).parent, tmp_path],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert (tmp_path / "out").stat().st_size == 128 << 20
    assert sum(sealed.stat().st_size for sealed in (tmp_path / "store").rglob("*.age")) > 128 << 20
    assert float(done.stdout) < 80, "MB beyond what it began with, for 128 MB"


# ── which stay ─────────────────────────────────────────────────────────────────────────────────


def days(number: int, **more: bool) -> Backup:
    return backup(f"2026-{1 + number // 28:02}-{1 + number % 28:02}T00:00:00Z", f"v{number}", **more)


LAST_ONE = BackupRetention(1, 0, 0, 0)
NOW = "2027-01-01T00:00:00Z"


def hours(number: int) -> Backup:
    moment = datetime(2026, 6, 1, tzinfo=UTC) + timedelta(minutes=30 * number)
    return backup(moment.strftime("%Y-%m-%dT%H:%M:%SZ"), f"v{number}", verified=True, sequence=number)


def kept(all_: list[Backup], retention: BackupRetention) -> list[str]:
    gone = {backup.name for backup in expired(all_, retention, NOW)}
    return [backup.at for backup in all_ if backup.name not in gone]


def test_backups_are_thinned_to_one_an_hour_a_day_and_a_week() -> None:
    all_ = [hours(number) for number in range(48 * 90)]  # two an hour until the end of Saturday, 29 August
    assert kept(all_, BackupRetention(3, 0, 0, 0)) == [
        "2026-08-29T22:30:00Z", "2026-08-29T23:00:00Z", "2026-08-29T23:30:00Z",
    ]  # fmt: skip
    assert kept(all_, BackupRetention(1, 3, 0, 0)) == [
        "2026-08-29T21:30:00Z", "2026-08-29T22:30:00Z", "2026-08-29T23:30:00Z",
    ]  # fmt: skip
    assert kept(all_, BackupRetention(1, 0, 2, 3)) == [
        "2026-08-16T23:30:00Z", "2026-08-23T23:30:00Z", "2026-08-28T23:30:00Z", "2026-08-29T23:30:00Z",
    ]  # fmt: skip
    usual = kept(all_, BackupRetention())
    assert len(usual) == 24 + 2 + 29 + 3, "hours, the other half hours of the last five, days before, Sundays before"


def test_a_clock_that_was_wrong_does_not_make_the_newest_one_go() -> None:
    ahead, newest = hours(5000), replace(hours(10), sequence=9000)
    assert newest.at in kept([ahead, newest], LAST_ONE)


def test_the_only_good_one_stays_whatever_its_age() -> None:
    all_ = [days(1, verified=True), days(50), days(51), days(52)]
    assert [backup.release for backup in expired(all_, LAST_ONE, NOW)] == ["v52", "v51", "v50"]
    assert expired([days(1), days(2)], LAST_ONE, NOW) == ()


def test_what_a_live_release_could_need_stays() -> None:
    all_ = [days(number, verified=True) for number in range(10)]
    gone = {backup.release for backup in expired(all_, BackupRetention(2, 0, 0, 0), NOW, {"v3"})}
    assert gone == {f"v{number}" for number in (0, 1, 2, 4, 5, 6, 7)}


def test_what_a_killed_process_left_goes_after_a_day(file: str, tmp_path: Path, key: Path) -> None:
    there = vault(file, key)
    saved = save(there, backup(), write, {})
    there.write_metadata(saved.as_verified(AT))
    store = tmp_path / "store" / "production" / "backend"
    old, young = ("20260101T000000000Z-v1", "20261120T000000000Z-v2")
    for name_, at in ((old, 1767225600), (young, 1795219200)):
        for ending in (".dump.zst.age", ".about.age", ".dump.zst.age#1"):
            left = store / f"{name_}{ending}"
            left.write_bytes(b"sealed")
            os.utime(left, (at, at))
    (store / "README").write_text("not ours")
    os.utime(store / "README", (1767225600, 1767225600))
    before = sorted(path.name for path in store.iterdir())
    assert there.prune("production", "backend", set(), "2026-11-21T12:00:00Z") == 0
    assert sorted(path.name for path in store.iterdir()) == [name for name in before if not name.startswith(old)]
    there.fetch(saved, tmp_path / "out")


@pytest.mark.parametrize("store", ["file", "s3", "az", "gs"])
def test_what_nobody_needs_any_more_goes(store: str, request: pytest.FixtureRequest, key: Path) -> None:
    there = EncryptedBackupStore(request.getfixturevalue(store), BackupKeys([], key, create=True), LAST_ONE)
    for at, release in (("2026-11-20T01:02:03Z", "v1"), ("2026-11-21T01:02:03Z", "v2")):
        saved = save(there, backup(at, release), write, {})
        there.write_metadata(saved.as_verified(at))
    assert there.prune("production", "backend", set(), "2026-11-22T01:02:03Z") == 1
    assert [listed.release for listed in there.list_backups("production")] == ["v2"]
    assert {path.rpartition("-")[2].partition(".")[0] for path in there._stored_objects("production")} == {"v2"}
    assert there.prune("production", "backend", set(), "2026-11-22T01:02:03Z") == 0


def test_what_cannot_be_taken_away_is_said(file: str, tmp_path: Path, key: Path) -> None:
    there = vault(file, key)
    save(there, backup(), write, {})
    left = tmp_path / "store" / "production" / "backend" / "20260101T000000000Z-v1.dump.zst.age#1"
    left.mkdir()
    os.utime(left, (1767225600, 1767225600))
    with pytest.raises(DatabaseError, match=r"the backup store file:.* could not be used"):
        there.prune("production", "backend", set(), "2026-11-21T12:00:00Z")


@pytest.fixture
def breaking(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A store that breaks off in the middle of what it sends, and does not answer after that."""

    class Answers(BaseHTTPRequestHandler):
        objects: ClassVar[dict[str, bytes]] = {}

        def do_PUT(self) -> None:
            self.objects[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(200, b"", len(b""))

        def do_GET(self) -> None:
            found = self.objects[self.path]
            whole = not self.path.endswith(".dump.zst.age")
            if self.headers.get("Range"):
                self._answer(403, b"", 0)
            else:
                self._answer(200, found if whole else found[: len(found) // 2], len(found))
                self.close_connection = True

        def _answer(self, status: int, content: bytes, length: int) -> None:
            self.send_response(status)
            for name_, value in (("Content-Length", str(length)), ("ETag", '"1"')):
                self.send_header(name_, value)
            self.send_header("Last-Modified", "Sat, 21 Nov 2026 01:02:03 GMT")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    for name_, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test-secret-key",
    }.items():  # fmt: skip
        monkeypatch.setenv(name_, value)
    yield "s3://releases"
    server.shutdown()
    serving.join()
    server.server_close()


def test_a_store_that_breaks_off_is_told_as_that_and_not_as_a_changed_backup(
    breaking: str, tmp_path: Path, key: Path
) -> None:
    there = vault(breaking, key)
    saved = save(there, backup(), write, {})
    with pytest.raises(DatabaseError, match="the backup store s3://releases could not be used"):
        there.fetch(saved, tmp_path / "out")


def test_the_one_that_is_meant(file: str, key: Path) -> None:
    there = vault(file, key)
    first = save(there, backup(), write, {})
    with pytest.raises(UsageError, match="there is no verified backup of backend in production"):
        there.find_backup("production", "backend")
    there.write_metadata(first.as_verified(AT))
    second = save(there, backup("2027-01-01T00:00:00Z", "v5"), write, {})
    assert there.find_backup("production", "backend").release == "v4", "the newest that is known to be good"
    assert there.find_backup("production", "backend", second.name.rpartition("/")[2]) == second
    with pytest.raises(UsageError, match="there is no backup 'v9'"):
        there.find_backup("production", "backend", "v9")
