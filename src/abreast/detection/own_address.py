"""Variables with a fixed meaning for the address at which users reach a service."""

from collections.abc import Sequence

from abreast.detection.draft import LOCAL, Kind, ServiceDraft

FIRST_PORT = 8080
"""The port for users of the first service on `local`; the others count up."""

_HOST = "127.0.0.1"
_ALLOWED_HOSTS = ("ALLOWED_HOSTS", "DJANGO_ALLOWED_HOSTS", "ALLOWED_HOST")
"""What Django's settings call the hosts that they answer to."""

_SERVER_NAME = "SERVER_NAME"
"""Flask's: "inform the application what host and port it is bound to".

https://flask.palletsprojects.com/en/stable/config/#SERVER_NAME
"""


def propose_own_addresses(services: Sequence[ServiceDraft]) -> None:
    """Propose for this machine the address of each service, where it needs that. ``services``: in their final order."""
    users = [service for service in services if service.kind in {Kind.SITE, Kind.WEB}]
    for port, service in enumerate(users, FIRST_PORT):
        for name, value in (*((name, _HOST) for name in _ALLOWED_HOSTS), (_SERVER_NAME, f"{_HOST}:{port}")):
            needed = service.chosen(f"env.{name}")
            if needed and needed.value == f"${{{name}}}" and not service.chosen(f"{LOCAL}env.{name}"):
                service.propose(f"{LOCAL}env.{name}", f"${{{name}:-{value}}}", "where it is reached on this machine")
