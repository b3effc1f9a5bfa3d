"""The port that every check fills: one look at one version, now."""

from dataclasses import dataclass
from typing import Protocol

from abreast.core.model import Health, Version


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found; ``why`` says what was wrong, in words for a person.

    ``final``: looking again cannot help (a wrong version answers, say).
    """

    good: bool
    why: str = ""
    final: bool = False


class Check(Protocol):
    """Looks once; never raises for what it finds."""

    async def __call__(self, version: Version, health: Health, commit: str) -> Finding:
        """Tell whether ``version`` is in order and, where it names its commit, is ``commit``."""
        ...
