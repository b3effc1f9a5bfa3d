"""The errors that abreast raises on purpose.

AbreastError
├── UsageError            invalid command line                                   exit 2
├── ConfigError           invalid abreast.yml, with one or more Faults           exit 2
├── RefusedError          refused by a gate, an approval or a lock               exit 3
├── StateError            the ledger is unusable                                 exit 1
│   └── LeaseLostError    … by this process: another one took the environment over
├── ArtifactError         an artifact is unavailable or corrupt                  exit 1
├── DatabaseError         a database or a backup is unusable                     exit 1
│   └── DatabaseStoppedError  … since the server that abreast runs for it does not run
├── PlatformError         a platform call failed                                 exit 1
│   ├── TransientError    … and a retry may succeed
│   ├── UnavailableError  … and retries did too: no usable answer
│   └── UnknownVersionError  … since the platform does not say which version is live
├── DeploymentError       failed; all services serve the previous version        exit 1
└── StuckError            failed and not fully turned back: a person is needed   exit 4
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple


class AbreastError(Exception):
    """The root: ``what`` is the state found, ``need`` what was expected, ``next`` the command to type."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, need: str = "", next: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.need = need
        self.next = next

    def __str__(self) -> str:
        lines = [self.what]
        if self.need:
            lines.append(f"  needed: {self.need}")
        if self.next:
            lines.append(f"  next:   {self.next}")
        return "\n".join(lines)


class UsageError(AbreastError):
    """The command line is not valid."""

    exit_code = 2


class Fault(NamedTuple):
    """One fault in a file. ``line`` and ``column`` count from 1."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class ConfigError(AbreastError):
    """The configuration is not valid. Carries every fault, not only the first."""

    exit_code = 2

    def __init__(self, faults: Sequence[Fault], *, next: str = "") -> None:
        super().__init__("\n".join(map(str, faults)), next=next)
        self.faults = tuple(faults)


class RefusedError(AbreastError):
    """A gate, an approval or a lock refused. Nothing was changed."""

    exit_code = 3


class StateError(AbreastError):
    """A state file is unreadable, from a newer version, or not writable. It was not changed."""


class LeaseLostError(StateError):
    """The environment was taken over, since this process did not show for a while that it was alive."""

    def __init__(self, fence: str) -> None:
        environment = fence.rpartition("/")[0]
        super().__init__(
            f"another process took over {environment}, since this one did not show for a while that it was alive",
            need="one process at a time; this one records and changes nothing more",
            next=f"abreast status --env {environment}",
        )


class ArtifactError(AbreastError):
    """An artifact cannot be stored or fetched, or does not match its digest."""


class DatabaseError(AbreastError):
    """An operation on a database or a backup failed. The message says what state it left."""


class DatabaseStoppedError(DatabaseError):
    """The server that abreast runs for a database does not run. Nothing was started."""


class PlatformError(AbreastError):
    """A platform call failed. The message says what state it left."""


class TransientError(PlatformError):
    """A platform call failed temporarily. It is safe to retry."""


class UnavailableError(PlatformError):
    """A platform gave no usable answer, even after retries."""


class UnknownVersionError(PlatformError):
    """A platform does not say which version is live."""


class DeploymentError(AbreastError):
    """A deployment failed. All services serve the previous version."""


class StuckError(AbreastError):
    """A deployment failed and was not fully turned back. A person must act."""

    exit_code = 4
