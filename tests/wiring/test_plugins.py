"""Plug-ins of other packages: the example package is installed from its folder, and deploys the example project."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

import fork_server
from abreast.wiring.plugins import GATES, PLATFORMS
from sample_project import free_ports, get_text

EXAMPLES = Path(__file__).parents[2] / "examples"
MINIMAL = "project: p\nservices:\n  web: {build: {output: public}}\nenvironments:\n  local:\n    web: {%s: {}}\n"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example plug-in installed in it."""
    target = tmp_path_factory.mktemp("packages")
    command = ["pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", *command, "--target", target, EXAMPLES / "plugin"], check=True)
    return target


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The settings of a shelf that a web server serves."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "shelf" / "current"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield {"folder": str(tmp_path / "shelf"), "url": f"http://127.0.0.1:{server.server_address[1]}"}
        server.shutdown()


@pytest.fixture
def storefront(tmp_path: Path, packages: Path, shelf: dict[str, str]) -> Iterator["Storefront"]:
    project = Storefront(tmp_path / "storefront", packages, shelf)
    yield project
    project.abreast("down", "--yes")


class Storefront:
    """The example project with its frontend on a shelf, in an environment that has the plug-in."""

    def __init__(self, folder: Path, packages: Path, shelf: dict[str, str]) -> None:
        self.folder = folder
        self.packages = packages
        self.backend_port = free_ports(1)[0]
        shutil.copytree(EXAMPLES / "storefront", folder)
        self.config: dict[str, Any] = yaml.safe_load((folder / "abreast.yml").read_text())
        self.config["environments"]["local"] = {
            "settle": "300ms",
            "frontend": {"shelf": shelf},
            "backend": {"local": {"port": self.backend_port}},
        }
        subprocess.run(["git", "init", "-q", folder], check=True)

    def commit(self) -> str:
        """Commit all files; return the commit."""
        (self.folder / "abreast.yml").write_text(yaml.safe_dump(self.config))
        git = ["git", "-C", str(self.folder), "-c", "user.name=t", "-c", "user.email=t@localhost"]
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-qm", "Change"], check=True)
        return subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()

    def abreast(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project."""
        return _abreast(self.folder, self.packages, *arguments)


def _abreast(folder: Path, packages: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, (str(packages), os.environ.get("PYTHONPATH"))))
    return fork_server.run_command(folder, *arguments, variables={"PYTHONPATH": path})


def _served_commit(url: str) -> str:
    return str(json.loads(get_text(url))["commit"])


@pytest.mark.exhaustive
def test_the_example_plugin_deploys_the_example(storefront: Storefront, shelf: dict[str, str]) -> None:
    first = storefront.commit()
    done = storefront.abreast("deploy", "--yes")
    assert done.returncode == 0, done.stderr
    assert "a shelf has one address" in done.stdout
    assert _served_commit(f"{shelf['url']}/version.json") == first
    assert _served_commit(f"http://127.0.0.1:{storefront.backend_port}/api/health") == first

    (storefront.folder / "frontend" / "src" / "style.css").write_text("body { color: red }\n")
    with (storefront.folder / "backend" / "app.py").open("a") as source:
        source.write("\n# changed\n")
    assert storefront.commit() != first
    assert storefront.abreast("deploy", "--yes").returncode == 0
    assert storefront.abreast("rollback", "--yes", "--reason", "test").returncode == 0
    assert _served_commit(f"{shelf['url']}/version.json") == first
    assert _served_commit(f"http://127.0.0.1:{storefront.backend_port}/api/health") == first

    services = json.loads(storefront.abreast("status", "--json").stdout)["environments"]["local"]["services"]
    assert {name: service["platform"] for name, service in services.items()} == {
        "frontend": "shelf",
        "backend": "local",
    }


@pytest.mark.exhaustive
def test_a_gate_of_a_plugin_stops_a_deployment(storefront: Storefront, shelf: dict[str, str]) -> None:
    storefront.config["gates"] = {"file-size": {"kilobytes": 8}}
    (storefront.folder / "frontend" / "src" / "photo.jpg").write_bytes(bytes(10_000))
    storefront.commit()
    done = storefront.abreast("deploy", "--yes")
    assert done.returncode == 3, done.stderr
    assert "files larger than 8192 bytes: 1" in done.stdout
    assert "frontend/src/photo.jpg" in done.stdout
    assert not (Path(shelf["folder"]) / "current").exists()


def test_settings_of_plugins_are_checked_like_all_others(storefront: Storefront) -> None:
    storefront.config["gates"] = {"file-size": {"kilobites": 8}}
    storefront.config["environments"]["local"]["frontend"]["shelf"]["folder"] = 7
    storefront.commit()
    done = storefront.abreast("plan")
    assert done.returncode == 2
    assert "gates.file-size.kilobites: unknown key (did you mean 'kilobytes'?)" in done.stderr
    assert "environments.local.frontend.shelf.folder: expected a text, found 7" in done.stderr
    assert len(done.stderr.splitlines()) == 2, done.stderr


def test_the_reference_knows_installed_platforms(storefront: Storefront) -> None:
    storefront.commit()
    assert "what abreast.yml says under ``shelf:``" in storefront.abreast("docs", "platform shelf").stdout.lower()
    schema = json.loads(storefront.abreast("schema").stdout)
    assert "ShelfSettings" in schema["$defs"]


# ── plug-ins that cannot be used ───────────────────────────────────────────────────────────────


def _register(packages: Path, package: str, group: str, name: str, value: str) -> None:
    """Install a package that consists of one entry point."""
    info = packages / f"{package.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")


def _plan(tmp_path: Path, platform: str, packages: Path) -> subprocess.CompletedProcess[str]:
    (tmp_path / "abreast.yml").write_text(MINIMAL % platform)
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    return _abreast(tmp_path, packages, "plan")


def test_an_unknown_platform_is_an_unknown_key(tmp_path: Path) -> None:
    done = _plan(tmp_path, "heroku", tmp_path / "none")
    assert done.returncode == 2
    assert "abreast.yml:6:11" in done.stderr
    assert "environments.local.web.heroku: unknown key" in done.stderr
    assert "netlify" in done.stderr


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("no_such_module:PLUGIN", "ModuleNotFoundError"),
        ("json:no_such_name", "AttributeError"),
        ("json:dumps", "not a PlatformPlugin"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_named_with_its_package(tmp_path: Path, value: str, why: str) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    _register(packages, "acme-heroku", "abreast.platforms", "heroku", value)
    done = _plan(tmp_path, "heroku", packages)
    assert done.returncode == 2
    assert "'heroku' of acme-heroku cannot be loaded" in done.stderr
    assert why in done.stderr
    assert "pip install --upgrade acme-heroku" in done.stderr


@pytest.mark.parametrize("name", ["heroku", "netlify"])
def test_two_packages_cannot_claim_one_name(tmp_path: Path, name: str) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    for package in ("acme-heroku", "other-heroku"):
        _register(packages, package, "abreast.platforms", name, f"{package.replace('-', '_')}:PLUGIN")
    done = _plan(tmp_path, "heroku", packages)
    assert done.returncode == 2
    assert "heroku registers" in done.stderr
    assert ("acme-heroku also registers" if name == "heroku" else "abreast itself also registers") in done.stderr


def test_what_is_built_in_can_be_loaded() -> None:
    assert all(PLATFORMS[name].settings for name in PLATFORMS)
    assert all(GATES[name].evaluate for name in GATES)
