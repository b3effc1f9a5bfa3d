"""Repositories and what is in them, and tokens with what they may do. Tests read and change them."""

import itertools
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_LEVELS = ("none", "read", "write")
WORKFLOW_PERMISSIONS = {
    "metadata": "read", "contents": "write", "deployments": "write", "checks": "write", "pull_requests": "write",
    "issues": "write", "actions": "write", "attestations": "write", "artifact_metadata": "write",
}  # fmt: skip
"""What the token of a workflow can be given. Settings are never among it."""

ADMIN_PERMISSIONS = {
    "metadata": "read", "contents": "write", "deployments": "write", "pull_requests": "write", "issues": "write",
    "actions": "write", "administration": "write", "environments": "write", "secrets": "write", "variables": "write",
    "repository_hooks": "write",
}  # fmt: skip
"""What a fine-grained token can be given."""


@dataclass
class Token:
    """A token. An App's may create check runs, which a person's may not."""

    value: str
    permissions: Mapping[str, str] = field(default_factory=lambda: dict(WORKFLOW_PERMISSIONS))
    is_app: bool = True
    login: str = "github-actions[bot]"

    def may(self, name: str, level: str) -> bool:
        """Return whether it has a permission, or a higher one of that name."""
        return _LEVELS.index(self.permissions.get(name, "none")) >= _LEVELS.index(level)


@dataclass
class Status:
    """A status of a deployment."""

    id: int
    state: str
    description: str
    environment: str
    environment_url: str
    log_url: str
    created_at: str


@dataclass
class Deployment:
    """A deployment; ``statuses`` are oldest first."""

    id: int
    sha: str
    ref: str
    task: str
    environment: str
    description: str
    payload: Any
    is_transient: bool
    is_production: bool
    created_at: str
    statuses: list[Status] = field(default_factory=list)

    @property
    def state(self) -> str:
        """The state of the newest status, "pending" without one."""
        return self.statuses[-1].state if self.statuses else "pending"


@dataclass
class CheckRun:
    """A check run; ``fields`` are as they were sent last."""

    id: int
    fields: dict[str, Any]
    annotations: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Comment:
    """A comment on a pull request."""

    id: int
    number: int
    login: str
    body: str
    created_at: str
    updated_at: str


@dataclass
class PullRequest:
    """A pull request. ``commits`` are those that it has."""

    number: int
    commits: list[str]
    state: str = "open"
    is_from_fork: bool = False


@dataclass
class Review:
    """What a reviewer said of a run that waits for environments."""

    login: str
    state: str
    environments: list[str]
    comment: str = ""


@dataclass
class Environment:
    """An environment with its rules, and the names of its secrets."""

    id: int
    name: str
    created_at: str
    wait_timer: int = 0
    prevent_self_review: bool = False
    reviewers: list[dict[str, Any]] = field(default_factory=list)
    branch_policy: dict[str, bool] | None = None
    secrets: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)


@dataclass
class Attestation:
    """A signed statement, and the digests that it is about."""

    id: int
    digests: list[str]
    bundle: dict[str, Any]


@dataclass
class DeploymentRecord:
    """Where an artifact runs; ``fields`` are as they were sent last."""

    id: int
    fields: dict[str, Any]
    created_at: str
    updated_at: str


@dataclass
class Hook:
    """A webhook. ``deliveries`` lists event, delivery id and status of the answer."""

    id: int
    url: str
    secret: str = field(repr=False)
    events: list[str]
    is_active: bool = True
    deliveries: list[tuple[str, str, int]] = field(default_factory=list)


@dataclass
class WorkflowRun:
    """An attempt at a run of a workflow. It has ended if ``ended_at`` is set."""

    id: int
    attempt: int
    actor: tuple[str, int]
    """Who started the attempt: login and id."""
    sha: str
    started_at: str
    ended_at: str = ""


@dataclass
class Repository:
    """A repository; ``path`` is its bare git repository. ``secrets`` hold encrypted values by name."""

    id: int
    owner: str
    name: str
    path: Path
    default_branch: str = "main"
    is_private: bool = True
    owner_type: str = "User"
    deployments: list[Deployment] = field(default_factory=list)
    check_runs: list[CheckRun] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)
    pull_requests: list[PullRequest] = field(default_factory=list)
    environments: dict[str, Environment] = field(default_factory=dict)
    protections: dict[str, dict[str, Any]] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    organization_secrets: set[str] = field(default_factory=set)
    actions_enabled: bool = True
    allowed_actions: str = "all"
    workflow_permissions: str = "read"
    workflows_may_approve: bool = False
    workflows: set[str] = field(default_factory=set)
    groups: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    """Concurrency groups: run ids and their statuses, in order."""
    reviews: dict[int, list[Review]] = field(default_factory=dict)
    """Reviews of environments by run."""
    runs: list[WorkflowRun] = field(default_factory=list)
    attestations: list[Attestation] = field(default_factory=list)
    hooks: list[Hook] = field(default_factory=list)
    dispatches: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        """Owner and name."""
        return f"{self.owner}/{self.name}"

    def git(self, *arguments: str) -> str:
        """Run git in the repository and return its output, "" if it fails."""
        command = ["git", "-C", str(self.path), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    def commit_of(self, ref: str) -> str:
        """Return the commit of a branch, a tag or a SHA, "" if there is none."""
        return "" if ref.startswith("-") else self.git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")


class GitHubState:
    """All repositories and tokens."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.tokens: dict[str, Token] = {}
        self.deployment_records: dict[str, dict[tuple[str, ...], DeploymentRecord]] = {}
        """By organization, then by environment and name of the deployment."""
        self.users: dict[str, int] = {"octocat": 1, "hubot": 2, "github-actions[bot]": 41898282}
        self._ids = itertools.count(1000)

    def next_id(self) -> int:
        """Return an id that nothing has."""
        return next(self._ids)


def now() -> str:
    """Return the time as GitHub writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
