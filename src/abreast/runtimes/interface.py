"""The ports of runtimes: interpreters, and the store of what installs made."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from abreast.core.frozen_dataclass import dataclass


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python interpreter on this machine: its path, and its version with the implementation."""

    path: str
    version: str


class PythonProvider(ABC):
    """Finds interpreters and makes environments. Raises UsageError if it cannot."""

    @abstractmethod
    def find(self, request: str) -> Interpreter:
        """Return an interpreter on this machine for a version or a range, such as ``3.12`` or ``>=3.11,<3.13``."""

    @abstractmethod
    def create(self, interpreter: Interpreter, folder: Path) -> None:
        """Make an environment with pip in the new folder ``folder``, where it stays. Needs no network."""

    @abstractmethod
    def variables(self, folder: Path, path: str) -> Mapping[str, str]:
        """Return the variables by which commands use an environment; ``path`` is their PATH without it."""

    @abstractmethod
    def file_that_mentions(self, folder: Path, checkout: Path) -> str:
        """Return a file of an environment that leads into a checkout, as ``pip install -e`` leaves one; or ""."""


class InstallStore(ABC):
    """Keeps what installs made, by key: what they left in the checkout, and the Python environment they filled.

    A key is complete or unusable: what an interrupted install left is never used.
    """

    @abstractmethod
    def lock(self, key: str) -> AbstractContextManager[bool]:
        """Try to take the lock of a key for the block; whether it was free."""

    @abstractmethod
    def mark(self, key: str) -> Mapping[str, str]:
        """Return a variable for commands that fill a key: ``begin`` ends those that a killed process left."""

    @abstractmethod
    def python_folder(self, key: str) -> Path:
        """Return the folder of a key's Python environment, whether or not it exists. It never moves."""

    @abstractmethod
    def is_complete(self, key: str) -> bool:
        """Return whether a key can be used."""

    @abstractmethod
    def begin(self, key: str, checkout: Path, inputs: Collection[str]) -> None:
        """Remove what an interrupted install left of a key, and note the state of ``checkout`` before the install.

        ``inputs`` are the files that the install reads.
        """

    @abstractmethod
    def changed_files(self, key: str, checkout: Path) -> Sequence[str]:
        """Return the files of the checkout that the install changed or removed. Another checkout may differ there."""

    @abstractmethod
    def complete(self, key: str, checkout: Path) -> None:
        """Keep a copy of what the install left in ``checkout``, and mark the key complete."""

    @abstractmethod
    def restore(self, key: str, checkout: Path) -> None:
        """Put what a complete install left into a clean checkout. What is written to it there changes nothing here."""

    @abstractmethod
    def prepare(self) -> None:
        """Get ready for the next deployment, when there is time. Raises ArtifactError or OSError if it cannot."""

    @abstractmethod
    def reference(self, key: str, artifact: str) -> None:
        """Keep a key as long as an artifact that runs with it."""

    @abstractmethod
    def prune(self, artifacts: Collection[str]) -> int:
        """Delete keys that no artifact in ``artifacts`` needs and that were used longest ago; return their number."""
