"""The credentials of one environment are no part of a deployment to another."""

import copy
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from abreast.config.load import load_config
from abreast.testing.platforms import netlify, render
from abreast.testing.platforms.threaded_server import ThreadedServer
from abreast.wiring.assembly import PLUGIN_SETTINGS
from sample_project import SampleProject, free_ports, get_json

OF_PRODUCTION = {
    "PROD_TOKEN": "xq7-of-production-41c9",
    "RENDER_API_KEY": "xq8-of-production-41c9",
    "PROD_HOOK": "xq9-of-production-41c9",
}
SENTINEL = "of-production-41c9"


class Recording(Mapping[str, str]):
    """Variables that know which of them were read."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> str:
        if name in self._variables:
            self.read.add(name)
        return self._variables[name]

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("somebody reads all variables")

    def __len__(self) -> int:
        return len(self._variables)


def test_values_of_another_environment_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "abreast.yml").write_text("""project: shop
services:
  web:
    run: serve
    env: {TOKEN: "${STAGING_TOKEN}"}
    database: "${STAGING_DATABASE}"
environments:
  staging: {}
  production:
    web:
      render: {service: srv-1, secret_files: {key.pem: PROD_KEY}}
      env: {TOKEN: "${PROD_TOKEN}", PLAIN: "https://${PROD_HOST}/"}
      database: "${PROD_DATABASE}"
""")
    names = ("STAGING_TOKEN", "PROD_TOKEN", "PROD_HOST", "PROD_KEY")
    databases = dict.fromkeys(("STAGING_DATABASE", "PROD_DATABASE"), "postgresql://u:password@h/d")
    variables = Recording({**dict.fromkeys(names, "a-value-of-its-own"), **databases})
    project = load_config(tmp_path / "abreast.yml", variables, PLUGIN_SETTINGS)
    assert variables.read == set()
    assert set(project.environment("staging").services[0].secrets) == {"TOKEN"}
    assert variables.read == {"STAGING_TOKEN", "STAGING_DATABASE"}


@pytest.fixture
def apart(project: SampleProject, tmp_path: Path) -> Iterator[tuple[SampleProject, dict[str, str]]]:
    """``local`` is here; ``production`` is on Render, by an API key and by a hook, with secrets of its own."""
    emulator = render.RenderEmulator(tmp_path)
    service = emulator.add_service("api", project.folder, "exec sleep 1", "/health")
    project.config["environments"]["production"] = {
        "backend": {"render": {"service": service.id}, "env": {"TOKEN": "${PROD_TOKEN}"}},
        "frontend": {"render": {"hook": "PROD_HOOK", "url": "https://shop.example"}},
    }
    with ThreadedServer(emulator.app) as server:
        yield project, {"RENDER_API_URL": server.url, **OF_PRODUCTION}
        assert emulator.faults.requests == [], "nobody asked production's platform for anything"
    emulator.close()


def test_no_command_and_no_process_gets_credentials_of_production(
    apart: tuple[SampleProject, dict[str, str]], tmp_path: Path
) -> None:
    project, variables = apart
    dumps = tmp_path / "dumps"
    dumps.mkdir()
    dump = f"env > $(mktemp {dumps}/%s.XXXXXX)"
    backend = project.config["services"]["backend"]
    backend["build"] = {"install": dump % "install", "run": dump % "build"}
    backend["release"] = dump % "release"
    backend["test"] = dump % "test"
    backend["run"] = f"{dump % 'run'}; {backend['run']}"
    project.config["services"]["queue"] = {
        "type": "worker", "run": "exec sleep 1000", "instances": 1, "health": {"command": dump % "health", "hold": "0s"},
    }  # fmt: skip
    project.config["gates"] = {"lint": dump % "gate"}
    variables["PATH"] = f"{_spy_on_git(tmp_path, dumps)}:{os.environ['PATH']}"
    project.commit("Dump")
    project.deploy("--env", "local", variables=variables)
    project.deploy("--env", "local", "--force", variables=variables)
    seen = {file.name.partition(".")[0] for file in dumps.iterdir()}
    assert seen >= {"install", "build", "release", "test", "run", "health", "gate", "git"}
    assert [file.name for file in dumps.iterdir() if SENTINEL in file.read_text()] == []
    assert [pid for pid, environment in _environments() if SENTINEL in environment] == []
    assert any(str(project.folder) in environment for _, environment in _environments()), "the supervisor was looked at"


def test_a_rollback_still_has_the_secrets_of_its_own_release(project: SampleProject) -> None:
    source = project.app_source('    return 200, {"key": os.environ.get("API_KEY", "-")}\n')
    production = copy.deepcopy(project.config["environments"]["local"])
    for service, port in zip(("frontend", "backend"), free_ports(2), strict=True):
        production[service]["local"] = {"port": port}
    variables = {"OLD_KEY": "of-the-first-release"}
    project.config["services"]["backend"]["env"] = {"API_KEY": "${OLD_KEY}"}
    project.commit("With a key", app_py=source)
    project.deploy("--env", "local", variables=variables)
    del project.config["services"]["backend"]["env"]
    production["backend"]["env"] = {"API_KEY": "${OLD_KEY}"}
    project.config["environments"]["production"] = production
    project.commit("The key is production's now", app_py=source)
    project.deploy("--env", "local", variables=variables)
    assert get_json(project.backend_port, "/health")["key"] == "-"
    project.run("rollback", "--env", "local", "--yes", "--reason", "back", variables=variables)
    assert get_json(project.backend_port, "/health")["key"] == "of-the-first-release"


def test_staging_on_one_cloud_does_not_need_the_key_of_production_on_another(
    project: SampleProject, tmp_path: Path
) -> None:
    at_netlify, on_render = netlify.NetlifyEmulator(netlify.UNLIMITED), render.RenderEmulator(tmp_path)
    at_netlify.add_site("shop-staging")
    api = on_render.add_service("api", project.folder, "exec sleep 1", "/health")
    del project.config["services"]["backend"]
    project.config["environments"] = {
        "staging": {"settle": "300ms", "frontend": {"netlify": {"site": "shop-staging"}}},
        "production": {"frontend": {"render": {"service": api.id}, "env": {"TOKEN": "${PROD_TOKEN}"}}},
    }
    commit = project.commit("Two clouds")
    with ThreadedServer(at_netlify.app) as one, ThreadedServer(on_render.app) as two:
        variables = {"NETLIFY_API_URL": one.url, "NETLIFY_AUTH_TOKEN": netlify.TOKEN, "RENDER_API_URL": two.url}
        project.deploy("--env", "staging", variables={**variables, **OF_PRODUCTION})
        told = json.loads(project.run("status", "--env", "staging", "--json", variables=variables).stdout)
        assert told["environments"]["staging"]["services"]["frontend"]["commit"] == commit
        assert on_render.faults.requests == []
        refused = project.deploy("--env", "production", code=2, variables=variables)
        assert "${PROD_TOKEN} is not set" in refused.stderr
    on_render.close()


def _spy_on_git(folder: Path, dumps: Path) -> Path:
    """Return a folder with a ``git`` that writes down which variables it gets."""
    spy = folder / "spy" / "git"
    spy.parent.mkdir()
    spy.write_text(f'#!/bin/sh\nenv > "$(mktemp {dumps}/git.XXXXXX)"\nexec {shutil.which("git")} "$@"\n')
    spy.chmod(0o755)
    return spy.parent


def _environments() -> Iterator[tuple[int, str]]:
    """Yield the variables of all processes with which they were started, but for this one and its parents."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                yield int(entry.name), (entry / "environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
