"""A service's variables: what abreast sets, and what the service asks for."""

from collections.abc import Mapping

from abreast.core.model import Service
from abreast.deploy.ports import Ports


def surroundings(
    ports: Ports, service: Service, environment: str, release: str, commit: str
) -> tuple[Mapping[str, str], frozenset[str]]:
    """Return the variables of a service's version and the names of those that are secret.

    Raises UsageError that names every secret whose value is not at hand.
    """
    secrets = ports.reveal(service)
    revealed = {name: secret.reveal() for name, secret in secrets.items()}
    told = {
        "ABREAST_SERVICE": service.name,
        "ABREAST_ENVIRONMENT": environment,
        "ABREAST_RELEASE": release,
        "ABREAST_COMMIT": commit,
    }
    return {**service.env, **revealed, **told}, frozenset(revealed)
