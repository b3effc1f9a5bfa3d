"""Where users reach the services of an environment: at the port in abreast.yml, or at one that was free."""

from abreast.core.model import Service
from abreast.platforms.local.router.router import Router
from abreast.platforms.local.router.routing_table import Listener
from abreast.platforms.local.supervisor.port_allocator import PortAllocator


class Listeners:
    """The listeners of one environment. A service without a port keeps the one that the routing table has for it."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._ports: PortAllocator | None = None
        self._chosen: dict[str, Listener] = {}

    def listener(self, service: Service) -> Listener:
        """Return where users reach a service. Raises PlatformError if it needs a port and none is free."""
        port, host = service.settings.get("port"), service.settings.get("host")
        if isinstance(port, int):
            return Listener(port, str(host) if host else None)
        known = self._router.table().listeners.get(service.name) or self._chosen.get(service.name)
        return known or self._choose(service.name)

    def _choose(self, name: str) -> Listener:
        self._ports = self._ports or PortAllocator()
        self._chosen[name] = Listener(self._ports.allocate())
        return self._chosen[name]


def listener_url(listener: Listener) -> str:
    """Return the URL of a listener."""
    return f"http://{listener.host or '127.0.0.1'}:{listener.port}"
