"""Refuse a preview whose services would reach a database of the base, by variables that cannot lead to a copy."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from abreast.core.environment import Environment
from abreast.core.errors import RefusedError, UsageError
from abreast.core.model import DatabaseSettings, Service
from abreast.core.plan import Plan
from abreast.deploy.runtime.ports import Ports


def refuse_databases_of_base(ports: Ports, base: Environment, plan: Plan) -> None:
    """Raise RefusedError for variables of what a preview deploys that lead to a database of its base.

    Those of the service's own database lead to its copy. Others are a sibling's, or what the pull request has taken out
    of abreast.yml: databases are those of the file, and of what is live.
    """
    databases = _databases(ports, base)
    found = [fault for part in plan.rollouts for fault in _faults(ports, part.service, databases)]
    if found:
        raise RefusedError(
            f"a preview never uses the database of {base.name}:\n  " + "\n  ".join(found),
            need="another value of that variable for previews, such as a secret of their environment at GitHub",
            next=f"abreast plan --env {plan.environment}",
        )


def _databases(ports: Ports, base: Environment) -> Mapping[str, Service]:
    """Return the services of the base with a database, one for each: by the template of its URL."""
    live = [part.definition for part in ports.ledger.live_services(base.name).values()]
    return {service.database.url: service for service in (*live, *base.services) if service.database}


def _faults(ports: Ports, service: Service, databases: Mapping[str, Service]) -> Iterator[str]:
    own = service.database
    with suppress(UsageError):  # a variable that is not set leads nowhere, and stops the deployment by itself
        secrets = {name: secret.reveal() for name, secret in ports.reveal_secrets(service).items()}
        variables = {**service.env, **secrets}
        if own and own.copy:
            redirected = _leading(ports, service, own, variables)
            variables = {name: value for name, value in variables.items() if name not in redirected}
        for owner in databases.values():
            assert owner.database
            for name in sorted(_leading(ports, owner, owner.database, variables)):
                yield f"{name} of {service.name} leads to the database of {owner.name}"


def _leading(ports: Ports, owner: Service, used: DatabaseSettings, variables: Mapping[str, str]) -> frozenset[str]:
    """Return the variables that lead to a database of the base, none if its URL is not set here."""
    with suppress(UsageError):
        database = ports.open_database(replace(owner, database=replace(used, copy="")))
        return database.variables_leading_here(variables)
    return frozenset()
