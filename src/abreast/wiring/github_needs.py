"""What the project needs of its repository at GitHub: the secrets that a workflow must hand to abreast."""

from collections.abc import Iterator

from abreast.config.environment_resolver import EnvironmentResolver
from abreast.config.variables import is_secret, references

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
                yield from references(declared.template)
