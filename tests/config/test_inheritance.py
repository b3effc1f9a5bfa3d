"""``extends`` of an environment, and the effective configuration with the source of each value."""

from pathlib import Path

import pytest

from abreast.config.effective import compare_settings, effective_settings
from abreast.config.load import ProjectConfig, load_config
from abreast.core.errors import ConfigError
from abreast.wiring.assembly import PLUGIN_SETTINGS

SHOP = """project: shop
services:
  web: {build: {output: public}, health: /up}
  api:
    run: serve
    env: {LEVEL: info, KEY: "${STRIPE_KEY}"}
    database: {url: "${DATABASE_URL}", migrations: sql}
environments:
  staging:
    branch: main
    preview: true
    settle: 3s
    may_skip: [lint]
    web: {netlify: {site: staging, branch: next}}
    api: {render: {service: srv-1}, instances: 1, env: {LEVEL: debug, ONLY: here}}
  production:
    extends: staging
    settle: 30s
    may_skip: []
    web: {netlify: {site: shop}}
    api: {local: {port: 9000}, env: {LEVEL: warning}, database: {url: "${OTHER_URL}"}}
  canary: {extends: production, api: {instances: 2}}
gates: {lint: ruff}
"""
VARIABLES = {"STRIPE_KEY": "sk_live_1234", "DATABASE_URL": "sqlite:///a.db", "OTHER_URL": "sqlite:///b.db"}


def read(folder: Path, text: str = SHOP) -> ProjectConfig:
    (folder / "abreast.yml").write_text(text)
    return load_config(folder / "abreast.yml", VARIABLES, PLUGIN_SETTINGS)


def test_an_environment_begins_as_the_one_that_it_extends(tmp_path: Path) -> None:
    project = read(tmp_path)
    staging, production, canary = (project.environment(name) for name in ("staging", "production", "canary"))
    web, api = production.services
    assert (production.settle, production.may_skip, staging.may_skip) == (30.0, (), ("lint",))
    assert (production.preview, project.resolver.project.environments["production"].branch) == (None, None)
    assert (web.settings["site"], web.settings["branch"]) == ("shop", "next"), "mappings are merged"
    assert (api.platform, api.settings) == ("local", {"port": 9000}), "another platform takes nothing over"
    assert (api.instances, api.env) == (1, {"LEVEL": "warning", "ONLY": "here"})
    assert api.database
    assert (api.database.url, api.database.migrations) == ("${OTHER_URL}", None), "a database is replaced"
    assert (canary.settle, canary.services[1].instances, canary.services[1].env) == (30.0, 2, api.env)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            "extends: stagin",
            "expected another environment (staging, canary), found \"stagin\" (did you mean 'staging'?)",
        ),
        ("extends: production", "environments that extend each other: production → production"),
        ("extends: canary", "environments that extend each other: production → canary → production"),
        ("extends: [staging]", "production.extends: expected another environment (staging, canary), found a list"),
    ],
)
def test_what_extends_nothing_is_refused(tmp_path: Path, written: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, SHOP.replace("extends: staging", written))
    assert message in str(caught.value)


def test_a_fault_in_what_is_inherited_is_found_where_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, SHOP.replace("settle: 3s", "drain: soon"))
    places = {(fault.line, fault.message.split(":")[0]) for fault in caught.value.faults}
    assert places == {(12, f"environments.{name}.drain") for name in ("staging", "production", "canary")}


def test_each_setting_has_its_source_and_no_secret_is_shown(tmp_path: Path) -> None:
    settings = {
        found.key: (found.value, found.source) for found in effective_settings(read(tmp_path).resolver, "canary")
    }
    assert settings["settle"] == ("30s", "abreast.yml:18")
    assert settings["drain"] == (30.0, "default")
    assert settings["services.web.netlify.branch"] == ("next", "abreast.yml:14")
    assert settings["services.web.health.path"] == ("/up", "abreast.yml:3")
    assert settings["services.web.health.within"][1] == "default"
    assert settings["services.api.platform"] == ("local", "abreast.yml:21")
    assert settings["services.api.instances"] == (2, "abreast.yml:22")
    assert settings["services.api.env.ONLY"] == ("here", "abreast.yml:15")
    assert settings["services.api.env.KEY"] == ("${STRIPE_KEY}", "abreast.yml:6")
    assert settings["services.api.database.url"] == ("${OTHER_URL}", "abreast.yml:21")
    assert "services.api.database.migrations" not in settings
    assert "sk_live" not in str(settings)


def test_two_environments_are_compared(tmp_path: Path) -> None:
    resolver = read(tmp_path).resolver
    found = compare_settings(effective_settings(resolver, "production"), effective_settings(resolver, "canary"))
    assert [(each.key, each.first and each.first.value, each.second and each.second.value) for each in found] == [
        ("services.api.instances", 1, 2)
    ]
    assert compare_settings(*[effective_settings(resolver, "canary")] * 2) == []
