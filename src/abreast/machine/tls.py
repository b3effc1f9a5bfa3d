"""The TLS trust store of this machine."""

import ssl
from functools import cache
from typing import TYPE_CHECKING

from abreast.machine.lazy_modules import lazy_module

if TYPE_CHECKING:
    import httpx2
else:
    httpx2 = lazy_module("httpx2")


@cache
def ssl_context() -> ssl.SSLContext:
    """Return the shared TLS context. Loading the certificates takes longer than a request."""
    return httpx2.create_ssl_context()


def trusted_certificates() -> str | None:
    """Return the file of the certificates that this machine trusts, None if it has none in one file."""
    return ssl.get_default_verify_paths().cafile
