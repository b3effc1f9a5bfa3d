"""A background worker's process: it has no port."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BackgroundProcess:
    """A process that prints to ``log``."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @classmethod
    def start(cls, command: Sequence[str], folder: Path, env: Mapping[str, str], log: Path) -> "BackgroundProcess":
        """Start a command without ``$PORT``. Its output goes to ``log``."""
        inherited = {name: value for name, value in os.environ.items() if name != "PORT"}
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, cwd=folder, env={**inherited, **env}, start_new_session=True, stdout=output, stderr=output
            )
        return cls(process, log)

    def stop(self) -> None:
        """Stop the process and its children."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()
