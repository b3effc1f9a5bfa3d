"""The variables that an environment of abreast.yml refers to, which have to be set wherever it is deployed."""

from collections.abc import Iterator, Mapping

from abreast.config import schema
from abreast.config.environment_resolver import EnvironmentResolver
from abreast.config.variables import references
from abreast.core.secrets import looks_secret


def referenced_variables(resolver: EnvironmentResolver, environment: str) -> Mapping[str, bool]:
    """Return the names in ``${…}``, each with whether its value is a secret. Needs no values."""
    found: dict[str, bool] = {}
    for template, is_secret in _templates(resolver, environment):
        for name in references(template):
            found[name] = found.get(name, False) or looks_secret(name) or (is_secret and template == f"${{{name}}}")
    return found


def _templates(resolver: EnvironmentResolver, environment: str) -> Iterator[tuple[str, bool]]:
    """Yield each template of an environment, and whether its value as a whole is a secret."""
    for service in resolver.project.services:
        for declared in resolver.declared_variables(environment, service):
            yield declared.template, declared.variable.secret or looks_secret(declared.name)
        if configured := resolver.platform_settings.get((environment, service)):
            yield from ((text, True) for text in _texts(configured[1].model_dump()))
        if database := resolver.declared_database(environment, service)[1]:
            yield from _database_templates(database)
    if passphrase := resolver.project.backups.passphrase:
        yield passphrase, True
    yield from ((text, True) for text in _texts(resolver.project.notify))


def _database_templates(database: schema.Database) -> Iterator[tuple[str, bool]]:
    yield from ((text, True) for text in (database.url, database.scratch, database.admin) if text)
    yield from ((text, looks_secret(name)) for name, text in database.rehearsal.env.items())


def _texts(value: object) -> Iterator[str]:
    """Yield every text in a value of platform settings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
