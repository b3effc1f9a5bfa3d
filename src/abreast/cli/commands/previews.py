"""``abreast down`` of previews: one by name, or all that nobody needs any more."""

import asyncio
import os
import sys
from collections.abc import Collection

from abreast.cli.confirmation import confirm
from abreast.cli.selection import locate_workspace
from abreast.cli.target import hold_environment
from abreast.config.load import ProjectConfig
from abreast.core.errors import AbreastError, UsageError
from abreast.deploy.notifications import tell_of_removal
from abreast.deploy.preview_removal import StandingPreview, expiry_reason, remove_preview, standing_previews
from abreast.deploy.runtime.preview_history import latest_life
from abreast.github.api import VariableSettings, connect_github, repository_name
from abreast.github.client import GitHubClient
from abreast.ledger.sqlite import SqliteLedger
from abreast.wiring.assembly import Assembly
from abreast.wiring.workspace import Workspace, utc_now


def is_preview(environment: str) -> bool:
    """Whether an environment is a preview, by the record; one that was never deployed, if abreast.yml has no such."""
    workspace = locate_workspace()
    with workspace.open_ledger() as ledger:
        if ledger.deployments(environment, limit=1):
            return latest_life(ledger, environment) is not None
    return environment not in workspace.environment_names()


def remove_one(environment: str, *, yes: bool) -> int:
    """Remove a preview. A second time, what runs on this machine, if the first time was on another one."""
    workspace = locate_workspace()
    with workspace.open_ledger() as ledger:
        if not ledger.deployments(environment, limit=1):
            print(f"{environment} was never deployed, so there is nothing to remove")
            return 0
        confirm(f"Remove the preview {environment}, with its data?", "that", yes=yes)
        _remove(workspace, ledger, environment, f"removed by {workspace.operator}")
    print(f"{environment} is removed. next: abreast deploy --env {environment} makes it again")
    return 0


def remove_expired(environment: str | None, *, yes: bool) -> int:
    """Remove the previews that nobody needs any more, of one environment or of all.

    Returns 1 if one could not be removed.
    """
    workspace = locate_workspace()
    project = Assembly(workspace).project
    lifetimes = project.preview_lifetimes
    with workspace.open_ledger() as ledger:
        standing = [preview for preview in standing_previews(ledger) if environment in {None, preview.name.base}]
        if environment and not standing:
            _require_base(project, environment)
        opened = _open_pull_requests() if standing else ()
        reasons = {preview.environment: expiry_reason(preview, lifetimes, utc_now(), opened) for preview in standing}
        due = [preview for preview in standing if reasons[preview.environment]]
        for preview in due:
            print(f"{preview.environment}: {reasons[preview.environment]}")
        if due:
            confirm(f"Remove {len(due)} of {len(standing)} previews, with their data?", "that", yes=yes)
        failed = [preview for preview in due if not _try_to_remove(workspace, ledger, preview, reasons)]
    print(f"{len(due) - len(failed)} removed, {len(standing) - len(due) + len(failed)} left")
    return 1 if failed else 0


def _require_base(project: ProjectConfig, environment: str) -> None:
    """Raise UsageError unless an environment is one of abreast.yml, which may have previews."""
    project.require_environment(environment)
    if environment not in project.environments:
        raise UsageError(
            f"{environment} is a preview itself",
            need="--expired with the environment that has previews, or without any",
            next=f"abreast down --env {environment}",
        )


def _try_to_remove(
    workspace: Workspace, ledger: SqliteLedger, preview: StandingPreview, reasons: dict[str, str]
) -> bool:
    try:
        _remove(workspace, ledger, preview.environment, reasons[preview.environment])
    except AbreastError as error:
        print(error, file=sys.stderr)
        return False
    return True


def _remove(workspace: Workspace, ledger: SqliteLedger, environment: str, why: str) -> None:
    assembly = Assembly(workspace)
    ports = assembly.ports(environment, ledger)
    with hold_environment(workspace, environment, ledger):
        for deployment in ledger.deployments(environment):
            if not deployment.state.is_final:
                ports.end_orphans(workspace.deployment_logs / deployment.id)
        asyncio.run(remove_preview(ports, environment, why, print))
    asyncio.run(tell_of_removal(ports, environment, print))


def _open_pull_requests() -> Collection[int] | None:
    """Return the open pull requests. None if GitHub does not tell, which is said."""
    settings = VariableSettings(os.environ)
    try:
        github = GitHubClient(connect_github(settings), repository_name(settings.variable))
        return asyncio.run(_ask_github(github))
    except AbreastError as error:
        print(f"pull requests were not looked at, only the age of previews: {error.what}", file=sys.stderr)
        return None


async def _ask_github(github: GitHubClient) -> Collection[int]:
    try:
        return {pull.number for pull in await github.open_pull_requests()}
    finally:
        await github.close()
