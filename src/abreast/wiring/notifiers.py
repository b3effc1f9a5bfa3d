"""Who is told about deployments: the notifiers that abreast.yml names, and those that need no settings."""

from collections.abc import Mapping
from functools import partial

from pydantic import BaseModel

from abreast.config.variables import resolve_secrets
from abreast.core.errors import UsageError
from abreast.core.secrets import Secret
from abreast.notify.interface import NotificationError, Notifier, NotifierContext, SentMessages, Snapshot
from abreast.wiring.plugins import NOTIFIERS

UNNAMED: Mapping[str, str] = {"GITHUB_ACTIONS": "github"}
"""Notifiers that abreast.yml need not name, by the variable that is ``true`` where they are at home."""


class UnreachableNotifier(Notifier):
    """A notifier that cannot be made here, such as one whose variable is not set. It says why."""

    def __init__(self, name: str, error: UsageError) -> None:
        self.name = name
        self._error = error

    async def notify(self, snapshot: Snapshot, sent: SentMessages) -> None:
        """Raise NotificationError."""
        del snapshot, sent
        raise NotificationError(self._error.what, need=self._error.need, next=self._error.next)


def create_notifiers(project: str, configured: Mapping[str, BaseModel], variables: Mapping[str, str]) -> list[Notifier]:
    """Return the notifiers of a project."""
    unnamed = {
        name: NOTIFIERS[name].settings()
        for variable, name in UNNAMED.items()
        if variables.get(variable) == "true" and name not in configured
    }
    made = (_create(project, name, settings, variables) for name, settings in {**configured, **unnamed}.items())
    return [notifier for notifier in made if notifier]


def _create(project: str, name: str, settings: BaseModel, variables: Mapping[str, str]) -> Notifier | None:
    context = NotifierContext(
        project, variables.get, partial(_secret, variables), lambda text: resolve_secrets({name: text}, variables)[name]
    )
    try:
        return NOTIFIERS[name].create(context, settings)
    except UsageError as error:
        return UnreachableNotifier(name, error)


def _secret(variables: Mapping[str, str], name: str) -> Secret | None:
    value = variables.get(name)
    return Secret(name, value) if value else None
