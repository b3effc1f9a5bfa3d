"""The port of checks: one probe of one version."""

from typing import Protocol

from abreast.core.frozen_dataclass import dataclass
from abreast.core.model import HealthSettings, Version


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one probe. ``why`` explains a failure to a person.

    ``final``: a retry cannot help, for example because the wrong version answers. ``status``: the HTTP status of a
    failed answer, None if there was none.
    """

    success: bool
    why: str = ""
    final: bool = False
    status: int | None = None


class Check(Protocol):
    """Probes a version once. Returns failures, never raises them."""

    async def __call__(self, version: Version, health: HealthSettings, commit: str) -> CheckResult:
        """Return whether ``version`` is healthy and, if it reports its commit, runs ``commit``."""
        ...
