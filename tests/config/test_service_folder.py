"""`folder` of a service: where its commands run, and what its other paths are relative to."""

from pathlib import Path

import pytest

from abreast.config.load import load_config
from abreast.core.environment import Environment
from abreast.core.errors import ConfigError
from abreast.wiring.assembly import PLUGIN_SETTINGS


def read(tmp_path: Path, service: str) -> Environment:
    file = tmp_path / "abreast.yml"
    file.write_text(f"project: shop\nservices:\n  api: {service}\nenvironments:\n  local: {{}}\n")
    return load_config(file, {}, PLUGIN_SETTINGS).environment("local")


def test_paths_of_the_service_are_relative_to_it(tmp_path: Path) -> None:
    environment = read(
        tmp_path,
        "{folder: apps/api, run: serve, build: {output: dist, image: acme/api, dockerfile: ops/Dockerfile}, "
        "test: {run: check, reports: [out/*.xml, '!out/old.xml'], coverage: cover.xml}, "
        "database: {url: 'sqlite:///s.db', migrations: sql}}",
    )
    (service,) = environment.services
    assert service.database
    assert (service.folder, service.watch) == ("apps/api", ("apps/api/**",))
    assert (service.build.output, service.build.dockerfile) == ("apps/api/dist", "apps/api/ops/Dockerfile")
    assert service.database.migrations == "apps/api/sql"
    (gate,) = environment.gates
    assert gate.folder == "apps/api"
    assert gate.reports == ("apps/api/out/*.xml", "!apps/api/out/old.xml")
    assert gate.coverage == ("apps/api/cover.xml",)


@pytest.mark.parametrize(
    ("service", "inside"),
    [
        ("{folder: api, run: serve}", "api"),
        ("{folder: ./api/, run: serve}", "api"),
        ("{folder: api, run: serve, build: {output: .}}", ""),
        ("{folder: api, run: serve, build: {image: acme/api}}", ""),
        ("{folder: ., run: serve}", ""),
        ("{run: serve}", ""),
    ],
)
def test_commands_run_in_it_within_a_whole_checkout(tmp_path: Path, service: str, inside: str) -> None:
    (found,) = read(tmp_path, service).services
    assert found.artifact_folder == inside


def test_what_it_watches_replaces_its_folder(tmp_path: Path) -> None:
    (service,) = read(tmp_path, "{folder: api, run: serve, watch: ['api/**', '!**/*.md']}").services
    assert service.watch == ("api/**", "!**/*.md")


@pytest.mark.parametrize("folder", ["../api", "/srv/api", "api/../../x"])
def test_a_folder_outside_is_refused_with_its_place(tmp_path: Path, folder: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f"{{folder: {folder}, run: serve}}")
    expected = (
        f'3:17: services.api.folder: expected a folder inside the project, such as frontend/dist, found "{folder}"'
    )
    assert [f"{fault.line}:{fault.column}: {fault.message}" for fault in caught.value.faults] == [expected]
