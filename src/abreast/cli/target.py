"""What a command deploys: the project here, with its settings, and one of its environments."""

from dataclasses import dataclass

from abreast.cli.redaction import register_secrets
from abreast.cli.selection import choose_environment, locate_workspace
from abreast.config.load import ProjectConfig
from abreast.core.model import Environment
from abreast.wiring.assembly import Assembly
from abreast.wiring.workspace import Workspace


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


def load_target(environment: str | None) -> Target:
    """Load the project and the requested environment. The secrets of that environment are redacted from now on."""
    assembly = Assembly(locate_workspace())
    project = assembly.load_project()
    target = Target(assembly, project, project.environment(choose_environment(project.environments, environment)))
    register_secrets(assembly.secret_values(target.environment))
    return target
