"""Spare copies of what an install left, made when there is time, so that the next build takes one by a rename."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from abreast.core.frozen_dataclass import dataclass
from abreast.machine.kernel import PROCESSES

MAX_SPARES = 2
"""Copies of one install: builds and tests run in parallel."""

MAX_AGE = 7 * 86400.0
"""Seconds without use after which the copies of an install are removed."""


@dataclass(frozen=True, slots=True)
class Spares:
    """The spare copies in ``folder``, and how many the last deployment would have used.

    Each is whole, and nobody else's: it has its name only once it is complete. Those of an earlier boot are not used,
    since a power failure can leave a name without its content.
    """

    folder: Path

    def want(self) -> None:
        """Note that a copy is being used: the next deployment will use one too."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        with self._wanted.open("ab") as wanted:
            wanted.write(b".")

    def take(self) -> Path | None:
        """Return a copy that now belongs to the caller, who removes it; None if there is none."""
        for spare in self._ready():
            return spare.rename(spare.with_name(f"taken-{time.time_ns()}"))
        return None

    def prepare(self, source: Path, copy: Callable[[Path, Path], None]) -> None:
        """Make as many copies of ``source`` as were used since the last call. The caller holds the install's lock."""
        if not self._wanted.exists():
            if self.folder.is_dir() and self.folder.stat().st_mtime < time.time() - MAX_AGE:
                shutil.rmtree(self.folder, ignore_errors=True)
            return
        count, ready = min(self._wanted.stat().st_size, MAX_SPARES), self._ready()
        for other in set(self.folder.iterdir()) - {*ready, self._wanted}:
            shutil.rmtree(other, ignore_errors=True)
        for _ in range(count - len(ready)):
            unfinished = self.folder / "unfinished"
            copy(source, unfinished)
            unfinished.rename(self.folder / f"{PROCESSES.boot_id()}-{time.time_ns()}")
        self._wanted.unlink()

    @property
    def count(self) -> int:
        """How many copies there are."""
        return len(self._ready())

    @property
    def _wanted(self) -> Path:
        return self.folder / "wanted"

    def _ready(self) -> list[Path]:
        return sorted(self.folder.glob(f"{PROCESSES.boot_id()}-*"))
