"""A ledger in a remote that is reached as remotes are: over HTTP with a token, and over SSH with a key."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from abreast.core.errors import StateError
from abreast.ledger.hash_chain import chain
from abreast.ledger.homes.git_ref import GitHome
from abreast.ledger.homes.interface import HomeAwayError
from abreast.ledger.lease import LeasedLock
from abreast.ledger.mirror import Mirror
from abreast.ledger.sqlite import SqliteLedger
from abreast.testing.github import GitHubEmulator
from abreast.testing.platforms.threaded_server import ThreadedServer
from ssh_server import SshServer, ssh_server
from state_worlds import git

READER, WRITER, STRANGER = "ghs_reader_token", "ghs_writer_token", "ghs_stranger_token"


ROUNDS = {"SshRemote": 1}
"""How often each of two machines takes each environment; 2 where a connection costs less than ssh's key exchange."""


class Remote(ABC):
    """A bare repository at an address, which clones of it have as ``origin``."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.bare = folder / "shop.git"
        self.monkeypatch = monkeypatch
        for name in ("SSH_ASKPASS", "GIT_ASKPASS"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
        git(folder, "init", "--quiet", "--bare", str(self.bare))

    def home(self, name: str) -> GitHome:
        clone = self.folder / name
        clone.mkdir()
        git(clone, "init", "--quiet")
        git(clone, "remote", "add", "origin", self.address(name))
        return GitHome(clone, "shop", "origin")

    @abstractmethod
    def address(self, name: str) -> str:
        """Return the remote's address for a clone."""

    @abstractmethod
    def go_away(self) -> None:
        """Answer nobody any more."""


class FileRemote(Remote):
    """On this machine."""

    def address(self, name: str) -> str:
        del name
        return str(self.bare)

    def go_away(self) -> None:
        self.bare.rename(self.bare.with_suffix(".away"))


class HttpRemote(Remote):
    """At GitHub, emulated. The clone ``reader`` has a token that may not push, ``stranger`` one that is not known."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, emulator: GitHubEmulator, url: str) -> None:
        super().__init__(folder, monkeypatch)
        self.emulator, self.url = emulator, url
        emulator.add_repository("octo", "shop", self.bare)
        emulator.add_token(READER, contents="read")
        emulator.add_token(WRITER, contents="write")

    def address(self, name: str) -> str:
        token = {"reader": READER, "stranger": STRANGER}.get(name, WRITER)
        return f"{self.url.replace('//', f'//x-access-token:{token}@')}/octo/shop.git"

    def go_away(self) -> None:
        self.emulator.git.is_away = True


class SshRemote(Remote):
    """On an SSH server of this machine. The clone ``stranger`` has a key that is not let in."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, server: SshServer) -> None:
        super().__init__(folder, monkeypatch)
        self.server = server
        monkeypatch.setenv("GIT_SSH_COMMAND", server.command)

    def address(self, name: str) -> str:
        if name == "stranger":
            self.monkeypatch.setenv("GIT_SSH_COMMAND", self.server.stranger)
        return f"ssh://{self.server.host}:{self.server.port}{self.bare}"

    def go_away(self) -> None:
        self.server.process.terminate()
        self.server.process.wait()


SSH = pytest.param("ssh", marks=pytest.mark.exhaustive)


@pytest.fixture(params=["http", SSH])
def remote(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    if request.param == "file":
        yield FileRemote(tmp_path, monkeypatch)
    elif request.param == "http":
        emulator = GitHubEmulator()
        with ThreadedServer(emulator.app) as served:
            yield HttpRemote(tmp_path, monkeypatch, emulator, served.url)
    else:
        with ssh_server(tmp_path / "ssh") as server:
            yield SshRemote(tmp_path, monkeypatch, server)


def test_a_remote_keeps_one_chain_and_signs_of_life(remote: Remote) -> None:
    one, other = remote.home("one"), remote.home("other")
    first = chain(None, ["a", '"ü\n'])
    assert one.append(None, first)
    assert not other.append(None, chain(None, ["x"]))
    assert list(other.read(0)) == first
    assert other.append(first[-1], chain(first[-1], ["c"]))
    assert not one.append(first[-1], chain(first[-1], ["late"]))
    assert [link.entry for link in one.read(0)] == ["a", '"ü\n', "c"]
    assert other.last_beat("production") == ""
    one.beat("production")
    assert other.last_beat("production") != ""


def test_a_remote_that_goes_away_is_away(remote: Remote) -> None:
    home = remote.home("one")
    links = chain(None, ["a"])
    assert home.append(None, links)
    remote.go_away()
    with pytest.raises(HomeAwayError):
        home.read(0)
    with pytest.raises(HomeAwayError):
        home.append(links[-1], chain(links[-1], ["b"]))


def test_words_of_an_address_are_not_the_answer_of_the_remote(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "remote", "add", "origin", "http://127.0.0.1:1/permission-denied/protected-403.git")
    with pytest.raises(HomeAwayError, match="protected-403"):
        GitHome(tmp_path, "shop", "origin").read(0)


@pytest.mark.parametrize("remote", ["file", "http", SSH], indirect=True)
def test_of_two_machines_that_deploy_at_once_one_has_the_environment_and_each_has_its_own_versions(
    remote: Remote, tmp_path: Path
) -> None:
    """Each takes an environment of its own and one that both want, with a version, until it had both a few times."""
    holders: dict[str, str] = {}
    versions: list[int] = []
    homes = {name: remote.home(name) for name in ("one", "other")}
    rounds = ROUNDS.get(type(remote).__name__, 2)

    def deploy(name: str) -> None:
        with Mirror.open(tmp_path / f"state-{name}", lambda: datetime.now(UTC)) as mirror:
            mirror.home = homes[name]
            mirror.start()
            ledger = SqliteLedger(mirror)
            for environment in (f"{name}-only", "shared") * rounds:
                lock = LeasedLock(tmp_path / f"locks-{name}", environment, mirror, 60)
                while not take(name, lock, environment, ledger):
                    lock._next_look = 0

    def take(name: str, lock: LeasedLock, environment: str, ledger: SqliteLedger) -> bool:
        with lock.try_acquire({"by": name}, lambda: ledger.append_next_version("shop", "c" * 40)) as held:
            if held:
                assert holders.setdefault(environment, name) == name
                newest = max(versions, default=0) if environment == "shared" else 0
                versions.append(int(ledger.reserve_version("shop", "c" * 40).removeprefix("v")))
                assert versions[-1] > newest or environment != "shared"
                del holders[environment]
        if held:
            assert ledger.flush(60) == ""
        return held

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(deploy, name) for name in homes]:
            done.result()
    assert len(versions) == len(set(versions)) == 4 * rounds
    with Mirror.open(tmp_path / "reader", lambda: datetime.now(UTC)) as reader:
        reader.home = remote.home("third")
        reader.pull()
        assert reader.lease("shared") == (4 * rounds, None)
        assert reader.find_damage() == ""


def test_who_is_not_let_in_is_told_the_right_that_is_needed(remote: Remote) -> None:
    home = remote.home("stranger")
    with pytest.raises(StateError) as refused:
        home.read(0)
    assert not isinstance(refused.value, HomeAwayError)
    assert "the right to read and push refs/abreast/shop/ledger" in refused.value.need
    assert STRANGER not in str(refused.value)


@pytest.mark.parametrize("remote", ["http"], indirect=True)
def test_a_token_that_may_only_read_reads(remote: Remote) -> None:
    links = chain(None, ["a"])
    assert remote.home("one").append(None, links)
    reader = remote.home("reader")
    assert list(reader.read(0)) == links
    for push in (lambda: reader.append(links[-1], chain(links[-1], ["b"])), lambda: reader.beat("production")):
        with pytest.raises(StateError, match="git push failed") as refused:
            push()
        assert not isinstance(refused.value, HomeAwayError)
        assert "the right to read and push refs/abreast/shop/ledger" in refused.value.need
        assert READER not in str(refused.value)
