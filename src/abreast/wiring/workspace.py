"""A project on this machine: where it is and what it has recorded. Imports little, so that commands start fast."""

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from abreast.config.files import find_config_file
from abreast.core.errors import UsageError
from abreast.core.frozen_dataclass import dataclass
from abreast.ledger.entry_file import LEDGER_FILE, EntryFile, ReadOnlyEntryFile, make_state_folder
from abreast.ledger.file_errors import why_unwritable
from abreast.ledger.lock import EnvironmentLock
from abreast.ledger.sqlite import SqliteLedger
from abreast.wiring.machine_variables import MachineVariables
from abreast.wiring.state_folder import state_folder
from abreast.wiring.state_location import is_elsewhere, state_location

if TYPE_CHECKING:
    from abreast.ci.id_tokens.run_verification import RunVerification
    from abreast.ci.interface import CiRun
    from abreast.core.identity import Identity

ENTRY_FILE_CLASS: type[EntryFile] = EntryFile
"""The class of the ledger's file. Tests replace it by one that crashes."""


MIN_LEASE_EXPIRY = 3


@dataclass(frozen=True, slots=True)
class Workspace:
    """A project on this machine: ``config_file`` is its abreast.yml, ``state`` holds everything abreast records."""

    config_file: Path
    state: Path
    variables: Mapping[str, str]

    @classmethod
    def locate(cls, start: Path, variables: Mapping[str, str]) -> "Workspace":
        """Return the project that the folder ``start`` belongs to. Raises ConfigError if there is none."""
        file = find_config_file(start)
        if variables.get("GITHUB_ACTIONS") == "true":  # where a secret that nobody set is an empty text
            variables = {name: value for name, value in variables.items() if value}
        return cls(file, state_folder(file.parent, variables), MachineVariables(variables))

    def hide_variables(self, names: Collection[str]) -> None:
        """Let nothing have variables that does not ask for them by name, also no process that this one starts."""
        if isinstance(self.variables, MachineVariables):
            self.variables.hide(names)

    @property
    def root(self) -> Path:
        """The folder of abreast.yml."""
        return self.config_file.parent

    @property
    def deployment_logs(self) -> Path:
        """The folder for the output of commands, with a folder for each deployment."""
        return self.state / "logs" / "deployments"

    @property
    def ci_run(self) -> "CiRun | None":
        """The run of a CI system that this process belongs to, None outside of one."""
        from abreast.ci.detection import detect_run  # noqa: PLC0415 (many commands do not ask)

        return detect_run(self.variables)

    @property
    def operator(self) -> str:
        """Who runs this command: in a run of a CI system who started that, else the user of this machine."""
        run = self.ci_run
        return (run.actor if run else "") or current_user()

    def verify_run(self) -> "RunVerification | None":
        """Return whether the CI system vouches for the run, None where it cannot. Asks once in each process."""
        run = self.ci_run
        if run is None:
            return None
        from abreast.wiring.run_identity import verified_run  # noqa: PLC0415 (most commands are given by people)

        return verified_run(self.variables, run)

    @property
    def identity(self) -> "Identity":
        """Who runs this command, as it is recorded. Asks nobody: ``verify_run`` does, for commands that act."""
        from abreast.wiring.identity import current_identity  # noqa: PLC0415 (commands that record nothing do not ask)

        run = self.ci_run
        if run is None:
            return current_identity(self.variables, None)
        from abreast.wiring.run_identity import known_verification  # noqa: PLC0415 (as above)

        return current_identity(self.variables, run, known_verification(self.variables, run))

    def environment_names(self) -> tuple[str, ...]:
        """Return the names of the environments; nothing else in abreast.yml needs to be valid."""
        from abreast.config.names import environment_names  # noqa: PLC0415 (slow, and often not needed)

        return environment_names(self.config_file)

    def service_names(self) -> tuple[str, ...]:
        """Return the names of the services, in the same way."""
        from abreast.config.names import service_names  # noqa: PLC0415 (slow, as above)

        return service_names(self.config_file)

    def open_ledger(self) -> SqliteLedger:
        """Open the ledger. Raises StateError if it cannot be used."""
        ledger = self._open_ledger()
        ledger.file.identity = lambda: self.identity
        return ledger

    def _open_ledger(self) -> SqliteLedger:
        location = state_location(self.variables)
        if is_elsewhere(location):
            from abreast.wiring.state_homes import open_mirror  # noqa: PLC0415 (most projects have no home elsewhere)

            return SqliteLedger(open_mirror(location, self.config_file, self.state))
        return SqliteLedger.open(self.state, file_class=ENTRY_FILE_CLASS)

    def read_ledger(self) -> SqliteLedger:
        """Open the ledger for reading, which needs no folder that can be written. Raises StateError if it cannot be.

        Of a ledger that is kept elsewhere, where nothing can be written here, that is what was last known here.
        """
        location = state_location(self.variables)
        with suppress(OSError):  # so that git ignores what else a command may put there
            make_state_folder(self.state)
        if not is_elsewhere(location):
            return SqliteLedger.open(self.state, file_class=ReadOnlyEntryFile)
        from abreast.wiring.state_homes import mirror_folder  # noqa: PLC0415 (most projects have no home elsewhere)

        folder = mirror_folder(location, self.config_file, self.state)
        if why_unwritable(f"{folder if folder.exists() else self.state}/{LEDGER_FILE}"):
            return SqliteLedger.open(folder, file_class=ReadOnlyEntryFile)
        return self._open_ledger()

    def environment_lock(self, environment: str, ledger: SqliteLedger | None) -> EnvironmentLock:
        """Return the lock of an environment: a lease if its ledger is kept elsewhere."""
        folder, run = self.state / "locks", self.ci_run
        run_url = run.url if run else ""
        if ledger and is_elsewhere(state_location(self.variables)):
            from abreast.ledger.lease import LeasedLock  # noqa: PLC0415 (as above)
            from abreast.ledger.mirror import Mirror  # noqa: PLC0415

            assert isinstance(ledger.file, Mirror)
            return LeasedLock(folder, environment, ledger.file, self._lease_expiry(), run_url)
        return EnvironmentLock(folder, environment, run_url)

    def _lease_expiry(self) -> float:
        text = self.variables.get("ABREAST_LEASE_EXPIRY", "90")
        if not text.isdecimal() or int(text) < MIN_LEASE_EXPIRY:
            need = f"a whole number of seconds, at least {MIN_LEASE_EXPIRY}"
            raise UsageError(f"ABREAST_LEASE_EXPIRY is {text!r}", need=need)
        return float(text)

    def machine_lock(self, name: str) -> EnvironmentLock:
        """Return a lock among the processes of this machine."""
        return EnvironmentLock(self.state / "locks", name)


def utc_now() -> str:
    """Return the current time as ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def later(moment: str, seconds: float) -> str:
    """Return the time that is so many seconds after a moment, as ``utc_now`` writes it."""
    found = datetime.fromisoformat(moment) + timedelta(seconds=seconds)
    return found.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def current_user() -> str:
    """Return the name of the user who runs this process; a container's has none, but a number."""
    import getpass  # noqa: PLC0415 (slow, and seldom needed)

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
