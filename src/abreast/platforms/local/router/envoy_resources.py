"""Renders a routing table as Envoy resources: bootstrap, listeners and clusters, as JSON values.

See https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/api.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from abreast.core.probes import USER_AGENT
from abreast.machine.tls import trusted_certificates
from abreast.platforms.local.router.envoy_admin import ADMIN_SOCKET
from abreast.platforms.local.router.envoy_routes import TYPE_URL, VHOST_HEADER, discovery_response
from abreast.platforms.local.router.maintenance_routes import TRUSTED_PROXIES, client_filter
from abreast.platforms.local.router.routing_table import Listener, RoutingTable, Site, Upstream
from abreast.platforms.local.router.site_tables import PROXY_HEADER, proxy_cluster
from abreast.platforms.local.router.static_routes import site_filters

Json = dict[str, Any]
CANDIDATE_SOCKET = "candidates.sock"
STATISTICS = (
    {"suffix": ".version_text"},
    {"suffix": ".update_rejected"},
    {"suffix": ".update_failure"},
    {"suffix": ".upstream_rq_active"},
    {"exact": "cluster_manager.warming_clusters"},
)
"""What `EnvoyAdmin` reads. Each other statistic would cost time in each request, and nobody would see it."""

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
        "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": list(STATISTICS)}}},
        "layered_runtime": {
            "layers": [
                {
                    "name": "abreast",
                    "static_layer": {
                        "overload.global_downstream_max_connections": 50_000,
                    },
                },
                {"name": "turns", "admin_layer": {}},
            ]
        },
    }


def listeners(table: RoutingTable) -> Json:
    """Return one listener per port, and one on a Unix socket for checks of candidates."""
    by_port = {listener.port: listener for listener in table.listeners.values()}
    port_listeners = [
        _listener(f"port-{port}", _listener_address(listener), "live", f"{port}/%REQ(:AUTHORITY)%")
        for port, listener in by_port.items()
    ]
    socket = {"pipe": {"path": CANDIDATE_SOCKET, "mode": 0o600}}
    return discovery_response(
        "config.listener.v3.Listener",
        [*port_listeners, _listener("candidates", socket, "candidates", "%REQ(:AUTHORITY)%")],
    )


def clusters(table: RoutingTable, endpoints: Mapping[str, int], retiring: Mapping[str, Upstream] | None = None) -> Json:
    """Return a cluster per backend version, plus those in ``retiring``, of the instances that have an endpoint."""
    upstreams = {
        **(retiring or {}),
        **{name: target for name, target in table.targets.items() if isinstance(target, Upstream)},
    }
    return discovery_response(
        "config.cluster.v3.Cluster",
        [
            *(
                _cluster(upstream, tuple(endpoints[id_] for id_ in upstream.instances if id_ in endpoints))
                for _, upstream in sorted(upstreams.items())
            ),
            *(_proxy_cluster(origin) for origin in sorted(_proxy_origins(table))),
        ],
    )


def _proxy_origins(table: RoutingTable) -> frozenset[str]:
    """Return the servers of others that sites pass requests on to, as far as certificates can be verified."""
    sites = (target for target in table.targets.values() if isinstance(target, Site))
    origins = frozenset(origin for site in sites for origin in site.proxies)
    return origins if trusted_certificates() else frozenset(name for name in origins if name.startswith("http://"))


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
        "@type": f"{TYPE_URL}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "rds": {"route_config_name": route, "config_source": _config_source(f"{route}.json")},
        "early_header_mutation_extensions": [
            {
                "name": "place",
                "typed_config": {
                    "@type": f"{TYPE_URL}.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
                    "mutations": [{"append": header}, {"remove": PROXY_HEADER}],
                },
            }
        ],
        "http_filters": [
            client_filter(),
            *site_filters(),
            {
                "name": "router",
                "typed_config": {
                    "@type": f"{TYPE_URL}.extensions.filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                    "dynamic_stats": False,
                },
            },
        ],
        "http_protocol_options": {"accept_http_10": True},
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "generate_request_id": False,  # one of the client's is passed on; nothing here would read another
        "use_remote_address": True,
        "xff_num_trusted_hops": TRUSTED_PROXIES,
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


def _checks(upstream: Upstream) -> Json:
    """Return what tells Envoy which of several instances answer."""
    return {"health_checks": [_health_check(upstream)], "outlier_detection": _OUTLIER_DETECTION}


def _health_check(upstream: Upstream) -> Json:
    return {
        "timeout": "5s",
        "interval": upstream.interval,
        "no_traffic_interval": upstream.interval,
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "reuse_connection": False,  # a server with one thread would be busy with it
        "http_health_check": {
            "path": upstream.health_path,
            "host": "127.0.0.1",
            "request_headers_to_add": [
                {"header": {"key": "user-agent", "value": USER_AGENT}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            ],
            "expected_statuses": [{"start": 200, "end": upstream.failing_status}],
            "retriable_statuses": [
                {"start": upstream.failing_status, "end": 600}
            ],  # count towards the threshold, as no answer does
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
        **(_checks(upstream) if len(ports) > 1 else {}),
        "load_assignment": _load_assignment(upstream.id, [_socket_address("127.0.0.1", port) for port in ports]),
        "typed_extension_protocol_options": _http_options(),
    }


def _proxy_cluster(origin: str) -> Json:
    """Return the cluster of a server of others, ``https://example.org``. Its certificate is verified."""
    url, trusted = urlsplit(origin), trusted_certificates()
    address = _socket_address(url.hostname or "", url.port or {"https": 443}.get(url.scheme, 80))
    name = proxy_cluster(origin)
    return {
        "name": name,
        # Connections race over the addresses of both families: a machine may reach those of one only.
        "type": "LOGICAL_DNS",
        "dns_lookup_family": "ALL",
        "connect_timeout": "5s",
        "wait_for_warm_on_init": False,  # a name that cannot be resolved is a 503 of its own requests only
        "load_assignment": _load_assignment(name, [address]),
        "typed_extension_protocol_options": _http_options(auto_sni=True, auto_san_validation=True),
        **({"transport_socket": _tls(trusted)} if url.scheme == "https" and trusted else {}),
    }


def _load_assignment(cluster: str, addresses: Sequence[Json]) -> Json:
    endpoints = [{"endpoint": {"address": address}} for address in addresses]
    return {"cluster_name": cluster, "endpoints": [{"lb_endpoints": endpoints}]}


def _tls(trusted: str) -> Json:
    return {
        "name": "tls",
        "typed_config": {
            "@type": f"{TYPE_URL}.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": {"validation_context": {"trusted_ca": {"filename": trusted}}},
        },
    }


def _http_options(**upstream: bool) -> Json:
    return {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": f"{TYPE_URL}.extensions.upstreams.http.v3.HttpProtocolOptions",
            # Close first: common servers close idle connections after 5 s.
            "common_http_protocol_options": {"idle_timeout": "4s"},
            "explicit_http_config": {"http_protocol_options": {}},
            **({"upstream_http_protocol_options": upstream} if upstream else {}),
        }
    }


def _listener_address(listener: Listener) -> Json:
    return _socket_address(listener.address, listener.port)


def _socket_address(address: str, port: int) -> Json:
    return {"socket_address": {"address": address, "port_value": port}}


def _config_source(name: str) -> Json:
    return {"path_config_source": {"path": f"./{name}"}, "resource_api_version": "V3"}
