"""Azurite, which speaks the protocol of Azure's blobs, from npm: kept beside the virtual environment."""

import base64
import hmac
import http.client
from email.utils import formatdate
from pathlib import Path

from limits import scaled
from npm import install_packages
from sample_project import eventually, free_ports
from shared_servers import StartedServer, launch, shared_server

VERSION = "3.37.0"
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""What everybody's emulator of Azure has: https://learn.microsoft.com/azure/storage/common/storage-use-azurite"""


def azure_url() -> str:
    """Return where a server of blobs is, with the container ``releases``."""
    return shared_server("azurite", _start_server)


def _start_server(folder: Path) -> StartedServer:
    (port,) = free_ports(1)
    program = [str(_azurite_program()), "--blobPort", str(port), "--location", str(folder / "blobs"), "--silent"]
    pid = launch([*program, "--skipApiVersionCheck"], folder / "log")
    eventually(lambda: _create_container(port, "releases") in {201, 409}, 120)
    return pid, f"http://127.0.0.1:{port}"


def _create_container(port: int, container: str) -> int:
    """Make a container, signed as https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key asks."""
    path, now = f"/{ACCOUNT}/{container}", formatdate(usegmt=True)
    lines = ["PUT", *[""] * 11, f"x-ms-date:{now}", "x-ms-version:2021-08-06", f"/{ACCOUNT}{path}", "restype:container"]
    signed = base64.b64encode(hmac.digest(base64.b64decode(ACCOUNT_KEY), "\n".join(lines).encode(), "sha256")).decode()
    headers = {
        "x-ms-date": now,
        "x-ms-version": "2021-08-06",
        "Authorization": f"SharedKey {ACCOUNT}:{signed}",
        "Content-Length": "0",
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=scaled(5))
    connection.request("PUT", f"{path}?restype=container", headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


def _azurite_program() -> Path:
    return install_packages("azurite", f"azurite@{VERSION}") / "azurite-blob"
