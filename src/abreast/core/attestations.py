"""What is known of an artifact's attestation: a signed statement of where and from what it was built."""

from enum import StrEnum

from abreast.core.frozen_dataclass import dataclass


class AttestationVerdict(StrEnum):
    """What a look at an artifact's attestation found. Unknown: it could not be looked at."""

    VERIFIED = "verified"
    MISSING = "not attested"
    INVALID = "invalid"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Attestation:
    """The attestation of one artifact. ``detail``: who attested it, or why it counts for nothing, "" if unsaid."""

    verdict: AttestationVerdict
    detail: str = ""

    @property
    def is_verified(self) -> bool:
        """Whether a workflow of the project's own repository attested the artifact."""
        return self.verdict is AttestationVerdict.VERIFIED

    def __str__(self) -> str:
        words = {
            AttestationVerdict.VERIFIED: "attested by",
            AttestationVerdict.MISSING: "not attested:",
            AttestationVerdict.INVALID: "its attestation is not valid:",
            AttestationVerdict.UNKNOWN: "attestation unknown:",
        }
        return f"{words[self.verdict]} {self.detail}" if self.detail else words[self.verdict].rstrip(":")
