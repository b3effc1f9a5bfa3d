"""What the project needs of its repository at GitHub: the secrets that a workflow must hand to abreast."""

from collections.abc import Iterator

from abreast.config.environment_resolver import EnvironmentResolver
from abreast.config.variables import is_secret, unset_references

PLATFORM_TOKENS = {"netlify": "NETLIFY_AUTH_TOKEN", "render": "RENDER_API_KEY", "huggingface": "HF_TOKEN"}


def needed_secrets(resolver: EnvironmentResolver, environment: str) -> frozenset[str]:
    """Return the names of the secrets that abreast.yml names for an environment, and of its platforms' tokens."""
    return frozenset(_needed(resolver, environment))


def _needed(resolver: EnvironmentResolver, environment: str) -> Iterator[str]:
    for service in resolver.project.services:
        platform, _ = resolver.platform_settings.get((environment, service), ("", None))
        if token := PLATFORM_TOKENS.get(platform):
            yield token
        for declared in resolver.declared_variables(environment, service):
            if declared.variable.secret or is_secret(declared.name, declared.template, {}):
                yield from unset_references(declared.template, {})
    common = resolver.project.model_dump(include={"notify", "backups", "artifacts"})
    databases = [service.database for service in resolver.project.services.values() if service.database]
    for text in _texts([common, *(database.url for database in databases)]):
        if is_secret("", text, {}):
            yield from unset_references(text, {})


def _texts(value: object) -> Iterator[str]:
    """Yield all texts in a value of lists and mappings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for part in value.values() for text in _texts(part))
    elif isinstance(value, list):
        yield from (text for part in value for text in _texts(part))
