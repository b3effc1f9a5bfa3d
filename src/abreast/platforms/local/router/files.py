"""The files of a router: the routing table, the endpoints in service, and the resources that Envoy watches."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from abreast.core.codec import dump, load
from abreast.core.errors import PlatformError
from abreast.machine.file_lock import FileLock
from abreast.machine.lazy_modules import lazy_module
from abreast.platforms.local.router.routing_table import RoutingTable

if TYPE_CHECKING:
    from abreast.platforms.local.router import envoy_resources
else:
    envoy_resources = lazy_module("abreast.platforms.local.router.envoy_resources")

TABLE, TABLE_COPY, ENDPOINTS = "table", "table-copy", "endpoints"


class RouterFiles:
    """The files in ``home``. Who writes holds ``lock``: deploying commands, and the supervisor as endpoints change."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.lock = FileLock(home / "changes.lock")

    def table(self) -> RoutingTable:
        """Return the current routing table, or its copy. Raises PlatformError if both are damaged or lost."""
        for name in (TABLE, TABLE_COPY):
            with suppress(OSError, ValueError):
                return load(RoutingTable, json.loads(self.path(name).read_text()))
        if fault := self.table_fault():
            raise PlatformError(f"{fault}, and so is its copy", next="abreast down && abreast deploy")
        return RoutingTable()

    def table_fault(self) -> str:
        """Return what is wrong with the file of the routing table, "" if nothing is. Its copy may be whole."""
        file = self.path(TABLE)
        try:
            load(RoutingTable, json.loads(file.read_text()))
        except FileNotFoundError:
            return f"{file} is lost" if self.path("listeners").exists() else ""
        except (OSError, ValueError) as error:
            return f"{file} is damaged: {error}"
        return ""

    def write_table(self, table: RoutingTable) -> None:
        """Save the routing table, and a copy."""
        for name in (TABLE_COPY, TABLE):
            self.write(name, dump(table))

    def endpoints(self) -> Mapping[str, int]:
        """Return the ports of 127.0.0.1 on which instances are proven to listen, by instance."""
        found = self.read(ENDPOINTS)
        return found if isinstance(found, dict) else {}

    def path(self, name: str) -> Path:
        """Return the file of a name."""
        return self.home / f"{name}.json"

    def read(self, name: str) -> object:
        """Return the content of a file, None if it is missing or damaged."""
        try:
            return json.loads(self.path(name).read_text())
        except (OSError, ValueError):
            return None

    def write(self, name: str, value: object) -> None:
        """Write atomically by a rename, which is what Envoy watches for."""
        temporary = self.home / f".{name}.json"
        temporary.write_text(json.dumps(value))
        temporary.replace(self.path(name))


def read_live_target(home: Path, service: str) -> str:
    """Return the id of a service's live version by the routing table in ``home``, "" if it has none."""
    for name in (TABLE, TABLE_COPY):
        with suppress(OSError, ValueError, KeyError):
            return str(json.loads((home / f"{name}.json").read_text())["live"].get(service, ""))
    return ""


class EndpointPublisher:
    """Tells the router in ``home`` which instances are in service, and on which ports."""

    def __init__(self, home: Path) -> None:
        self._files = RouterFiles(home)

    def record(self, endpoints: Mapping[str, int]) -> None:
        """Record the endpoints. The next change of the routing table uses them."""
        self._files.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._files.write(ENDPOINTS, dict(endpoints))

    def try_publish(self) -> bool:
        """Have Envoy follow the recorded endpoints. Returns False while the routing table is being changed.

        A damaged table is left to the next command, which says so.
        """
        if not self._files.lock.try_acquire():
            return False
        try:
            clusters = envoy_resources.clusters(self._files.table(), self._files.endpoints())
            if self._files.read("clusters") != clusters:
                self._files.write("clusters", clusters)
        except PlatformError:
            pass
        finally:
            self._files.lock.release()
        return True
