"""Azurite, which speaks the protocol of Azure's blobs, from npm: kept beside the virtual environment."""

import base64
import fcntl
import hmac
import http.client
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path

import pytest

from project import eventually, free_ports

VERSION = "3.37.0"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""What everybody's emulator of Azure has: https://learn.microsoft.com/azure/storage/common/storage-use-azurite"""


@contextmanager
def azure(folder: Path, container: str) -> Iterator[str]:
    """Serve a container of blobs; yields where."""
    (port,) = free_ports(1)
    program = [str(_azurite()), "--blobPort", str(port), "--location", str(folder), "--silent", "--skipApiVersionCheck"]
    running = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: _create(port, container) in {201, 409})
        yield f"http://127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait(30)


def _create(port: int, container: str) -> int:
    """Make a container, signed as https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key asks."""
    path, now = f"/{ACCOUNT}/{container}", formatdate(usegmt=True)
    lines = ["PUT", *[""] * 11, f"x-ms-date:{now}", "x-ms-version:2021-08-06", f"/{ACCOUNT}{path}", "restype:container"]
    signed = base64.b64encode(hmac.digest(base64.b64decode(KEY), "\n".join(lines).encode(), "sha256")).decode()
    headers = {
        "x-ms-date": now,
        "x-ms-version": "2021-08-06",
        "Authorization": f"SharedKey {ACCOUNT}:{signed}",
        "Content-Length": "0",
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("PUT", f"{path}?restype=container", headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


def _azurite() -> Path:
    """Return the program; skips where there is no Node, and where it cannot be installed, which in CI is a failure."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("not on this machine: node, npm")
    place = Path(sys.prefix) / "azurite"
    place.mkdir(exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (place / VERSION).exists():
            _install(place)
            (place / VERSION).touch()
    return place / "node_modules" / ".bin" / "azurite-blob"


def _install(place: Path) -> None:
    command = ["npm", "install", "--prefix", str(place), "--ignore-scripts", "--no-audit", "--no-fund", "--no-save"]
    done = subprocess.run([*command, f"azurite@{VERSION}"], check=False, capture_output=True, text=True)
    if done.returncode and os.environ.get("CI"):
        pytest.fail(f"npm: {done.stderr[-2000:]}")
    if done.returncode:
        pytest.skip("azurite cannot be installed here")
