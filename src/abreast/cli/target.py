"""What a command deploys: the project here, with its settings, and one of its environments."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from abreast.cli.ci.selection import ci_output
from abreast.cli.progress import print_progress
from abreast.cli.redaction import register_secrets
from abreast.cli.selection import choose_environment, locate_workspace
from abreast.config.load import ProjectConfig
from abreast.core.environment import Environment
from abreast.core.errors import ConfigError, RefusedError
from abreast.core.frozen_dataclass import dataclass
from abreast.ledger.sqlite import SqliteLedger
from abreast.wiring.assembly import Assembly
from abreast.wiring.environment_credentials import credentials_of_others
from abreast.wiring.workspace import Workspace, utc_now


@dataclass(frozen=True, slots=True)
class Target:
    """The project in the working directory, and one of its environments."""

    assembly: Assembly
    project: ProjectConfig
    environment: Environment

    @property
    def workspace(self) -> Workspace:
        """Where the project is, and what it has recorded."""
        return self.assembly.workspace


@contextmanager
def hold_environment(
    workspace: Workspace, name: str, ledger: SqliteLedger | None, *, may_be_locked: bool = False
) -> Iterator[None]:
    """Hold an environment's lock for the block. Raises RefusedError if a deployment or an operator holds it.

    Without a usable ledger, nobody knows whether an operator does. With ``may_be_locked``, an operator may hold it: for
    what deploys nothing there.
    """
    lock = workspace.environment_lock(name, ledger)
    if ledger and not may_be_locked:
        ledger.check_operator_lock(name)
    with lock.try_acquire({"since": utc_now()}) as acquired:
        if not acquired:
            raise RefusedError(f"a deployment to {name} is running", next="abreast cancel")
        yield


def set_apart(assembly: Assembly, environment: str) -> None:
    """Keep the credentials of other environments from everything that is done to this one.

    If abreast.yml is broken, nobody knows which those are, and resuming must still work.
    """
    with suppress(ConfigError):
        assembly.workspace.hide_variables(credentials_of_others(assembly.project, environment))


def load_target(environment: str | None, *, needs_values: bool = True) -> Target:
    """Load the project and the requested environment. The secrets of that environment are redacted from now on.

    Nothing gets the credentials of others. Without ``needs_values``, its variables need not be set.
    """
    assembly = Assembly(locate_workspace())
    project = assembly.project
    name = choose_environment(project.environments, environment)
    set_apart(assembly, name)
    target = Target(assembly, project, project.environment(name, needs_values=needs_values))
    for line in ci_output(os.environ).masks(register_secrets(assembly.secret_values(target.environment))):
        print_progress(line, sys.stderr)
    return target
