"""How GitHub's notifier is made from what a workflow's environment says."""

from pydantic import BaseModel

from abreast.core.errors import UsageError
from abreast.github.api import repository_name
from abreast.notify.github.settings import GitHubSettings
from abreast.notify.interface import Notifier, NotifierContext, NotifierPlugin


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
