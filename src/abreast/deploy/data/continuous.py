"""Continuous backup: ship the changes of a database to the backup store for as long as a command runs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from abreast.core.errors import AbreastError
from abreast.core.model import Service
from abreast.database.change_archive import ChangeArchive
from abreast.database.change_stream import ChangeStream
from abreast.database.interface import Database
from abreast.deploy.data.plan import check_owner

SHIP_INTERVAL = 5.0
"""Seconds between two shipments: about what is lost if the machine dies."""

RETRY_INTERVAL = 15.0
"""Seconds until a stream that failed is started again."""


@dataclass(frozen=True, slots=True)
class ContinuousBackup:
    """The continuous backup of one service's database. ``keep``: how many seconds back can be recovered.

    ``report_failure`` receives failures, each once; ``report_recovery`` that the backup goes on, after a failure or at
    the beginning: an earlier command may have failed. ``now`` returns the time.
    """

    service: Service
    owner: str
    database: Database
    archive: ChangeArchive
    folder: Path
    keep: float
    now: Callable[[], str]
    report_failure: Callable[[str], None]
    report_recovery: Callable[[str], None]

    def run(self, stopped: threading.Event) -> None:
        """Ship until ``stopped``, then once more. A stream that ends is started again, with a full copy.

        While the store cannot be used, the stream goes on, and is shipped later.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        failures = _Failures(f"the continuous backup of {self.service.name}", self.report_failure, self.report_recovery)
        while not stopped.is_set():
            stream = self.database.change_stream(self.folder, self.keep)
            with failures.reported():
                try:
                    check_owner(self.database, self.owner)
                    stream.start()
                    self._ship_until(stream, stopped, failures)
                finally:
                    stream.stop()
                self._ship(stream)
            stopped.wait(RETRY_INTERVAL)

    def _ship_until(self, stream: ChangeStream, stopped: threading.Event, failures: "_Failures") -> None:
        while not stopped.wait(SHIP_INTERVAL):
            stream.check()
            with failures.reported():
                self._ship(stream)

    def _ship(self, stream: ChangeStream) -> None:
        project = self.owner.split("/")[0]
        self.archive.ship(stream, self.folder, project, self.database.engine, self.now())


class _Failures:
    """Reports each failure of ``what`` once, and when there is none any more."""

    def __init__(
        self, what: str, report_failure: Callable[[str], None], report_recovery: Callable[[str], None]
    ) -> None:
        self._what = what
        self._last: str | None = None
        self._report_failure = report_failure
        self._report_recovery = report_recovery

    @contextmanager
    def reported(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 (what fails is tried again, and must not end unseen)
            message = str(error) if isinstance(error, AbreastError) else f"{type(error).__name__}: {error}"
            if message != self._last:
                self._last = message
                self._report_failure(f"{self._what} has stopped: {message}")
        else:
            if self._last != "":
                self._report_recovery(f"{self._what} goes on")
            self._last = ""
