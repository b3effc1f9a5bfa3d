"""What killed deployments left and nobody needs: versions on platforms, copies of databases."""

from collections.abc import Mapping

from abreast.core.model import LiveService, Service
from abreast.deploy.data.backup import unneeded_copies
from abreast.deploy.runtime.ports import Ports
from abreast.platforms.interface import ListsIdleVersions, VersionRef


async def find_leftovers(ports: Ports, environment: str, platform: str) -> list[str]:
    """Return the ids of versions on a platform that nobody needs, in an environment without an unfinished deployment.

    Empty for a platform that cannot list its versions. Raises PlatformError.
    """
    lister = ports.platforms[platform]
    if not isinstance(lister, ListsIdleVersions):
        return []
    live = {service.version.id for service in ports.ledger.live_services(environment).values()}
    return sorted(set(await lister.list_idle_versions()) - live)


async def remove_leftovers(ports: Ports, environment: str, platform: str) -> list[str]:
    """Remove the versions that nobody needs, and return their ids. Raises PlatformError."""
    found = await find_leftovers(ports, environment, platform)
    services = _services_by_name(platform, ports.ledger.live_services(environment))
    references = [VersionRef(services.get(name, Service(name, platform)), id_) for id_, name in _named(found)]
    if references:
        await ports.platforms[platform].retire(references, 0.0)
    return found


def _services_by_name(platform: str, live: Mapping[str, LiveService]) -> dict[str, Service]:
    return {name: service.definition for name, service in live.items() if service.platform == platform}


def _named(ids: list[str]) -> list[tuple[str, str]]:
    """Return each id with the name of its service: an id is the name and the deployment (see ``version_id``)."""
    return [(id_, id_.rpartition("-")[0]) for id_ in ids]


def has_copies(ports: Ports, service: Service) -> bool:
    """Return whether there are copies that ``remove_copies`` would drop. Raises the same."""
    return bool(unneeded_copies(ports, ports.open_database(service)))


def remove_copies(ports: Ports, service: Service) -> list[str]:
    """Drop the copies of a service's database that ended deployments left, and return their names.

    Raises DatabaseError, or UsageError if the URL is not set.
    """
    database = ports.open_database(service)
    found = unneeded_copies(ports, database)
    for copy in found:
        database.drop_copy(copy)
    return [copy.name for copy in found]
