"""Stores of objects as fixtures: S3's protocol, Azurite, Google's XML API, a folder; each a real server."""

import json
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from azurite import ACCOUNT, ACCOUNT_KEY, azure_url
from limits import scaled
from shared_servers import WORKER


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A bucket on a real server of S3's protocol."""
    import boto3  # type: ignore[import-untyped]  # noqa: PLC0415 (slow, and few tests need it)
    from moto.server import ThreadedMotoServer  # noqa: PLC0415

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test-secret-key",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1").create_bucket(Bucket="releases")
    yield f"s3://releases/{tmp_path.name}"
    server.stop()


@pytest.fixture
def az(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A container on Azurite."""
    for name, value in {
        "AZURE_STORAGE_ACCOUNT_NAME": ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": ACCOUNT_KEY, "AZURE_STORAGE_USE_EMULATOR": "true",
        "AZURITE_BLOB_STORAGE_URL": azure_url(),
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    return f"az://releases/{WORKER}/{tmp_path.name}"


@pytest.fixture
def gs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """A bucket as Google's client asks for it: by the XML API, which it shares with S3 but for how one signs.

    https://cloud.google.com/storage/docs/xml-api/overview
    """
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: PLC0415
    from werkzeug.serving import make_server  # noqa: PLC0415

    backend = DomainDispatcherApplication(create_backend_app)

    def signed(environ: dict[str, Any], respond: Any) -> Any:  # noqa: ANN401 (WSGI)
        scope = "test/20261121/us-east-1/s3/aws4_request"
        environ["HTTP_AUTHORIZATION"] = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"
        return backend(environ, respond)

    server = make_server("127.0.0.1", 0, signed, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    urllib.request.urlopen(urllib.request.Request(f"{url}/google", method="PUT"), timeout=scaled(5)).close()
    account = {"gcs_base_url": url, "disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(account))
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    yield f"gs://google/{tmp_path.name}"
    server.shutdown()


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "store").mkdir()
    return f"file://{tmp_path}/store"
