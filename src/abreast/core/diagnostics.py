"""What a look at a project finds: what is right, what is wrong, what could not be asked."""

from dataclasses import dataclass
from enum import StrEnum

from abreast.core.errors import AbreastError, UnavailableError


class DiagnosticSeverity(StrEnum):
    """How much a remark matters; ``unknown``: it could not be looked at, so that it may be any of the others."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing found: ``about`` whom, ``what`` is, what was needed, and the next command."""

    level: DiagnosticSeverity
    about: str
    what: str
    need: str = ""
    next: str = ""

    @classmethod
    def from_error(cls, about: str, error: AbreastError) -> "Diagnostic":
        """Return what an error says: a fault, or unknown where nobody could be asked."""
        level = DiagnosticSeverity.UNKNOWN if isinstance(error, UnavailableError) else DiagnosticSeverity.FAULT
        return cls(level, about, error.what, error.need, error.next)
