"""An issuer of ID tokens: it signs claims, and serves its document and keys (OpenID Connect Discovery 1.0)."""

import json
import time
import uuid
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

LIFETIME = 300
"""Seconds for which a token is valid."""

DISCOVERY = "/.well-known/openid-configuration"


class TokenIssuer:
    """The issuer at ``path`` of a server, whose keys are at ``keys_path``. ``lifetime`` can be changed by tests."""

    def __init__(self, path: str, keys_path: str) -> None:
        self._path, self._keys_path = path, keys_path
        self.key_id = uuid.uuid4().hex
        self.lifetime = LIFETIME

    @cached_property
    def key(self) -> rsa.RSAPrivateKey:
        """What signs."""
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def issuer(self, server_url: str) -> str:
        """Return the name of the issuer of a server."""
        return f"{server_url}{self._path}"

    def sign(self, server_url: str, audience: str, claims: Mapping[str, Any]) -> str:
        """Return a token with claims, from now on."""
        now = int(time.time())
        times = {"iat": now, "nbf": now - 5, "exp": now + self.lifetime}
        about = {"iss": self.issuer(server_url), "aud": audience, "jti": str(uuid.uuid4())}
        return jwt.encode({**about, **times, **claims}, self.key, "RS256", {"kid": self.key_id})

    def routes(self) -> list[Route]:
        """Return what is served."""
        return [Route(f"{self._path}{DISCOVERY}", self._discover), Route(self._keys_path, self._list_keys)]

    async def _discover(self, request: Request) -> Response:
        server = f"{request.url.scheme}://{request.headers['host']}"
        document = {
            "issuer": self.issuer(server),
            "jwks_uri": f"{server}{self._keys_path}",
            "subject_types_supported": ["public"],
            "response_types_supported": ["id_token"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid"],
        }
        return JSONResponse(document)

    async def _list_keys(self, _: Request) -> Response:
        public = json.loads(RSAAlgorithm.to_jwk(self.key.public_key()))
        key = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.key_id, "n": public["n"], "e": public["e"]}
        return JSONResponse({"keys": [key]})
