"""One thing at GitHub that is kept as the snapshot says."""

from abc import ABC, abstractmethod

from abreast.github.client import GitHubClient
from abreast.notify.interface import SentMessages, Snapshot


class Part(ABC):
    """A thing at GitHub. It may be brought up to date at any time, from any machine: it looks before it makes."""

    name: str
    permission: str
    """What the token needs, as a workflow writes it."""

    @abstractmethod
    async def update(self, github: GitHubClient, snapshot: Snapshot, sent: SentMessages) -> None:
        """Bring GitHub to what the snapshot says. Raises the errors of ApiClient."""
