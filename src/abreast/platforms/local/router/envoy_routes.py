"""Renders a routing table as Envoy's routes, before and after traffic switches."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import chain
from typing import Any

from abreast.core.maintenance import MAX_PAGE_SIZE
from abreast.platforms.local.router.maintenance_routes import CLIENT_FILTER, ENABLED, guarded
from abreast.platforms.local.router.routing_table import Listener, RoutingTable, Site, Target, Upstream
from abreast.platforms.local.router.site_tables import PROXY_HEADER
from abreast.platforms.local.router.static_routes import SITE_FILTERS, site_routes

Json = dict[str, Any]
TYPE_URL = "type.googleapis.com/envoy"
VHOST_HEADER = "x-abreast-place"
"""The header with the port and host of a request, ``8080/example.org``. The listener overwrites it."""

_CLIENT_HEADER = "x-envoy-external-address"
"""The header in which Envoy tells applications of a client that a proxy named. They have X-Forwarded-For."""

_NO_TIMEOUT = "0s"
MAX_BODY_SIZE = 4 * MAX_PAGE_SIZE


def runtime_overrides(before: RoutingTable, after: RoutingTable) -> dict[str, str]:
    """Return the runtime values that switch traffic: "100" switches to targets, "" removes the value.

    Live routes contain each candidate beforehand, disabled until its value is set. Envoy applies all values of one
    request together, so all services of a deployment switch at once.
    """
    moved = {service: target for service, target in after.live.items() if before.live.get(service) != target}
    switched = {id_ for service, id_ in moved.items() if before.candidates.get(service) == id_}
    prepared = set(after.prepared.values())
    return {
        **{_runtime_key(ids): "" for ids in _switches(after) if prepared.intersection(ids)},
        **{_runtime_key(ids): "100" for ids in _switches(before) if switched.issuperset(ids)},
    }


def _switches(table: RoutingTable) -> Iterator[tuple[str, ...]]:
    """Yield what can switch: each candidate, and each candidate of a site with one that it routes users to."""
    prepared = table.prepared
    for id_ in prepared.values():
        yield (id_,)
        target = table.targets[id_]
        if isinstance(target, Site):
            yield from ((id_, prepared[service]) for service in target.routes.values() if service in prepared)


def _runtime_key(ids: Sequence[str]) -> str:
    return f"turn.{'.'.join(ids)}"


def live_routes(table: RoutingTable) -> Json:
    """Return the routes for users, before and after traffic switches. A service without a live version answers 503."""
    hosts = [
        {
            **_virtual_host(services[0], _vhost_domains(listener), [*_user_routes(table, services)]),
            **_admission(table, services),
        }
        for listener, services in table.services_by_listener.items()
    ]
    return _route_configuration(
        "live", hosts, vhost_header=VHOST_HEADER, max_direct_response_body_size_bytes=MAX_BODY_SIZE
    )


def _admission(table: RoutingTable, services: Sequence[str]) -> Json:
    """Return what a host needs that lets some addresses through its maintenance, or that of a service behind it.

    Which filters a request passes follows from its first route, before the client's address is known.
    """
    targets = chain.from_iterable(_targets(table, service) for service in services)
    behind = (target.routes.values() for target in targets if isinstance(target, Site))
    modes = (table.maintenance.get(name) for name in (*services, *chain.from_iterable(behind)))
    if not any(mode and mode.allow for mode in modes):
        return {}
    return {"typed_per_filter_config": dict.fromkeys((CLIENT_FILTER, *SITE_FILTERS), ENABLED)}


def _targets(table: RoutingTable, service: str) -> list[Target]:
    ids = (table.live.get(service, ""), table.prepared.get(service, ""))
    return [table.targets[id_] for id_ in ids if id_ in table.targets]


def candidate_routes(table: RoutingTable) -> Json:
    """Return the routes for checks of versions, with or without users. The host is the version's id.

    A candidate routes to the candidates that traffic switches to together with it. Checks go on in maintenance.
    """
    table = replace(table, maintenance={})
    after = replace(table, live={**table.live, **table.prepared})
    tables = {id_: after if id_ in after.live.values() else table for id_ in table.targets}
    hosts = [
        _virtual_host(id_, [id_], [route for route, switches in _target_routes(served, id_) if not switches])
        for id_, served in tables.items()
    ]
    return _route_configuration("candidates", hosts)


def _vhost_domains(listener: Listener) -> list[str]:
    return (
        [f"{listener.port}/{listener.host}", f"{listener.port}/{listener.host}:{listener.port}"]
        if listener.host
        else [f"{listener.port}/*"]
    )


def _route_configuration(name: str, hosts: list[Json], **more: object) -> Json:
    route = {
        "name": name,
        "virtual_hosts": hosts,
        "request_headers_to_remove": [VHOST_HEADER, PROXY_HEADER, _CLIENT_HEADER],
        **more,
    }
    return discovery_response("config.route.v3.RouteConfiguration", [route])


def _virtual_host(service: str, domains: list[str], routes: list[Json]) -> Json:
    return {"name": service, "domains": domains, "routes": routes}


def _user_routes(table: RoutingTable, services: Sequence[str]) -> Iterator[Json]:
    """Yield the routes of a listener's users, behind the maintenance of the service that they reach, if it is in any.

    Of several services one is live: another name of it takes its place when traffic switches.
    """
    reached = next((service for service in services if service in table.live), services[0])
    routes = [*chain.from_iterable(_candidate_routes(table, service) for service in services)]
    routes += (
        _with_switch(route, ids) if ids else route for route, ids in _target_routes(table, table.live.get(reached))
    )
    yield from guarded(routes, table.maintenance.get(reached), {"prefix": "/"})


def _candidate_routes(table: RoutingTable, service: str) -> Iterator[Json]:
    """Yield the routes to the candidate of a service, which are off."""
    if candidate := table.prepared.get(service):
        routes = [*_target_routes(table, candidate), (_direct_response(404, "Not Found"), ())]
        yield from (_with_switch(route, (candidate, *ids)) for route, ids in routes)


def _with_switch(route: Json, ids: Sequence[str]) -> Json:
    fraction = {"default_value": {"numerator": 0}, "runtime_key": _runtime_key(ids)}
    return {**route, "match": {**route["match"], "runtime_fraction": fraction}}


def _target_routes(table: RoutingTable, target_id: str | None) -> Iterator[tuple[Json, tuple[str, ...]]]:
    """Yield the routes of a version, each with the candidates that must have been switched to for it."""
    target = table.targets.get(target_id or "")
    if isinstance(target, Site):
        yield from _routed_services(table, target)
        yield from ((route, ()) for route in site_routes(target))
    else:
        yield from ((route, ()) for route in _service_routes(target, {"prefix": "/"}))


def _routed_services(table: RoutingTable, site: Site) -> Iterator[tuple[Json, tuple[str, ...]]]:
    """Yield the routes from a site to other services, which lead to whatever version of them is live."""
    prepared = table.prepared
    for path, service in sorted(site.routes.items(), key=lambda item: len(item[0]), reverse=True):
        match, mode = {"path_separated_prefix": path}, table.maintenance.get(service)
        if candidate := prepared.get(service):
            ahead = _service_routes(table.targets[candidate], match)
            yield from ((route, (candidate,)) for route in guarded(ahead, mode, match))
        live = table.targets.get(table.live.get(service, ""))
        yield from ((route, ()) for route in guarded(_service_routes(live, match), mode, match))


def _service_routes(target: Target | None, match: Json) -> list[Json]:
    if isinstance(target, Upstream):
        return [{**route, "match": {**route["match"], **match}} for route in _cluster_routes(target)]
    return [{**_direct_response(503, "no release is live\n"), "match": match}]


def _direct_response(status: int, text: str) -> Json:
    return {"match": {"prefix": "/"}, "direct_response": {"status": status, "body": {"inline_string": text}}}


_SAFE_RETRIES = "connect-failure,refused-stream,reset-before-request"
"""Conditions in which the request cannot have reached the application."""


@cache
def _cluster_routes(target: Upstream) -> list[Json]:
    """Route to one version. A request that may have reached it is retried only if it is idempotent.

    A response may take as long as it likes once it has begun.
    """
    # https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2, as far as requests have no body that must be buffered.
    idempotent = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD|OPTIONS"}}}
    return [
        _cluster_route(target, {"headers": [idempotent]}, f"{_SAFE_RETRIES},reset"),
        _cluster_route(target, {}, _SAFE_RETRIES),
    ]


def _cluster_route(target: Upstream, match: Json, retry_on: str) -> Json:
    return {
        "match": match,
        "route": {
            "cluster": target.id,
            "timeout": _NO_TIMEOUT,
            "idle_timeout": _NO_TIMEOUT,
            "retry_policy": {
                "retry_on": retry_on,
                "num_retries": 3,
                "per_try_timeout": target.response_timeout,
                "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
                **(_AT_ANOTHER_INSTANCE if len(target.instances) > 1 else {}),
            },
        },
    }


_AT_ANOTHER_INSTANCE: Json = {
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {"@type": f"{TYPE_URL}.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
        }
    ],
    "host_selection_retry_max_attempts": 3,
}


def discovery_response(message_type: str, resources: Iterable[Json]) -> Json:
    """Return a discovery response. Its version is a hash of its content: Envoy reports what it has loaded."""
    typed = [{"@type": f"{TYPE_URL}.{message_type}", **resource} for resource in resources]
    version = hashlib.sha256(json.dumps(typed, sort_keys=True).encode()).hexdigest()[:16]
    return {"version_info": version, "resources": typed}
