"""Judging a version by a series of looks at it: pure, so that every way it can go is tested as data."""

from dataclasses import dataclass, replace
from enum import StrEnum

PATIENCE = 3
"""Bad looks in a row, after a good one, that count as failed."""


class Verdict(StrEnum):
    """What the looks so far amount to."""

    OPEN = "open"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Look:
    """One look, ``at`` seconds since the first; ``final``: looking again cannot help."""

    at: float
    good: bool
    why: str = ""
    final: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """Passes after good looks for ``hold`` seconds in a row.

    Fails when none was good within ``start`` seconds, at a final look, or at PATIENCE bad ones in a row
    after a good one.
    """

    start: float
    hold: float
    verdict: Verdict = Verdict.OPEN
    why: str = ""
    good_since: float | None = None
    was_good: bool = False
    bad: int = 0

    def pause(self, now: float, usual: float) -> float:
        """Return the seconds until the next look: the usual, or less where the trial could pass before."""
        return usual if self.good_since is None else min(usual, max(0.0, self.good_since + self.hold - now))

    def after(self, look: Look) -> "Trial":
        """Return the trial as it stands after one more look; a verdict once given stays."""
        if self.verdict is not Verdict.OPEN:
            return self
        return self._better(look) if look.good else self._worse(look)

    def _better(self, look: Look) -> "Trial":
        since = look.at if self.good_since is None else self.good_since
        passed = look.at - since >= self.hold
        verdict = Verdict.PASSED if passed else Verdict.OPEN
        return replace(self, good_since=since, was_good=True, bad=0, verdict=verdict, why="")

    def _worse(self, look: Look) -> "Trial":
        bad = self.bad + 1
        lost = self.was_good and bad >= PATIENCE
        late = not self.was_good and look.at >= self.start
        verdict = Verdict.FAILED if look.final or lost or late else Verdict.OPEN
        why = look.why
        if lost and not look.final:
            why = f"was healthy, then not {bad} times in a row: {look.why}"
        elif late and not look.final:
            why = f"not healthy within {self.start:g} s: {look.why}"
        return replace(self, good_since=None, bad=bad, verdict=verdict, why=why)
