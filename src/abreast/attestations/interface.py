"""The port of attestations."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from abreast.core.attestations import Attestation
from abreast.core.errors import AbreastError
from abreast.core.frozen_dataclass import dataclass


class AttestationError(AbreastError):
    """Nothing was signed, or what was signed could not be published."""


@dataclass(frozen=True, slots=True)
class BuiltArtifact:
    """What a build made. ``subjects`` maps names to digests ``sha256:…``: the artifact, and its image if it is one.

    ``command`` is the build command, "" without one; ``inputs`` is the digest of all that the build was made from.
    """

    subjects: Mapping[str, str]
    service: str
    release: str
    environment: str
    commit: str
    command: str
    inputs: str
    finished: str


class Attestor(ABC):
    """Signs what this process built, and verifies what was signed."""

    @abstractmethod
    def obstacle(self) -> str:
        """Return why nothing can be signed here, "" if it can be tried. Asks nobody."""

    @abstractmethod
    async def sign(self, built: BuiltArtifact) -> str:
        """Return the signed statement of a build, a Sigstore bundle as JSON. Raises AttestationError."""

    @abstractmethod
    async def publish(self, bundle: str) -> None:
        """Store a bundle where the repository shows its attestations. Raises AttestationError."""

    @abstractmethod
    async def verify(self, digest: str, bundle: str | None) -> Attestation:
        """Return whether ``bundle`` says that the repository's own workflow built the artifact; never raises.

        What could not be looked at is unknown, never verified.
        """
