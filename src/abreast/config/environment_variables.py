"""The variables that an environment of abreast.yml refers to, which have to be set wherever it is deployed."""

from collections.abc import Collection, Iterator, Mapping
from typing import Protocol, runtime_checkable

from abreast.config import schema
from abreast.config.environment_resolver import EnvironmentResolver
from abreast.config.variables import interpolate, references, unset_references
from abreast.core.database_url import managed_database
from abreast.core.frozen_dataclass import dataclass
from abreast.core.secrets import looks_secret


@dataclass(frozen=True, slots=True)
class ReferencedVariable:
    """What is known of a variable without its value. A required one has no default, and is not optional."""

    is_secret: bool
    is_required: bool


@dataclass(frozen=True, slots=True)
class _Template:
    """A text that refers to variables. ``is_secret``: its value as a whole is one."""

    text: str
    is_secret: bool
    is_required: bool = True


@runtime_checkable
class NamesVariables(Protocol):
    """The settings of a platform that name variables, rather than refer to them by ``${…}``."""

    def variable_names(self) -> Collection[str]:
        """Return the names of variables that hold credentials or secret files."""
        ...


def referenced_variables(resolver: EnvironmentResolver, environment: str) -> dict[str, ReferencedVariable]:
    """Return the variables in ``${…}``, and those that settings of platforms name. Needs no values."""
    found: dict[str, ReferencedVariable] = {}
    for template in _templates(resolver, environment):
        without_default = unset_references(template.text, {})
        for name in references(template.text):
            is_secret = looks_secret(name) or (template.is_secret and template.text == f"${{{name}}}")
            is_required = template.is_required and name in without_default
            known = found.get(name, ReferencedVariable(is_secret=False, is_required=False))
            found[name] = ReferencedVariable(known.is_secret or is_secret, known.is_required or is_required)
    return found


def _templates(resolver: EnvironmentResolver, environment: str) -> Iterator[_Template]:
    """Yield each template of an environment."""
    for service in resolver.project.services:
        for declared in resolver.declared_variables(environment, service):
            is_secret = bool(declared.variable.secret) or looks_secret(declared.name)
            yield _Template(declared.template, is_secret, declared.variable.required)
        if configured := resolver.platform_settings.get((environment, service)):
            yield from (_Template(text, is_secret=True) for text in _texts(configured[1].model_dump()))
            if isinstance(configured[1], NamesVariables):
                yield from (_Template(f"${{{name}}}", is_secret=True) for name in configured[1].variable_names())
        if database := resolver.declared_database(environment, service)[1]:
            yield from _database_templates(database, is_local=resolver.is_local(environment, service))
    if passphrase := resolver.project.backups.passphrase:
        yield _Template(passphrase, is_secret=True)
    yield from (_Template(text, is_secret=True) for text in _texts(resolver.project.notify))


def _database_templates(database: schema.Database, *, is_local: bool) -> Iterator[_Template]:
    is_managed = bool(managed_database(interpolate(database.url, {})))  # as a default, which is legal on `local` only
    names = references(database.url)
    url = f"${{{names[0]}}}" if is_managed and names and not is_local else database.url
    urls = (url, database.scratch, database.admin)
    yield from (_Template(text, is_secret=True) for text in urls if text)
    yield from (_Template(text, looks_secret(name)) for name, text in database.rehearsal.env.items())


def _texts(value: object) -> Iterator[str]:
    """Yield every text in a value of platform settings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
