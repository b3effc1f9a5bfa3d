"""Routes of a site to other services, as rules of the site."""

from collections.abc import Mapping

from abreast.core.errors import PlatformError
from abreast.core.site_rules.redirects import Redirect


def longest_first(routes: Mapping[str, str]) -> dict[str, str]:
    """Return the routes in order of precedence: the longest path is the most specific."""
    return dict(sorted(routes.items(), key=lambda item: len(item[0]), reverse=True))


def address_of(service: str, route: str, addresses: Mapping[str, str]) -> str:
    """Return the URL that a route leads to, without a final slash. Raises PlatformError if it is not known."""
    if not addresses.get(service):
        raise PlatformError(
            f"the route {route} points to {service}, whose URL is not known yet",
            need=f"`needs: [{service}]` in abreast.yml, so that {service} is staged first",
        )
    return addresses[service].rstrip("/")


def route_rules(routes: Mapping[str, str], addresses: Mapping[str, str]) -> list[Redirect]:
    """Return the rules that pass requests on to services. The path stays the same.

    ``routes``: service by path, which includes all paths below; ``addresses``: URL by service. A rule takes precedence
    over a file of the same path. Raises PlatformError for a service without an address.
    """
    return [
        Redirect(f"{path}/*", f"{path}/*", f"{address_of(service, path, addresses)}{path}/:splat", 200, force=True)
        for path, service in longest_first(routes).items()
    ]
