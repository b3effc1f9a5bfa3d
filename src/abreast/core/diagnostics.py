"""Diagnostics of a project, as ``doctor`` reports them."""

from enum import StrEnum

from abreast.core.errors import AbreastError, UnavailableError
from abreast.core.frozen_dataclass import dataclass


class DiagnosticSeverity(StrEnum):
    """How serious a diagnostic is. ``unknown``: the check could not run, so it may be any of the others."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One result: its subject (``about``), the state found, what was expected, and the next command."""

    level: DiagnosticSeverity
    about: str
    what: str
    need: str = ""
    next: str = ""

    @classmethod
    def from_error(cls, about: str, error: AbreastError) -> "Diagnostic":
        """Return an error as a diagnostic: UnavailableError is unknown, all others are faults."""
        level = DiagnosticSeverity.UNKNOWN if isinstance(error, UnavailableError) else DiagnosticSeverity.FAULT
        return cls(level, about, error.what, error.need, error.next)
