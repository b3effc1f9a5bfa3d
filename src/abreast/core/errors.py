"""Every error that abreast raises on purpose.

AbreastError
├── UsageError            wrong use of the command line                          exit 2
├── ConfigError           abreast.yml is wrong; one or more Faults               exit 2
├── RefusedError          a gate, an approval or a lock said no                  exit 3
├── StateError            the ledger or the engine's file cannot be used         exit 1
├── ArtifactError         an artifact cannot be had, or is not what was built    exit 1
├── DatabaseError         a database or a backup could not be used, or is none    exit 1
├── PlatformError         a platform could not do what was asked                 exit 1
│   ├── TransientError    … and the same call may succeed a moment later
│   └── UnavailableError  … since nobody there could be asked, however often
├── DeploymentError       failed; everything is on the old version               exit 1
└── StuckError            failed and not fully turned back: a person is needed   exit 4
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple


class AbreastError(Exception):
    """The root: says what is, what was needed, and the next command.

    ``what`` is the state found, ``need`` what would have been right, ``next`` a command to type.
    """

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
    """The command line asks for something that cannot be meant."""

    exit_code = 2


class Fault(NamedTuple):
    """One thing wrong in a file; ``line`` and ``column`` count from 1."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class ConfigError(AbreastError):
    """The configuration is wrong; carries every fault found, never only the first."""

    exit_code = 2

    def __init__(self, faults: Sequence[Fault], *, next: str = "") -> None:
        super().__init__("\n".join(map(str, faults)), next=next)
        self.faults = tuple(faults)


class RefusedError(AbreastError):
    """A gate, an approval or a lock said no; nothing was touched."""

    exit_code = 3


class StateError(AbreastError):
    """A state file is unreadable, of a newer version, or cannot be written; it was left as it is."""


class ArtifactError(AbreastError):
    """An artifact cannot be kept or had, or is not what was built."""


class DatabaseError(AbreastError):
    """A database, or a backup of one, could not be used as it was asked; says what state it left."""


class PlatformError(AbreastError):
    """A platform could not do what was asked; says what state it left."""


class TransientError(PlatformError):
    """A platform failed in a way that may pass; the call is safe to repeat."""


class UnavailableError(PlatformError):
    """A platform did not answer, or not as it should, although it was asked again."""


class DeploymentError(AbreastError):
    """A deployment failed and every service is on the old version."""


class StuckError(AbreastError):
    """A deployment failed and was not fully turned back; a person is needed."""

    exit_code = 4
