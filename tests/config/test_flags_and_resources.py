"""Flags, resources and health checks: those of the project, and what an environment sets of them."""

from pathlib import Path

import pytest

from abreast.config.effective import compare_settings, effective_settings
from abreast.config.flags import built_in_flag_notes
from abreast.config.load import ProjectConfig, load_config
from abreast.core.errors import ConfigError
from abreast.core.model import Resources
from abreast.wiring.assembly import PLUGIN_SETTINGS

SHOP = """project: shop
flags: {new_checkout: false, rate: 0.25, theme: light}
services:
  web: {build: {run: npm run build, output: public}}
  api:
    run: serve
    instances: 3
    resources: {cpu: 0.5, memory: 512MB}
    health: {path: /up, within: 1s, interval: 10s}
environments:
  staging:
    flags: {new_checkout: true, rate: 1}
    api: {instances: 1, resources: {memory: 256MB}, health: {interval: 2s}}
  canary: {extends: staging, flags: {theme: dark}, api: {health: {path: /ready}}}
  production:
    promotion: {source: staging}
    web: {netlify: {site: shop}}
    api: {render: {service: srv-1}, instances: 4}
"""


def read(folder: Path, text: str = SHOP) -> ProjectConfig:
    (folder / "abreast.yml").write_text(text)
    return load_config(folder / "abreast.yml", {}, PLUGIN_SETTINGS)


def test_an_environment_sets_flags_resources_and_health_key_by_key(tmp_path: Path) -> None:
    project = read(tmp_path)
    services = {name: project.environment(name).services for name in ("staging", "canary", "production")}
    assert services["production"][0].flags == {"new_checkout": False, "rate": 0.25, "theme": "light"}
    assert services["staging"][1].flags == {"new_checkout": True, "rate": 1, "theme": "light"}
    assert services["canary"][1].flags == {"new_checkout": True, "rate": 1, "theme": "dark"}
    assert services["production"][1].resources == Resources(0.5, 512_000_000)
    assert services["staging"][1].resources == services["canary"][1].resources == Resources(0.5, 256_000_000)
    health = {name: (found[1].health.path, found[1].health.interval) for name, found in services.items()}
    assert health == {"staging": ("/up", 2.0), "canary": ("/ready", 2.0), "production": ("/up", 10.0)}
    assert {found[1].health.within for found in services.values()} == {1.0}
    assert services["production"][1].settings["instances"] == 4, "Render scales to it"


def test_the_source_of_each_of_them_is_told(tmp_path: Path) -> None:
    resolver = read(tmp_path).resolver
    settings = {each.key: (each.value, each.source) for each in effective_settings(resolver, "staging")}
    assert settings["flags.new_checkout"] == (True, "abreast.yml:12")
    assert settings["flags.theme"] == ("light", "abreast.yml:2")
    assert settings["services.api.resources.cpu"] == (0.5, "abreast.yml:8")
    assert settings["services.api.resources.memory"] == ("256MB", "abreast.yml:13")
    assert settings["services.api.health.interval"] == ("2s", "abreast.yml:13")
    assert settings["services.api.health.path"] == ("/up", "abreast.yml:9")
    assert settings["services.api.health.start"][1] == "default"
    canary = {each.key: (each.value, each.source) for each in effective_settings(resolver, "canary")}
    assert canary["services.api.health.path"] == ("/ready", "abreast.yml:14")
    assert canary["services.api.health.interval"] == ("2s", "abreast.yml:13")


def test_the_flags_of_two_environments_are_compared(tmp_path: Path) -> None:
    resolver = read(tmp_path).resolver
    found = compare_settings(effective_settings(resolver, "staging"), effective_settings(resolver, "production"))
    differing = {each.key: (each.first and each.first.value, each.second and each.second.value) for each in found}
    assert differing["flags.new_checkout"] == (True, False)
    assert differing["flags.rate"] == (1, 0.25)
    assert "flags.theme" not in differing
    assert differing["services.api.resources.memory"] == ("256MB", "512MB")
    assert [key for key in differing if "instances" in key] == ["services.api.instances"]


def test_what_a_promotion_does_not_change_is_said(tmp_path: Path) -> None:
    project = read(tmp_path).resolver.project
    assert list(built_in_flag_notes(project, "production")) == [
        "new_checkout is on in staging and off in production: web is built with on, and a promotion does not change that",
        "rate is 1 in staging and 0.25 in production: web is built with 1, and a promotion does not change that",
    ]
    assert list(built_in_flag_notes(project, "staging")) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rate: 1}", "rat: 1}", "environments.staging.flags.rat: unknown flag (did you mean 'rate'?), expected one of: new_checkout, rate, theme"),
        ("rate: 1}", "rate: fast}", 'environments.staging.flags.rate: expected a number, as in `flags`, found "fast"'),
        ("new_checkout: true,", "new_checkout: yes,", 'environments.staging.flags.new_checkout: expected true or false, as in `flags`, found "yes"'),
        ("theme: light", 'theme: "${THEME}"', "flags.theme: a flag is no secret and refers to no variable; use `env` of a service for that"),
        ("theme: light", "Theme: light", "flags.Theme: expected the name of a flag such as new_checkout: lower-case letters, digits and underscores, found \"Theme\""),
        ("theme: light", "theme: [light]", "flags.theme: expected true, false, a number or a text, found a list"),
        ("    instances: 3\n", "    env: {FLAG_RATE: 1}\n", "services.api.env.FLAG_RATE: this is the variable of the flag rate; choose another name"),
        ("instances: 4}", "env: {FLAG_RATE: 1}}", "environments.production.api.env.FLAG_RATE: this is the variable of the flag rate; choose another name"),
        ("cpu: 0.5", "cpu: half", 'services.api.resources.cpu: expected a number of CPUs such as 0.5, from 0.01 to 256, found "half"'),
        ("memory: 512MB", "memory: 5MB", 'services.api.resources.memory: expected 16MB or more, found "5MB"'),
        ("interval: 10s", "interval: 0s", 'services.api.health.interval: expected 0.1 or more, found "0s"'),
        ("memory: 512MB", "memory: 1GB", "services.api.resources: Render has no instances of 0.5 CPU and 1GB; the nearest that has as much is standard (1 CPU and 2GB) (api in production)"),
        ("instances: 4}", "resources: {memory: 64GB}}", "environments.production.api.resources: Render has no instances of 0.5 CPU and 64GB; the largest is pro_ultra (8 CPU and 32GB) (api in production)"),
        ("api: {render: {service: srv-1}, instances: 4}", "api: {huggingface: {space: a/b}}", "services.api.resources: Hugging Face has no instances of 0.5 CPU and 512MB; the nearest that has as much is cpu-basic (2 CPU and 16GB) (api in production)"),
        ("api: {render: {service: srv-1}, instances: 4}", "api: {netlify: {site: api}}", "services.api.resources: netlify gives its services no size to choose, and api is on it in production"),
        ("{site: shop}}", "{site: shop}, resources: {cpu: 1}}", "environments.production.web.resources: only a backend (with `run`) has resources"),
        ("    promotion: {source: staging}\n", "    promotion: {source: staging}\n    branch: main\n", "environments.production.branch: releases come from staging by promotion, so no push deploys here; remove one of both"),
        ("{site: shop}}", "{site: shop}, instances: 2}", "environments.production.web.instances: only a backend (with `run`) has instances"),
    ],
)  # fmt: skip
def test_faults_are_told_with_their_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert SHOP.count(old) == 1
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, SHOP.replace(old, new))
    assert message in [fault.message for fault in refused.value.faults]
