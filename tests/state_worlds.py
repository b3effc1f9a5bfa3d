"""Homes of ledgers for tests, and what can happen to them: a bare git repository, and a database of a real server."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

import postgres_server
from abreast.ledger.homes.git_ref import GitHome
from abreast.ledger.homes.interface import Home
from abreast.ledger.homes.postgres import PostgresHome
from abreast.ledger.mirror import Mirror


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


class GitWorld:
    """A bare repository, and clones of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.remote = folder / "remote.git"
        folder.mkdir(exist_ok=True)
        git(folder, "init", "--quiet", "--bare", str(self.remote))

    def home(self, name: str) -> Home:
        clone = self.folder / name
        if not clone.exists():
            git(self.folder, "clone", "--quiet", str(self.remote), name)
        return GitHome(clone, "shop", "origin")

    def hook(self, file: Path, script: str) -> Path:
        """Have git run a script."""
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        return file

    def away(self) -> None:
        self.remote.rename(self.remote.with_suffix(".away"))

    def back(self) -> None:
        self.remote.with_suffix(".away").rename(self.remote)

    def cut_off(self) -> None:
        git(self.remote, "update-ref", "refs/abreast/shop/ledger", "refs/abreast/shop/ledger^")

    def change(self, old: str, new: str) -> None:
        ref = "refs/abreast/shop/ledger"
        before, after = (json.dumps(text)[1:-1] for text in (old, new))
        content = git(self.remote, "cat-file", "blob", f"{ref}:entries.jsonl").replace(before, after) + "\n"
        hashed = ["git", "hash-object", "-w", "--stdin"]
        blob = subprocess.run(hashed, input=content, cwd=self.remote, capture_output=True, text=True, check=True).stdout
        row = f"100644 blob {blob.strip()}\tentries.jsonl\n"
        tree = subprocess.run(["git", "mktree"], input=row, cwd=self.remote, capture_output=True, text=True, check=True)
        subject = git(self.remote, "log", "-1", "--format=%s", ref)
        git(self.remote, "-c", "user.name=x", "-c", "user.email=x", "update-ref", ref, git(
            self.remote, "-c", "user.name=x", "-c", "user.email=x", "commit-tree", tree.stdout.strip(),
            *(part for parent in git(self.remote, "log", "-1", "--format=%P", ref).split() for part in ("-p", parent)),
            "-m", subject))  # fmt: skip

    def source(self, name: str) -> str:
        return f"GitHome(Path({str(self.folder / name)!r}), 'shop', 'origin')"


class PostgresWorld:
    """A database of its own."""

    def __init__(self) -> None:
        self.url = postgres_server.create_database()

    def home(self, _: str) -> Home:
        return PostgresHome(self.url, "shop")

    def away(self) -> None:
        self._admin("ALTER DATABASE {} ALLOW_CONNECTIONS false")
        self._admin("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'")

    def back(self) -> None:
        self._admin("ALTER DATABASE {} ALLOW_CONNECTIONS true")

    def cut_off(self) -> None:
        with psycopg.connect(self.url) as db:
            db.execute("DELETE FROM abreast.entries WHERE seq = (SELECT max(seq) FROM abreast.entries)")

    def change(self, old: str, new: str) -> None:
        with psycopg.connect(self.url) as db:
            db.execute("UPDATE abreast.entries SET entry = replace(entry, %s, %s)", (old, new))

    def source(self, _: str) -> str:
        return f"PostgresHome({self.url!r}, 'shop')"

    def _admin(self, statement: str) -> None:
        with psycopg.connect(postgres_server.server_url(), autocommit=True) as db:
            db.execute(statement.format(self.url.rpartition("/")[2]).encode())


World = GitWorld | PostgresWorld


_WRITER = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from abreast.ledger.entries import EntryKind
from abreast.ledger.homes.git_ref import GitHome
from abreast.ledger.homes.postgres import PostgresHome
from abreast.ledger.mirror import Mirror
mirror = Mirror.open(Path(sys.argv[1]), lambda: datetime.now(UTC))
mirror.home = {home}
mirror.push()  # what it had recorded when it was killed
number = mirror.next_number(EntryKind.EVENT, sys.argv[2]) - 1
while number < {count}:
    with mirror.transaction():
        for number in range(number, min(number + {portion}, {count})):
            mirror.append(EntryKind.EVENT, sys.argv[2], str(number), {{"chapter": None, "state": None}})
        number += 1
    began = time.monotonic()
    mirror.push()
    print(time.monotonic() - began, flush=True)
"""


def start_writer(world: World, folder: Path, name: str, count: int, portion: int) -> subprocess.Popen[str]:
    """Start a machine that records ``count`` entries of its own; it goes on if it was killed.

    It prints the seconds that each portion took to its home.
    """
    code = _WRITER.format(home=world.source(name), count=count, portion=portion)
    return subprocess.Popen([sys.executable, "-c", code, str(folder), name], stdout=subprocess.PIPE, text=True)


@pytest.fixture(params=["git", "postgresql"])
def state_world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return GitWorld(tmp_path) if request.param == "git" else PostgresWorld()


@pytest.fixture
def open_mirror(state_world: World, tmp_path: Path) -> Iterator[Callable[[str], Mirror]]:
    """Open a machine's mirror of the home."""
    opened: list[Mirror] = []

    def open_one(name: str) -> Mirror:
        found = Mirror.open(tmp_path / f"state-{name}", lambda: datetime.now(UTC))
        found.home = state_world.home(name)
        opened.append(found)
        return found

    yield open_one
    for one in opened:
        one.close()
