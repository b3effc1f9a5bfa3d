"""The port of the artifact store."""

from abc import ABC, abstractmethod
from pathlib import Path


class Artifacts(ABC):
    """Keeps folders under the digest of their content."""

    @abstractmethod
    def add(self, folder: Path) -> str:
        """Take the folder in, whole or not at all, and return its digest ``sha256:…``; the folder is gone then.

        Raises ArtifactError where it cannot be kept.
        """

    @abstractmethod
    def path(self, digest: str) -> Path | None:
        """Return where the artifact lies, None if it is not here."""
