"""The environment variables of a service: its own, its secrets, and those that abreast sets."""

from collections.abc import Mapping
from dataclasses import replace

from abreast.core.database_url import is_scheme, with_scheme
from abreast.core.errors import UsageError
from abreast.core.flags import flag_variables
from abreast.core.model import DatabaseSettings, Service
from abreast.core.secrets import Secret, looks_secret
from abreast.database.interface import Database
from abreast.deploy.runtime.ports import Ports

RELEASE_VARIABLE = "ABREAST_RELEASE"


def child_environment(
    ports: Ports, service: Service, environment: str, release: str, commit: str
) -> tuple[Mapping[str, str], frozenset[str]]:
    """Return the variables of a service's version, and the names of the secret ones.

    Flags are among them. Raises UsageError that names every secret without a value.
    """
    revealed = {name: secret.reveal() for name, secret in ports.reveal_secrets(service).items()}
    database = service.database
    urls = database_variables(database, ports.open_database(service)) if database else {}
    secret_names = {*revealed, *(name for name, value in urls.items() if looks_secret("", value))}
    secret_names |= secret_parts(database) if database else set()
    metadata = {
        "ABREAST_SERVICE": service.name,
        "ABREAST_ENVIRONMENT": environment,
        RELEASE_VARIABLE: release,
        "ABREAST_COMMIT": commit,
    }
    variables = {**urls, **flag_variables(service.flags), **service.env, **revealed}
    if database and database.copy:
        base = ports.open_database(replace(service, database=replace(database, copy="")))
        variables |= base.redirected_variables(variables, ports.open_database(service))
    return {**variables, **metadata}, frozenset(secret_names)


def database_variables(settings: DatabaseSettings, database: Database) -> dict[str, str]:
    """Return the variables by which a service gets the URL of a database, and its parts.

    Raises UsageError for a part that a URL of this engine does not have.
    """
    url, named = database.connection_url(), settings.variables.values()
    schemes = [part for part in named if is_scheme(part)] if database.engine == "postgresql" else []
    parts = {**database.connection_parts(), **{scheme: with_scheme(url, scheme) for scheme in schemes}}
    if missing := [part for part in named if part not in parts]:
        what = f"the URL of a database of {database.engine} has no {missing[0]}"
        raise UsageError(what, need="a URL of PostgreSQL, or no such `variables` of the database")
    own = {name: parts[part] for name, part in settings.variables.items()}
    return {settings.variable: url, **own}


def secret_parts(settings: DatabaseSettings) -> set[str]:
    """Return the names of the variables with a part that is secret."""
    return {
        name for name, part in settings.variables.items() if part in {"password", "connectionString"} or is_scheme(part)
    }


def own_variables(ports: Ports, service: Service) -> tuple[Mapping[str, str], frozenset[str]]:
    """Return the variables that abreast.yml gives a service, and the names of the secret ones.

    In a preview without those that lead to the database of its base: what needs no database may run before there is a
    copy. Raises as above.
    """
    revealed = {name: secret.reveal() for name, secret in ports.reveal_secrets(service).items()}
    variables, database = {**service.env, **revealed}, service.database
    if database and database.copy:
        base = ports.open_database(replace(service, database=replace(database, copy="")))
        kept = variables.keys() - base.variables_leading_here(variables)
        variables = {name: value for name, value in variables.items() if name in kept}
    return variables, frozenset(revealed.keys() & variables.keys())


def rehearsal_secrets(ports: Ports, service: Service) -> Mapping[str, Secret]:
    """Return the variables that replace others on a copy of the database; any of them may be a credential.

    Raises UsageError that names every reference without a value.
    """
    if service.database is None:
        return {}
    return ports.reveal_secrets(replace(service, secrets=service.database.rehearsal_env))
