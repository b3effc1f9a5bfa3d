"""A service's variables: what abreast sets, and what the service asks for."""

from collections.abc import Mapping

from abreast.core.model import Service
from abreast.core.secrets import looks_secret
from abreast.deploy.runtime.ports import Ports


def child_environment(
    ports: Ports, service: Service, environment: str, release: str, commit: str
) -> tuple[Mapping[str, str], frozenset[str]]:
    """Return the variables of a service's version and the names of those that are secret.

    Raises UsageError that names every secret whose value is not at hand.
    """
    revealed = {name: secret.reveal() for name, secret in ports.reveal_secrets(service).items()}
    used = service.database
    given = {used.variable: ports.open_database(service).connection_url()} if used else {}
    hidden = {*revealed, *(name for name, value in given.items() if looks_secret("", value))}
    metadata = {
        "ABREAST_SERVICE": service.name,
        "ABREAST_ENVIRONMENT": environment,
        "ABREAST_RELEASE": release,
        "ABREAST_COMMIT": commit,
    }
    return {**given, **service.env, **revealed, **metadata}, frozenset(hidden)
