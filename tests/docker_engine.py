"""Docker's engine and its registry, started for the tests: real ones, in folders of their own."""

import json
import os
import shutil
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

    def __init__(self, port: int) -> None:
        self.address = f"127.0.0.1:{port}"

    def get_json(
        self, path: str, media_type: str = "application/vnd.docker.distribution.manifest.v2+json"
    ) -> dict[str, object]:
        asked = urllib.request.Request(f"http://{self.address}/v2/{path}", headers={"Accept": media_type})
        with urllib.request.urlopen(asked, timeout=scaled(5)) as answer:
            return dict(json.load(answer))

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
    """Run both, and have ``docker`` find them."""
    require_programs("docker", "dockerd", "docker-registry", "busybox")
    folder = Path(tempfile.mkdtemp(prefix="dk"))  # short, for the socket
    (port,) = free_ports(1)
    (folder / "registry.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/images}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
    )
    host = f"unix://{folder}/s"
    engine = ["dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--host", host,
              "--pidfile", f"{folder}/pid", "--iptables=false", "--bridge=none", "--storage-driver", "vfs"]  # fmt: skip
    log = (folder / "log").open("ab")
    running = [
        subprocess.Popen(engine, stdout=log, stderr=log),
        subprocess.Popen(["docker-registry", "serve", str(folder / "registry.yml")], stdout=log, stderr=log),
    ]
    os.environ["DOCKER_HOST"] = host
    os.environ["DOCKER_BUILDKIT"] = "0"
    registry = Registry(port)
    try:
        eventually(lambda: subprocess.run(["docker", "version"], capture_output=True, check=False).returncode == 0)
        eventually(lambda: registry.get_json("") == {})
        yield registry
    finally:
        del os.environ["DOCKER_HOST"], os.environ["DOCKER_BUILDKIT"]
        for process in reversed(running):
            process.terminate()
            process.wait(30)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)
