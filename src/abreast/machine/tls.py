"""Whom this machine trusts."""

import ssl
from functools import cache

import httpx2


@cache
def ssl_context() -> ssl.SSLContext:
    """Return the context of every client here; to read all certificates anew takes longer than a request."""
    return httpx2.create_ssl_context()
