"""What a repository's settings are, as far as the token may look."""

from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from abreast.github.client import GitHubClient
from abreast.github.resources import (
    ActionsPermissions,
    BranchProtection,
    ConcurrencyGroup,
    Environment,
    WorkflowPermissions,
)
from abreast.provider_api.api_client import AccessDeniedError

T = TypeVar("T")

OWN_CHECK_PREFIX = "abreast / "


@dataclass(frozen=True, slots=True)
class Seen(Generic[T]):
    """A setting that could be read."""

    value: T


@dataclass(frozen=True, slots=True)
class Hidden:
    """A setting that the token may not read; ``permission`` is what it needs, as a workflow or a token names it."""

    permission: str


@dataclass(frozen=True, slots=True)
class EnvironmentSettings:
    """An environment at GitHub, and the names of its secrets. None: there is no such environment."""

    environment: Seen[Environment | None] | Hidden
    secrets: Seen[frozenset[str]] | Hidden


@dataclass(frozen=True, slots=True)
class RepositorySettings:
    """The settings of a repository. ``checks`` are those that ran on the default branch's newest commit."""

    repository: str
    default_branch: str
    protection: Seen[BranchProtection | None] | Hidden
    checks: Seen[frozenset[str]] | Hidden
    secrets: Seen[frozenset[str]] | Hidden
    shared_secrets: Seen[frozenset[str]] | Hidden
    actions: Seen[ActionsPermissions] | Hidden
    workflows: Seen[WorkflowPermissions] | Hidden
    groups: Seen[list[ConcurrencyGroup]] | Hidden
    environments: Mapping[str, EnvironmentSettings] = field(default_factory=dict)


async def read_settings(github: GitHubClient, environments: Collection[str]) -> RepositorySettings:
    """Read the settings of a repository, and those of environments. Raises PlatformError if GitHub does not answer."""
    repository = await github.get_repository()
    branch = repository.default_branch
    return RepositorySettings(
        repository.full_name,
        branch,
        await _look(github.get_branch_protection(branch)),
        await _look(_check_names(github, branch)),
        await _look(github.list_secret_names()),
        await _look(github.list_shared_secret_names()),
        await _look(github.get_actions_permissions()),
        await _look(github.get_workflow_permissions()),
        await _look(github.list_concurrency_groups()),
        {name: await _read_environment(github, name) for name in environments},
    )


async def _read_environment(github: GitHubClient, name: str) -> EnvironmentSettings:
    environment = await _look(github.get_environment(name))
    if isinstance(environment, Seen) and environment.value is None:
        return EnvironmentSettings(environment, Seen(frozenset()))
    return EnvironmentSettings(environment, await _look(github.list_secret_names(name)))


async def _check_names(github: GitHubClient, branch: str) -> frozenset[str]:
    names = {run.name for run in await github.list_check_runs(branch)}
    return frozenset(name for name in names if not name.startswith(OWN_CHECK_PREFIX))


async def _look(asked: Awaitable[T]) -> Seen[T] | Hidden:
    try:
        return Seen(await asked)
    except AccessDeniedError as error:
        return Hidden(error.permission or error.need)
