"""The TLS trust store of this machine."""

import ssl
from functools import cache

import httpx2


@cache
def ssl_context() -> ssl.SSLContext:
    """Return the shared TLS context. Loading the certificates takes longer than a request."""
    return httpx2.create_ssl_context()
