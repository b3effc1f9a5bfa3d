"""What is asked over the network: a token, and the keys of its issuer (OpenID Connect Discovery 1.0)."""

from collections.abc import Sequence
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel

from abreast.ci.id_tokens.verification import rejected
from abreast.core.errors import PlatformError
from abreast.core.secrets import Secret
from abreast.provider_api.api_client import ApiClient, Provider, Request

T = TypeVar("T")

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class _Token(BaseModel):
    value: str


class _Discovery(BaseModel):
    issuer: str
    jwks_uri: str


class _KeySet(BaseModel):
    keys: list[dict[str, Any]]


async def request_token(system: str, url: str, bearer: Secret) -> Secret:
    """Return the token with which a URL answers. Raises PlatformError."""
    return Secret("an ID token", (await _get(system, _Token, url, bearer)).value)


async def request_keys(system: str, issuer: str) -> Sequence[dict[str, Any]]:
    """Return the public keys of an issuer. Raises PlatformError; RejectedTokenError if they are another issuer's."""
    found = await _get(system, _Discovery, f"{issuer}/.well-known/openid-configuration")
    if found.issuer != issuer:
        raise rejected(f"at {issuer} is the issuer {found.issuer}")
    return (await _get(system, _KeySet, found.jwks_uri)).keys


async def _get(system: str, answer_type: type[T], url: str, bearer: Secret | None = None) -> T:
    try:
        parts = httpx2.URL(url)
    except httpx2.InvalidURL as error:
        raise PlatformError(f"{system}: {url!r} is not a URL") from error
    origin = f"{parts.scheme}://{parts.netloc.decode()}"
    if parts.scheme != "https" and parts.host not in _LOOPBACK:
        raise PlatformError(f"{system}: {origin} does not prove who it is", need="https")
    provider = Provider(system, origin, "", bearer.name if bearer else "", "the permission `id-token: write`")
    client = ApiClient(provider, origin, bearer)
    try:
        return await client.fetch(answer_type, Request("GET", url))
    finally:
        await client.close()
