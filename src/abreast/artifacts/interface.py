"""The port of the artifact store."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

MIN_AGE = 3600.0
"""Seconds for which an artifact stays, whoever needs it: it may be on its way into a release."""

ArtifactMetadata = Mapping[str, Any]
"""What is known of an artifact as one service's, in JSON values: ``service``, ``commit``, ``inputs``, ``sbom``, …"""


class ArtifactStore(ABC):
    """Keeps folders under the digest of their content, each with what is known of it as each service's that has it.

    Raises ArtifactError where one cannot be kept or had, or is not what it was.
    """

    @abstractmethod
    def add(self, folder: Path, metadata: ArtifactMetadata) -> str:
        """Take the folder in, whole or not at all, and return its digest ``sha256:…``; the folder is gone then."""

    @abstractmethod
    def has(self, digest: str) -> bool:
        """Tell whether the artifact can be had."""

    @abstractmethod
    def fetch(self, digest: str) -> Path:
        """Return where the artifact lies, each byte of it compared with the digest."""

    @abstractmethod
    def metadata(self, digest: str, service: str) -> ArtifactMetadata:
        """Return what is known of the artifact as the service's, nothing where that is not there."""

    @abstractmethod
    def annotate(self, digest: str, service: str, **more: Any) -> None:  # noqa: ANN401 (JSON)
        """Add to what is known of the artifact as the service's."""

    @abstractmethod
    def find_by_inputs(self, inputs: str) -> str | None:
        """Return the artifact last made from these inputs, None where there is none."""

    @abstractmethod
    def prune(self, keep: Collection[str], min_age: float = MIN_AGE) -> int:
        """Take away all artifacts but those, and those younger than ``age`` seconds; returns how many went."""
