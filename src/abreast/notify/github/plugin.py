"""The settings of GitHub's notifier, and how it is made from what a workflow's environment says."""

from pydantic import BaseModel, ConfigDict, Field

from abreast.core.errors import UsageError
from abreast.github.api import repository_name
from abreast.notify.interface import Notifier, NotifierContext, NotifierPlugin


class GitHubSettings(BaseModel):
    """What GitHub is told. In a workflow of GitHub Actions that happens without this key."""

    model_config = ConfigDict(extra="forbid", strict=True)

    deployments: bool = Field(True, description="Whether each service has a deployment at GitHub, with its address.")
    check: bool = Field(True, description="Whether the commit has a check run for the environment.")
    records: bool = Field(True, description="Whether an organization has a record of where each artifact runs.")
    comment: bool = Field(True, description="Whether the commit's pull request has a comment for the environment.")


def create_notifier(context: NotifierContext, settings: BaseModel) -> Notifier | None:
    """Return the notifier, None if nothing is to be told.

    Raises UsageError if the repository or the token is unknown.
    """
    assert isinstance(settings, GitHubSettings)
    repository = repository_name(context.variable)
    if not (context.secret("GH_TOKEN") or context.secret("GITHUB_TOKEN")):
        raise UsageError(
            "the token for GitHub is not set",
            need="GITHUB_TOKEN in the environment of the step that runs abreast",
            next="env: {GITHUB_TOKEN: '${{ github.token }}'} in the workflow",
        )
    from abreast.notify.github.notifier import GitHubNotifier  # noqa: PLC0415 (slow, and only deployments need it)

    return GitHubNotifier.create(context, repository, settings)


PLUGIN = NotifierPlugin(GitHubSettings, create_notifier)
