"""Docker's engine and its registry, started for the tests: real ones, in folders of their own."""

import gzip
import json
import os
import shutil
import socket
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from limits import scaled
from sample_project import eventually, free_ports, require_programs

DOCKERFILE = (
    'FROM scratch\nCOPY busybox /busybox\nCOPY app.py /app.py\nRUN ["/busybox", "true"]\nENTRYPOINT ["/busybox"]\n'
)
"""An image without the network: `busybox` of this machine has to be beside it."""


class Registry:
    """A registry on loopback; it also tells of which commit an image is."""

    def __init__(self, port: int, folder: Path) -> None:
        self.address = f"127.0.0.1:{port}"
        self.folder = folder

    def get_json(
        self, path: str, media_type: str = "application/vnd.docker.distribution.manifest.v2+json"
    ) -> dict[str, object]:
        asked = urllib.request.Request(f"http://{self.address}/v2/{path}", headers={"Accept": media_type})
        with urllib.request.urlopen(asked, timeout=scaled(5)) as answer:
            return dict(json.load(answer))

    def layers(self, name: str, reference: str) -> list[str]:
        """Return the digests of an image's layers, the first first."""
        layers = self.get_json(f"{name}/manifests/{reference}")["layers"]
        assert isinstance(layers, list)
        return [layer["digest"] for layer in layers]

    def tags(self, name: str) -> set[str]:
        """Return all tags of an image."""
        tags = self.get_json(f"{name}/tags/list")["tags"]
        assert isinstance(tags, list)
        return set(tags)

    def forget(self, name: str) -> None:
        """Lose all of an image, as by a retention rule."""
        shutil.rmtree(self.folder / "docker" / "registry" / "v2" / "repositories" / name)

    def contents(self) -> bytes:
        """Return the bytes of everything that was pushed, uncompressed."""
        blobs = [file.read_bytes() for file in (self.folder / "docker/registry/v2/blobs").rglob("data")]
        return b"".join(gzip.decompress(blob) if blob.startswith(b"\x1f\x8b") else blob for blob in blobs)

    def labels(self, name: str, reference: str) -> dict[str, str]:
        """Return an image's labels, as pushed."""
        config = self.get_json(f"{name}/manifests/{reference}")["config"]
        assert isinstance(config, dict)
        told = self.get_json(f"{name}/blobs/{config['digest']}", "*/*")["config"]
        assert isinstance(told, dict)
        return dict(told["Labels"])


class PushedImages(dict[str, str]):
    """The commits that images in the registry are of, as the emulated Render would pull them."""

    def __init__(self, registry: Registry) -> None:
        super().__init__()
        self.registry = registry

    def __contains__(self, image: object) -> bool:
        return self.get(str(image)) is not None

    def get(self, image: str, default: str | None = None) -> str | None:  # type: ignore[override]
        place, _, rest = image.partition("/")
        name, _, digest = rest.partition("@")
        if place != self.registry.address or not digest.startswith("sha256:"):
            return default
        return self.registry.labels(name, digest)["org.opencontainers.image.revision"]


@contextmanager
def docker_engine() -> Iterator[Registry]:
    """Run both, without networks in containers, and have ``docker`` find them. The legacy builder builds."""
    require_programs("docker", "dockerd", "busybox")
    with docker_registry() as registry, engine("--bridge=none"), variables(DOCKER_BUILDKIT="0"):
        yield registry


@contextmanager
def docker_registry() -> Iterator[Registry]:
    """Run a registry."""
    require_programs("docker-registry")
    with tempfile.TemporaryDirectory() as name:
        (port,), folder = free_ports(1), Path(name)
        (folder / "registry.yml").write_text(
            f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/images}}}}\n"
            f"http: {{addr: '127.0.0.1:{port}'}}\n"
        )
        with _running(["docker-registry", "serve", str(folder / "registry.yml")], folder):
            registry = Registry(port, folder / "images")
            eventually(lambda: registry.get_json("") == {})
            yield registry


@contextmanager
def bridge() -> Iterator[str]:
    """Make a bridge for an engine of its own: an engine without networks takes away the one that others share."""
    name = f"br{os.getpid()}"
    subprocess.run(["busybox", "brctl", "addbr", name], check=True)
    try:
        yield name
    finally:
        subprocess.run(["busybox", "ip", "link", "set", name, "down"], check=True)
        subprocess.run(["busybox", "brctl", "delbr", name], check=True)


@contextmanager
def engine(*options: str) -> Iterator[None]:
    """Run an engine that has no image yet, and have ``docker`` find it."""
    folder = Path(tempfile.mkdtemp(prefix="dk"))  # short, for the socket
    host = f"unix://{folder}/s"
    command = ["dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--host", host,
               "--pidfile", f"{folder}/pid", "--iptables=false", "--storage-driver", "vfs", *options]  # fmt: skip
    try:
        with _running(command, folder), variables(DOCKER_HOST=host):
            eventually(lambda: _is_ready(folder / "s"))
            yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_ready(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(address))
        connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
        return b" 200 " in connection.recv(100)


def buildkit_client() -> Path:
    """Return the folder of a ``docker`` that builds with BuildKit. Skips the test if there is none; in CI, fails it."""
    folders = [Path(name) for name in os.environ["PATH"].split(os.pathsep)]
    for folder in folders:
        environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
        asked = [str(folder / "docker"), "build", "--help"]
        if (folder / "docker").exists() and b"--progress" in subprocess.run(
            asked, env=environment, capture_output=True, check=False
        ).stdout:
            return folder
    require_programs("docker-buildx")
    raise AssertionError


@contextmanager
def variables(**values: str) -> Iterator[None]:
    """Set variables of this process, whose commands get them."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({name: value} if value is not None else {})


@contextmanager
def _running(command: list[str], folder: Path) -> Iterator[None]:
    with (folder / "log").open("ab") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)
