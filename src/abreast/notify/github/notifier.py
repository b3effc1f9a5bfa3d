"""Brings GitHub to what a deployment is: each part on its own, so that a missing permission stops only its part."""

import time
from collections.abc import Callable, Sequence

from abreast.core.errors import PlatformError, TransientError, UnavailableError
from abreast.core.states import DeploymentState
from abreast.github.api import connect_github
from abreast.github.client import GitHubClient
from abreast.github.content_limit import ContentLimit
from abreast.notify.github.check_run import CheckRunPart
from abreast.notify.github.comment import CommentPart
from abreast.notify.github.deployments import Deployments
from abreast.notify.github.part import Part
from abreast.notify.github.records import RecordsPart
from abreast.notify.github.settings import GitHubSettings
from abreast.notify.interface import (
    NotificationDelayedError,
    NotificationError,
    Notifier,
    NotifierContext,
    SentMessages,
    Snapshot,
)
from abreast.provider_api.api_client import AccessDeniedError

BATCH_INTERVAL = 5.0
"""Seconds between two updates of a deployment that is still in the same state."""

RETRY_DELAY = 3.0
"""Seconds until an update that GitHub did not answer is tried again."""


class GitHubNotifier(Notifier):
    """Tells GitHub. ``connect`` returns a client; ``clock`` returns seconds."""

    name = "github"

    def __init__(
        self, connect: Callable[[], GitHubClient], parts: Sequence[Part], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._connect = connect
        self._parts = parts
        self._clock = clock
        self._last: tuple[str, DeploymentState, float] | None = None

    @classmethod
    def create(cls, context: NotifierContext, repository: str, settings: GitHubSettings) -> "GitHubNotifier | None":
        """Return the notifier of a repository, None if the settings turn all parts off."""
        parts: list[Part] = []
        if settings.deployments:
            parts.append(Deployments())
        if settings.check:
            parts.append(CheckRunPart())
        if settings.comment:
            parts.append(CommentPart())
        if settings.records:
            parts.append(RecordsPart())
        limit = ContentLimit()
        return cls(lambda: GitHubClient(connect_github(context), repository, limit), parts) if parts else None

    async def notify(self, snapshot: Snapshot, sent: SentMessages) -> None:
        """Update all parts. What cannot be updated is said once, when the deployment is over."""
        if not snapshot.plan.kind.is_releasing:  # GitHub has no word for others, such as a migration or a drill
            return
        self._batch(snapshot)
        github = self._connect()
        try:
            refusals = [await self._update(part, github, snapshot, sent) for part in self._parts]
        finally:
            await github.close()
        self._last = (snapshot.plan.deployment, snapshot.state, self._clock())
        if snapshot.state.is_final or snapshot.state is DeploymentState.STUCK:
            await self._report(refusals, sent)

    def _batch(self, snapshot: Snapshot) -> None:
        """Raise NotificationDelayedError if the last update was a moment ago and the state is the same."""
        if self._last is None or self._last[:2] != (snapshot.plan.deployment, snapshot.state):
            return
        pause = self._last[2] + BATCH_INTERVAL - self._clock()
        if pause > 0:
            raise NotificationDelayedError("GitHub was told a moment ago", retry_after=pause)

    async def _update(
        self, part: Part, github: GitHubClient, snapshot: Snapshot, sent: SentMessages
    ) -> tuple[Part, PlatformError] | None:
        try:
            await part.update(github, snapshot, sent)
        except (TransientError, UnavailableError) as error:
            raise NotificationDelayedError(error.what, need=error.need, retry_after=RETRY_DELAY) from error
        except PlatformError as error:
            return part, error
        return None

    async def _report(self, refusals: Sequence[tuple[Part, PlatformError] | None], sent: SentMessages) -> None:
        """Raise NotificationError with the refusals that were not said before."""
        news = [refusal for refusal in refusals if refusal and sent.find(f"refused/{refusal[0].name}") is None]
        for part, _ in news:
            await sent.record(f"refused/{part.name}")
        if news:
            denied = [part.permission for part, error in news if isinstance(error, AccessDeniedError)]
            others = [error.need for _, error in news if error.need and not isinstance(error, AccessDeniedError)]
            permissions = f"a token with {', '.join(denied)}" if denied else ""
            raise NotificationError(
                "; ".join(f"{part.name}: {error.what}" for part, error in news),
                need="; ".join(filter(None, dict.fromkeys([permissions, *others]))),
                next=f"permissions: {{{', '.join(denied)}}} in the workflow" if denied else "",
            )
