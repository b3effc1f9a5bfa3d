"""Which variables a deployment to an environment is given, and which credentials are those of others."""

from abreast.config.environment_variables import ReferencedVariable, referenced_variables
from abreast.config.load import ProjectConfig
from abreast.core.model import DEFAULT_PLATFORM
from abreast.wiring.inherited_environment import INHERITED_VARIABLES
from abreast.wiring.plugins import PLATFORMS

_SECRET = ReferencedVariable(is_secret=True, is_required=True)
_SETTING = ReferencedVariable(is_secret=False, is_required=False)

_STORE_VARIABLES = {
    "s3": {
        "AWS_ACCESS_KEY_ID": _SECRET,
        "AWS_SECRET_ACCESS_KEY": _SECRET,
        "AWS_REGION": _SETTING,
        "AWS_ENDPOINT": _SETTING,
    },
    "gs": {"GOOGLE_SERVICE_ACCOUNT_KEY": _SECRET},
    "az": {"AZURE_STORAGE_ACCOUNT_NAME": _SETTING, "AZURE_STORAGE_ACCOUNT_KEY": _SECRET},
}
"""The variables by which a store is reached."""

_OF_THIS_PROCESS = ("ABREAST_", "GITHUB_", "GITLAB_", "CI_", "GIT_", "SSH_", "XDG_")
"""How variables begin that abreast and git themselves need, whatever abreast.yml says of them."""


def needed_variables(project: ProjectConfig, environment: str) -> dict[str, ReferencedVariable]:
    """Return the variables that a deployment to an environment is given, by name."""
    variables = referenced_variables(project.resolver, environment)
    for platform in sorted(platforms_of(project, environment)):
        if token := PLATFORMS[platform].token_variable:
            variables[token] = _SECRET
    for store in (project.artifacts.store, project.backups.store):
        variables |= _STORE_VARIABLES.get((store or "").partition("://")[0], {})
    return variables


def platforms_of(project: ProjectConfig, environment: str) -> set[str]:
    """Return the platforms of an environment's services."""
    settings = project.resolver.platform_settings
    return {
        settings.get((environment, name), (DEFAULT_PLATFORM, None))[0] for name in project.resolver.project.services
    }


def credentials_of_others(project: ProjectConfig, environment: str) -> frozenset[str]:
    """Return the names of the secrets that only other environments need. A preview needs those of its base."""
    own = project.resolver.preview_base(environment) or environment
    needed = needed_variables(project, own).keys()
    others = {
        name
        for other in project.environments
        if other != own
        for name, variable in needed_variables(project, other).items()
        if variable.is_secret
    }
    kept = {name for name in others if name in INHERITED_VARIABLES or name.startswith(_OF_THIS_PROCESS)}
    return frozenset(others - needed - kept)
