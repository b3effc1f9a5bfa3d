"""The port that every check fills: one look at one version, now."""

from dataclasses import dataclass
from typing import Protocol

from abreast.core.model import HealthSettings, Version


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one look found; ``why`` says what was wrong, in words for a person.

    ``final``: looking again cannot help (a wrong version answers, say).
    """

    success: bool
    why: str = ""
    final: bool = False


class Check(Protocol):
    """Looks once; never raises for what it finds."""

    async def __call__(self, version: Version, health: HealthSettings, commit: str) -> CheckResult:
        """Tell whether ``version`` is in order and, where it names its commit, is ``commit``."""
        ...
