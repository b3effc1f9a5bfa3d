"""The routes of a service in maintenance: a page for users, the service itself for those whom it lets through."""

import ipaddress
from collections.abc import Sequence
from typing import Any

from abreast.core.maintenance import MaintenanceMode

Json = dict[str, Any]
CLIENT_FILTER = "client"
_CLIENT_ADDRESS = "abreast.client"
"""The state of a request that holds its client's address."""

_SET_FILTER_STATE = "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config"
ENABLED: Json = {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}}
"""Turns a filter on, with the configuration that it has in the chain."""

TRUSTED_PROXIES = 1
"""Listeners are on 127.0.0.1, so who connects is a proxy of this machine: its word on the client counts."""


def client_filter() -> Json:
    """Return the filter that finds out the client's address and chooses the route again. Off until a host needs it."""
    client = {
        "object_key": _CLIENT_ADDRESS,
        "factory_key": "envoy.network.ip",
        "format_string": {"text_format_source": {"inline_string": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}},
    }
    config = {"@type": _SET_FILTER_STATE, "clear_route_cache": True, "on_request_headers": [client]}
    return {"name": CLIENT_FILTER, "disabled": True, "typed_config": config}


def guarded(routes: Sequence[Json], mode: MaintenanceMode | None, match: Json) -> list[Json]:
    """Return the routes of a service, behind its maintenance if it is in any. ``match`` is what all of them have."""
    if mode is None:
        return [*routes]
    admitted = [_only_from(route, mode.allow) for route in routes] if mode.allow else []
    return [*admitted, _answer(mode, {**match, "headers": _WANTS_JSON}, "application/json", mode.json),
            _answer(mode, match, "text/html; charset=utf-8", mode.html)]  # fmt: skip


_WANTS_JSON: list[Json] = [
    {"name": "accept", "string_match": {"safe_regex": {"regex": ".*[/+]json.*"}}},
    {"name": "accept", "string_match": {"contains": "text/html"}, "invert_match": True},
]


def _only_from(route: Json, ranges: Sequence[str]) -> Json:
    """Return the route for requests from these addresses only."""
    networks = (ipaddress.ip_network(text) for text in ranges)
    listed = [{"address_prefix": str(each.network_address), "prefix_len": each.prefixlen} for each in networks]
    condition = {"key": _CLIENT_ADDRESS, "address_match": {"ranges": listed}}
    before = route["match"].get("filter_state", [])
    return {**route, "match": {**route["match"], "filter_state": [*before, condition]}}


def _answer(mode: MaintenanceMode, match: Json, content_type: str, body: str) -> Json:
    headers = {
        "content-type": content_type,
        "cache-control": "no-store",
        "retry-after": str(mode.retry_after),
        "vary": "accept",
    }
    return {
        "match": match,
        "direct_response": {"status": 503, "body": {"inline_string": body}},
        "response_headers_to_add": [
            {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
            for name, value in headers.items()
        ],
    }
