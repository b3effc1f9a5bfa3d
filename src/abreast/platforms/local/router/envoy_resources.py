"""Renders a routing table as Envoy resources: bootstrap, listeners, clusters and routes, as JSON values.

See https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/api.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from abreast.core.probes import USER_AGENT
from abreast.platforms.local.router.routing_table import Listener, RoutingTable, Site, Upstream
from abreast.platforms.local.router.static_routes import FILE_MANAGER, FILE_SERVER, MAX_FALLBACK_SIZE, site_routes

Json = dict[str, Any]
ADMIN_SOCKET = "admin.sock"
CANDIDATE_SOCKET = "candidates.sock"
VHOST_HEADER = "x-abreast-place"
"""The header with the port and host of a request, ``8080/example.org``. The listener overwrites it."""

_TYPE_URL = "type.googleapis.com/envoy"
_UNLIMITED = 1_000_000
_NO_TIMEOUT = "0s"


def bootstrap() -> Json:
    """Return Envoy's bootstrap. Paths are relative to its working directory."""
    return {
        "node": {"id": "abreast", "cluster": "abreast"},
        "admin": {"address": {"pipe": {"path": ADMIN_SOCKET, "mode": 0o600}}},
        "dynamic_resources": {
            "lds_config": _config_source("listeners.json"),
            "cds_config": _config_source("clusters.json"),
        },
        "stats_flush_interval": "1s",
        "layered_runtime": {
            "layers": [
                {
                    "name": "abreast",
                    "static_layer": {
                        # A site's file names are one pattern, which grows with the site.
                        "re2.max_program_size.error_level": _UNLIMITED * 100,
                        "re2.max_program_size.warn_level": _UNLIMITED * 100,
                        "overload.global_downstream_max_connections": 50_000,
                    },
                },
                {"name": "turns", "admin_layer": {}},
            ]
        },
    }


def runtime_overrides(before: RoutingTable, after: RoutingTable) -> dict[str, str]:
    """Return the runtime values that switch traffic: "100" switches to a target, "" removes its value.

    Live routes contain each candidate beforehand, disabled until its value is set. Envoy applies all values of one
    request together, so all services of a deployment switch at once.
    """
    moved = {service: target for service, target in after.live.items() if before.live.get(service) != target}
    switched = {_runtime_key(id_): "100" for service, id_ in moved.items() if before.candidates.get(service) == id_}
    return {**{_runtime_key(id_): "" for id_ in _prepared_candidates(after).values()}, **switched}


def _runtime_key(target_id: str) -> str:
    return f"turn.{target_id}"


def _prepared_candidates(table: RoutingTable) -> dict[str, str]:
    """Return the candidates that are not live, by service."""
    return {service: id_ for service, id_ in table.candidates.items() if table.live.get(service) != id_}


def listeners(table: RoutingTable) -> Json:
    """Return one listener per port, and one on a Unix socket for checks of candidates."""
    by_port = {listener.port: listener for listener in table.listeners.values()}
    port_listeners = [
        _listener(f"port-{port}", _listener_address(listener), "live", f"{port}/%REQ(:AUTHORITY)%")
        for port, listener in by_port.items()
    ]
    socket = {"pipe": {"path": CANDIDATE_SOCKET, "mode": 0o600}}
    return _discovery_response(
        "config.listener.v3.Listener",
        [*port_listeners, _listener("candidates", socket, "candidates", "%REQ(:AUTHORITY)%")],
    )


def clusters(table: RoutingTable, endpoints: Mapping[str, int], retiring: Mapping[str, Upstream] | None = None) -> Json:
    """Return a cluster per backend version, plus those in ``retiring``, of the instances that have an endpoint."""
    upstreams = {
        **(retiring or {}),
        **{name: target for name, target in table.targets.items() if isinstance(target, Upstream)},
    }
    return _discovery_response(
        "config.cluster.v3.Cluster",
        [
            _cluster(upstream, tuple(endpoints[id_] for id_ in upstream.instances if id_ in endpoints))
            for _, upstream in sorted(upstreams.items())
        ],
    )


def live_routes(table: RoutingTable) -> Json:
    """Return the routes for users, before and after traffic switches. A service without a live version answers 503."""
    prepared = _prepared_candidates(table)
    hosts = [
        _virtual_host(
            service,
            _vhost_domains(listener),
            [*_post_turn_routes(table, prepared.get(service)), *_target_routes(table, table.live.get(service))],
        )
        for service, listener in table.listeners.items()
    ]
    return _route_configuration("live", hosts, vhost_header=VHOST_HEADER)


def candidate_routes(table: RoutingTable) -> Json:
    """Return the routes for checks of versions, with or without users. The host is the version's id."""
    hosts = [_virtual_host(id_, [id_], _target_routes(table, id_)) for id_ in table.targets]
    return _route_configuration("candidates", hosts)


def _vhost_domains(listener: Listener) -> list[str]:
    return (
        [f"{listener.port}/{listener.host}", f"{listener.port}/{listener.host}:{listener.port}"]
        if listener.host
        else [f"{listener.port}/*"]
    )


def _route_configuration(name: str, hosts: list[Json], **more: str) -> Json:
    route = {
        "name": name,
        "virtual_hosts": hosts,
        "request_headers_to_remove": [VHOST_HEADER],
        "max_direct_response_body_size_bytes": MAX_FALLBACK_SIZE,
        **more,
    }
    return _discovery_response("config.route.v3.RouteConfiguration", [route])


def _virtual_host(service: str, domains: list[str], routes: list[Json]) -> Json:
    return {"name": service, "domains": domains, "routes": routes}


def _post_turn_routes(table: RoutingTable, target_id: str | None) -> list[Json]:
    if target_id is None:
        return []
    fraction = {"default_value": {"numerator": 0}, "runtime_key": _runtime_key(target_id)}
    return [
        {**route, "match": {**route["match"], "runtime_fraction": fraction}}
        for route in [*_target_routes(table, target_id), _direct_response(404, "Not Found")]
    ]


def _target_routes(table: RoutingTable, target_id: str | None) -> list[Json]:
    target = table.targets.get(target_id or "")
    if isinstance(target, Site):
        return site_routes(target)
    return _cluster_routes(target) if target else [_direct_response(503, "no release is live\n")]


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
        _cluster_route(target, {"prefix": "/", "headers": [idempotent]}, f"{_SAFE_RETRIES},reset"),
        _cluster_route(target, {"prefix": "/"}, _SAFE_RETRIES),
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
                "retry_host_predicate": [
                    {
                        "name": "envoy.retry_host_predicates.previous_hosts",
                        "typed_config": {
                            "@type": f"{_TYPE_URL}.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                        },
                    }
                ],
                "host_selection_retry_max_attempts": 3,
            },
        },
    }


def _listener(name: str, address: Json, route: str, vhost_value: str) -> Json:
    return {
        "name": name,
        "address": address,
        # With reuse_port two Envoys would silently share a port.
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": 1 << 20,
        "filter_chains": [
            {"filters": [{"name": "http", "typed_config": _connection_manager(name, route, vhost_value)}]}
        ],
    }


def _connection_manager(name: str, route: str, vhost_value: str) -> Json:
    header = {"header": {"key": VHOST_HEADER, "value": vhost_value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return {
        "@type": f"{_TYPE_URL}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "rds": {"route_config_name": route, "config_source": _config_source(f"{route}.json")},
        "early_header_mutation_extensions": [
            {
                "name": "place",
                "typed_config": {
                    "@type": f"{_TYPE_URL}.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                    "mutations": [{"append": header}],
                },
            }
        ],
        "http_filters": [
            {
                "name": "header_mutation",
                "typed_config": {"@type": f"{_TYPE_URL}.extensions.filters.http.header_mutation.v3.HeaderMutation"},
            },
            {
                "name": "envoy.filters.http.file_server",
                "typed_config": {"@type": FILE_SERVER, "manager_config": FILE_MANAGER},
            },
            {
                "name": "router",
                "typed_config": {
                    "@type": f"{_TYPE_URL}.extensions.filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            },
        ],
        "http_protocol_options": {"accept_http_10": True},
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "use_remote_address": True,
        "normalize_path": True,
        "stream_idle_timeout": _NO_TIMEOUT,
        "request_timeout": _NO_TIMEOUT,
        "server_name": "abreast",
        "local_reply_config": {
            "mappers": [
                {
                    "filter": {
                        "status_code_filter": {
                            "comparison": {
                                "op": "GE",
                                "value": {"default_value": 400, "runtime_key": "abreast"},
                            }
                        }
                    },
                    "headers_to_add": [
                        {
                            "header": {"key": "cache-control", "value": "no-store"},
                            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
                        }
                    ],
                }
            ]
        },
    }


_OUTLIER_DETECTION: Json = {
    # An instance that resets or never answers, and not one that answers with a status of the application's own.
    "split_external_local_origin_errors": True,
    "consecutive_local_origin_failure": 3,
    "enforcing_consecutive_local_origin_failure": 100,
    "enforcing_local_origin_success_rate": 0,
    "enforcing_consecutive_5xx": 0,
    "enforcing_consecutive_gateway_failure": 0,
    "enforcing_success_rate": 0,
    "interval": "1s",
    "base_ejection_time": "5s",
    "max_ejection_time": "30s",
    "max_ejection_percent": 100,
}


def _health_check(path: str) -> Json:
    return {
        "timeout": "5s",
        "interval": "3s",
        "no_traffic_interval": "3s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "reuse_connection": False,  # a server with one thread would be busy with it
        "http_health_check": {
            "path": path,
            "host": "127.0.0.1",
            "request_headers_to_add": [
                {"header": {"key": "user-agent", "value": USER_AGENT}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            ],
            "expected_statuses": [{"start": 200, "end": 400}],
            "retriable_statuses": [{"start": 400, "end": 600}],  # count towards the threshold, as no answer does
        },
    }


@cache
def _cluster(upstream: Upstream, ports: tuple[int, ...]) -> Json:
    limits = {
        "max_connections": _UNLIMITED,
        "max_pending_requests": _UNLIMITED,
        "max_requests": _UNLIMITED,
        "max_retries": _UNLIMITED,
    }
    return {
        "name": upstream.id,
        "type": "STATIC",
        "connect_timeout": "5s",
        "lb_policy": "LEAST_REQUEST",
        "circuit_breakers": {"thresholds": [limits]},
        # Where no instance is healthy, each gets requests. So a single one need not be checked.
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
        "health_checks": [_health_check(upstream.health_path)] if len(ports) > 1 else [],
        "outlier_detection": _OUTLIER_DETECTION,
        "load_assignment": {
            "cluster_name": upstream.id,
            "endpoints": [
                {"lb_endpoints": [{"endpoint": {"address": _socket_address("127.0.0.1", port)}} for port in ports]}
            ],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPE_URL}.extensions.upstreams.http.v3.HttpProtocolOptions",
                # Close first: common servers close idle connections after 5 s.
                "common_http_protocol_options": {"idle_timeout": "4s"},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }


def _listener_address(listener: Listener) -> Json:
    return _socket_address(listener.address, listener.port)


def _socket_address(address: str, port: int) -> Json:
    return {"socket_address": {"address": address, "port_value": port}}


def _config_source(name: str) -> Json:
    return {"path_config_source": {"path": f"./{name}"}, "resource_api_version": "V3"}


def _discovery_response(message_type: str, resources: Iterable[Json]) -> Json:
    """Return a discovery response. Its version is a hash of its content: Envoy reports what it has loaded."""
    typed = [{"@type": f"{_TYPE_URL}.{message_type}", **resource} for resource in resources]
    version = hashlib.sha256(json.dumps(typed, sort_keys=True).encode()).hexdigest()[:16]
    return {"version_info": version, "resources": typed}
