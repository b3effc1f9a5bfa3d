"""``preview`` of an environment: what is derived from it, and what is refused."""

from pathlib import Path

import pytest
import yaml

from abreast.config.load import ProjectConfig, load_config
from abreast.core.errors import ConfigError, UsageError
from abreast.core.model import BreakingChangePolicy
from abreast.core.previews import PreviewData
from abreast.wiring.assembly import PLUGIN_SETTINGS

VALID = """
project: shop
services:
  web: {build: {output: public}, routes: {/api: api}}
  api: {run: serve, database: {url: "${DB}", migrations: sql}, env: {WHERE: base}}
environments:
  local: {}
  staging: {preview: true, breaking: block, tag: true, api: {instances: 3, env: {WHERE: staging}, local: {port: 9000}}}
"""


def read(folder: Path, text: str = VALID) -> ProjectConfig:
    (folder / "abreast.yml").write_text(text)
    return load_config(folder / "abreast.yml", {"DB": "postgresql:///shop"}, PLUGIN_SETTINGS)


def with_staging(text: str) -> str:
    config = yaml.safe_load(VALID)
    config["environments"]["staging"] = yaml.safe_load(text)
    return yaml.safe_dump(config)


def test_a_preview_is_its_base_with_addresses_and_databases_of_its_own(tmp_path: Path) -> None:
    project = read(tmp_path)
    base, preview = project.environment("staging"), project.environment("staging-pr-17")
    assert (preview.name, preview.base, base.base) == ("staging-pr-17", base, None)
    assert (preview.breaking, preview.tag) == (BreakingChangePolicy.ALLOW, False)
    web, api = preview.services
    assert (web.settings, api.settings, api.instances, api.env) == ({}, {}, 1, {"WHERE": "staging"})
    assert api.database
    assert (api.database.copy, base.services[1].database.copy) == ("preview-17", "")  # type: ignore[union-attr]
    assert project.platforms("staging-pr-17") == project.platforms("staging")


@pytest.mark.parametrize(
    ("written", "ttl", "data"),
    [
        ("true", 7 * 86400.0, PreviewData.EMPTY),
        ("{}", 7 * 86400.0, PreviewData.EMPTY),
        ("{ttl: 2d, database: backup}", 2 * 86400.0, PreviewData.BACKUP),
    ],
)
def test_previews_have_defaults(tmp_path: Path, written: str, ttl: float, data: PreviewData) -> None:
    project = read(tmp_path, with_staging(f"{{preview: {written}}}"))
    preview = project.environment("staging").preview
    assert preview
    assert (preview.ttl, preview.database) == (ttl, data)
    assert project.preview_lifetimes == {"staging": ttl}


@pytest.mark.parametrize("written", ["false", "null"])
def test_an_environment_without_previews_has_none(tmp_path: Path, written: str) -> None:
    project = read(tmp_path, with_staging(f"{{preview: {written}}}"))
    assert project.preview_lifetimes == {}
    with pytest.raises(UsageError, match="staging has no previews"):
        project.environment("staging-pr-17")
    with pytest.raises(UsageError, match="there is no environment 'nowhere-pr-17'"):
        project.environment("nowhere-pr-17")


@pytest.mark.parametrize(
    ("staging", "fault"),
    [
        ("{preview: {ttl: soon}}", "staging.preview.ttl: expected a duration"),
        ("{preview: {database: live}}", "staging.preview.database: expected "),
        ("{preview: sometimes}", "staging.preview: expected "),
        ("{preview: true, api: {local: {app_port: 3000}}}", "api can have none: its code listens on port 3000"),
        (
            "{preview: true, api: {render: {hook: HOOK, url: 'https://api.example'}}}",
            "staging.preview: api can have none: ",
        ),
        (
            "{preview: true, web: {netlify: {site: shop, branch: a}}, api: {netlify: {site: shop, branch: b}}}",
            "staging.preview: api and web would have one and the same on netlify",
        ),
        (
            "{preview: true, web: {static-dir: {to: 'host:/srv', url: 'https://a.example'}}}",
            "web can have none: the platform static-dir hosts",
        ),
    ],
)
def test_faults_name_the_place(tmp_path: Path, staging: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, with_staging(staging))
    assert fault in str(caught.value)


def test_an_environment_cannot_have_the_name_of_a_preview(tmp_path: Path) -> None:
    config = yaml.safe_load(VALID)
    config["environments"]["staging-pr-3"] = {}
    with pytest.raises(ConfigError, match="staging-pr-3: this is the name of a preview of staging; choose another"):
        read(tmp_path, yaml.safe_dump(config))
    config["environments"]["staging"] = {}
    assert read(tmp_path, yaml.safe_dump(config)).environment("staging-pr-3").base is None
