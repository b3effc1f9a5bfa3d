"""A repository at GitHub, emulated, whose every request and answer is held to GitHub's description."""

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from abreast.core.secrets import Secret
from abreast.github.api import GITHUB
from abreast.github.client import GitHubClient
from abreast.github.content_limit import ContentLimit
from abreast.provider_api.api_client import ApiClient
from abreast.testing.github import GitHubEmulator, Repository, Token
from abreast.testing.github.model import ADMIN_PERMISSIONS
from abreast.testing.platforms.threaded_server import ThreadedServer
from openapi_validator import validate_emulator

T = TypeVar("T")
TOKEN, ADMIN = "ghs_15368_workflow", "github_pat_admin"


class GitHubStage:
    """The emulator with the repository ``octo/shop``, which has one commit on ``main``, and a client of it."""

    def __init__(self, emulator: GitHubEmulator, url: str, folder: Path) -> None:
        self.emulator, self.url, self.folder = emulator, url, folder
        self.repository = emulator.add_repository("octo", "shop", make_repository(folder))
        self.token = emulator.add_token(TOKEN)
        emulator.tokens[ADMIN] = Token(ADMIN, dict(ADMIN_PERMISSIONS), is_app=False, login="octocat")
        self.commit = self.repository.commit_of("main")

    def run(self, work: Callable[[GitHubClient], Awaitable[T]], token: str | None = TOKEN) -> T:
        """Return what ``work`` returns with a client."""

        async def story() -> T:
            client = self.client(token)
            try:
                return await work(client)
            finally:
                await client.close()

        return asyncio.run(story())

    def client(self, token: str | None = TOKEN, limit: ContentLimit | None = None) -> GitHubClient:
        """Return a client, which has to be closed."""
        secret = Secret("GITHUB_TOKEN", token) if token else None
        return GitHubClient(ApiClient(GITHUB, self.url, secret, retry_delay=0.01), "octo/shop", limit)

    def requests(self, method: str, path: str = "") -> list[str]:
        """Return the paths of the requests that were made by a method."""
        return [asked for how, asked in self.emulator.faults.requests if how == method and path in asked]

    @property
    def gh_environment(self) -> dict[str, str]:
        """What leads ``gh`` to the emulator: a host of its own, behind a proxy that is the emulator."""
        return {
            "PATH": os.environ["PATH"], "HOME": str(self.folder), "GH_HOST": "github.localhost", "GH_TOKEN": ADMIN,
            "http_proxy": self.url, "GH_NO_UPDATE_NOTIFIER": "1", "GH_TELEMETRY": "0", "NO_COLOR": "1",
        }  # fmt: skip


@contextmanager
def github_stage(folder: Path) -> Iterator[GitHubStage]:
    """Serve the emulator."""
    emulator = GitHubEmulator()
    with validate_emulator(emulator, "github", extra_keys=("undescribed",)), ThreadedServer(emulator.app) as server:
        yield GitHubStage(emulator, server.url, folder)


def make_repository(folder: Path) -> Path:
    """Make a bare repository with one commit on ``main``."""
    work, bare = folder / "work", folder / "shop.git"
    work.mkdir(parents=True)
    git(work, "init", "--quiet", "--initial-branch=main")
    commit(work, "Start")
    git(folder, "clone", "--quiet", "--bare", str(work), str(bare))
    return bare


def commit(work: Path, subject: str) -> str:
    """Commit and return the commit."""
    who = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    git(work, *who, "commit", "--quiet", "--allow-empty", "-m", subject)
    return git(work, "rev-parse", "HEAD")


def push_branch(repository: Repository, work: Path, branch: str) -> str:
    """Add a branch with a commit of its own, and return the commit."""
    git(work, "checkout", "--quiet", "-B", branch)
    made = commit(work, branch)
    git(work, "push", "--quiet", str(repository.path), branch)
    return made


def git(folder: Path, *arguments: str) -> str:
    """Run git and return its output."""
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()
