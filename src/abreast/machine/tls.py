"""The TLS trust store of this machine."""

import ssl
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from abreast.machine.lazy_modules import lazy_module

if TYPE_CHECKING:
    import httpx2
else:
    httpx2 = lazy_module("httpx2")


_SYSTEM_FILES = (
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
)
"""Where macOS and Alpine, Debian, Fedora, and openSUSE have them. An OpenSSL that came with Python looks elsewhere."""


@cache
def ssl_context() -> ssl.SSLContext:
    """Return the shared TLS context. Loading the certificates takes longer than a request."""
    return httpx2.create_ssl_context()


def trusted_certificates() -> str | None:
    """Return the file of the certificates that this machine trusts, None if it has none in one file.

    It is ``$SSL_CERT_FILE``, or the one of OpenSSL or of the system.
    """
    found = ssl.get_default_verify_paths().cafile
    return found or next((file for file in _SYSTEM_FILES if Path(file).is_file()), None)
