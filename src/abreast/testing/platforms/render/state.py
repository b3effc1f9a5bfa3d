"""What all parts of the emulator share: the services and the environment groups."""

from starlette.requests import Request

from abreast.testing.platforms.render.service import EnvGroup, Service


class State:
    """The services and the environment groups, by id."""

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self.env_groups: dict[str, EnvGroup] = {}

    def service(self, request: Request) -> Service:
        """Return the service in the request's path. Raises KeyError where it does not exist."""
        return self.services[request.path_params["service"]]


def base_url(request: Request) -> str:
    """Return the emulator's address, without a trailing slash."""
    return str(request.base_url).rstrip("/")
