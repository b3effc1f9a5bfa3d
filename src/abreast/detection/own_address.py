"""Variables with the address at which users reach a service: its own, or that of the service it belongs with."""

import re
from collections.abc import Iterator, Sequence

from abreast.detection.draft import LOCAL, Authority, Kind, ServiceDraft
from abreast.detection.env_examples import PUBLIC, example_variables
from abreast.detection.repository import Repository

FIRST_PORT = 8080
"""The port for users of the first service on `local`; the others count up."""

_HOST = "127.0.0.1"
_ALLOWED_HOSTS = ("ALLOWED_HOSTS", "DJANGO_ALLOWED_HOSTS", "ALLOWED_HOST")
"""What Django's settings call the hosts that they answer to."""

_SERVER_NAME = "SERVER_NAME"
"""Flask's: "inform the application what host and port it is bound to".

https://flask.palletsprojects.com/en/stable/config/#SERVER_NAME
"""


_BACKEND = re.compile(r"API|SERVER|BACKEND|GRAPHQL")
_FRONTEND = re.compile(r"CLIENT|FRONT_?END|WEB_?APP|CORS|ORIGIN")
_DEVELOPMENT = re.compile(r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0):\d+(/[\w./-]*)?")
_DEFAULT = re.compile(
    r"(?:import\.meta|process)\.env\.([A-Z][A-Z0-9_]+)\s*(?:\|\||\?\?)\s*['\"`](https?://[\w.:/-]+)['\"`]"
)
"""A variable that code does without: then it calls an address of whoever develops it."""
_CODE = (".ts", ".js", ".tsx", ".jsx", ".mjs", ".vue", ".svelte")


def propose_own_addresses(services: Sequence[ServiceDraft]) -> None:
    """Propose for this machine the address of each service, where it needs that. ``services``: in their final order."""
    users = [service for service in services if service.kind in {Kind.SITE, Kind.WEB}]
    for port, service in enumerate(users, FIRST_PORT):
        for name, value in (*((name, _HOST) for name in _ALLOWED_HOSTS), (_SERVER_NAME, f"{_HOST}:{port}")):
            needed = service.chosen(f"env.{name}")
            if needed and needed.value == f"${{{name}}}" and not service.chosen(f"{LOCAL}env.{name}"):
                service.propose(f"{LOCAL}env.{name}", f"${{{name}:-{value}}}", "where it is reached on this machine")


def propose_addresses_of_others(repository: Repository, services: Sequence[ServiceDraft]) -> None:
    """Propose for this machine where a frontend finds the only backend, and that one its only frontend."""
    users = [service for service in services if service.kind in {Kind.SITE, Kind.WEB}]
    ports = {service.name: port for port, service in enumerate(users, FIRST_PORT)}
    backends = [service for service in users if service.kind is Kind.WEB and not service.has_pages]
    frontends = [service for service in users if service not in backends]
    for callers, names, called in ((frontends, _BACKEND, backends), (backends, _FRONTEND, frontends)):
        for service in callers if len(called) == 1 else ():
            for name, value, file in _addresses(repository, service):
                address = _DEVELOPMENT.fullmatch(value)
                if address and names.search(PUBLIC.sub("", name)):
                    here = f"http://{_HOST}:{ports[called[0].name]}{address[1] or ''}"
                    service.propose(f"env.{name}", {"required": False}, file, Authority.PROJECT)
                    source = f"where {called[0].name} is reached on this machine"
                    service.propose(f"{LOCAL}env.{name}", f"${{{name}:-{here}}}", source, Authority.PROJECT)


def _addresses(repository: Repository, service: ServiceDraft) -> Iterator[tuple[str, str, str]]:
    """Yield name, value and file of variables that examples set, and of those that code has a default for."""
    is_public = service.kind is Kind.SITE
    yield from (found for found in example_variables(repository, service) if PUBLIC.match(found[0]) or not is_public)
    if service.ecosystem == "node":
        for file in repository.sources(service.folder, *_CODE):
            yield from ((name, value, file) for name, value in _DEFAULT.findall(repository.text(file)))
