"""The port of the artifact store."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

MIN_AGE = 3600.0
"""Seconds that an artifact is kept even if no release uses it: a running build may be about to."""

ArtifactMetadata = Mapping[str, Any]
"""An artifact's metadata for one service, as JSON values: ``service``, ``commit``, ``inputs``, ``sbom``, …"""


class ArtifactStore(ABC):
    """Stores folders by the digest of their content, with metadata for each service that uses them.

    Raises ArtifactError if an artifact cannot be stored or read, or if its content changed.
    """

    @abstractmethod
    def add(self, folder: Path, metadata: ArtifactMetadata) -> str:
        """Move ``folder`` into the store, all or nothing, and return its digest ``sha256:…``."""

    @abstractmethod
    def has(self, digest: str) -> bool:
        """Return whether the store has the artifact."""

    @abstractmethod
    def fetch(self, digest: str) -> Path:
        """Return the artifact's folder, its content verified against ``digest``."""

    @abstractmethod
    def metadata(self, digest: str, service: str) -> ArtifactMetadata:
        """Return the artifact's metadata for a service, empty if there is none."""

    @abstractmethod
    def annotate(self, digest: str, service: str, **more: Any) -> None:  # noqa: ANN401 (JSON)
        """Add ``more`` to the artifact's metadata for a service."""

    @abstractmethod
    def attestation(self, digest: str) -> str | None:
        """Return the artifact's attestation, a Sigstore bundle as JSON; None if it has none."""

    @abstractmethod
    def attach_attestation(self, digest: str, bundle: str) -> None:
        """Store an attestation beside the artifact, in place of the one that it may have."""

    @abstractmethod
    def find_by_inputs(self, inputs: str) -> str | None:
        """Return the digest of the artifact last built from these inputs, None if there is none."""

    @abstractmethod
    def prune(self, keep: Collection[str], min_age: float = MIN_AGE) -> int:
        """Delete artifacts not in ``keep`` that are older than ``min_age`` seconds; return the number deleted."""
