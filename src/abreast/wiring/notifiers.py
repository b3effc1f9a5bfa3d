"""Who is told about deployments: the notifiers that abreast.yml names, and those that need no settings."""

from collections.abc import Callable, Mapping
from functools import partial

from pydantic import BaseModel

from abreast.config.receivers import receiver_kind
from abreast.config.variables import resolve_secrets
from abreast.core.errors import UsageError
from abreast.core.secrets import Secret
from abreast.notify.email import plugin as email
from abreast.notify.email.plugin import EmailSettings
from abreast.notify.interface import (
    NotificationError,
    Notifier,
    NotifierContext,
    Occurrence,
    Receipt,
    SentMessages,
    Snapshot,
)
from abreast.notify.routing import Route, RouteSettings
from abreast.wiring.plugins import NOTIFIERS

UNNAMED: Mapping[str, str] = {"GITHUB_ACTIONS": "github"}
"""Notifiers that abreast.yml need not name, by the variable that is ``true`` where they are at home."""


class UnreachableNotifier(Notifier):
    """A notifier that cannot be made here, such as one whose variable is not set. It says why."""

    def __init__(self, name: str, route: Route, error: UsageError) -> None:
        self.name = name
        self._route = route
        self._error = NotificationError(error.what, need=error.need, next=error.next)

    async def notify(self, snapshot: Snapshot, sent: SentMessages) -> None:
        """Raise NotificationError, unless nobody is to be told."""
        del sent
        if self._route.includes(snapshot.plan.environment):
            raise self._error

    async def notify_occurrence(self, occurrence: Occurrence, sent: SentMessages) -> None:
        """Raise NotificationError, unless nobody is to be told."""
        del sent
        if self._route.includes(occurrence.environment):
            raise self._error

    async def send_test(self) -> Receipt:
        """Raise NotificationError."""
        raise self._error


def create_notifiers(project: str, configured: Mapping[str, BaseModel], variables: Mapping[str, str]) -> list[Notifier]:
    """Return the notifiers of a project."""
    unnamed = {
        name: NOTIFIERS[name].settings()
        for variable, name in UNNAMED.items()
        if variables.get(variable) == "true" and name not in configured
    }
    made = (_create(project, name, settings, variables) for name, settings in {**configured, **unnamed}.items())
    return [notifier for notifier in made if notifier]


def approval_mail(configured: Mapping[str, BaseModel], environment: str) -> tuple[str, EmailSettings] | None:
    """Return the receiver whose server and sender requests to people are sent by: the first of e-mail that is told."""
    for name, settings in configured.items():
        if isinstance(settings, EmailSettings) and settings.route().includes(environment):
            return name, settings
    return None


def create_approver_notifier(
    project: str, receiver: tuple[str, EmailSettings], variables: Mapping[str, str],
    person: str, address: str, link: Callable[[], Secret],
) -> Notifier:  # fmt: skip
    """Return who tells one person, by the server of a receiver, that a deployment waits for an approval."""
    name, settings = receiver
    context = _context(project, f"{name} to {person}", variables)
    try:
        return email.create_approver_notifier(context, settings, address, link)
    except UsageError as error:
        return UnreachableNotifier(context.name, settings.route(), error)


def _create(project: str, name: str, settings: BaseModel, variables: Mapping[str, str]) -> Notifier | None:
    context = _context(project, name, variables)
    try:
        return NOTIFIERS[receiver_kind(name, NOTIFIERS) or name].create(context, settings)
    except UsageError as error:
        route = settings.route() if isinstance(settings, RouteSettings) else Route()
        return UnreachableNotifier(name, route, error)


def _context(project: str, name: str, variables: Mapping[str, str]) -> NotifierContext:
    return NotifierContext(
        name,
        project,
        variables.get,
        partial(_secret, variables),
        lambda text: resolve_secrets({name: text}, variables)[name],
    )


def _secret(variables: Mapping[str, str], name: str) -> Secret | None:
    value = variables.get(name)
    return Secret(name, value) if value else None
