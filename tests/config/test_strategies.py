"""``strategy``: of an environment, of a service, of a service in an environment."""

from pathlib import Path

import pytest

from abreast.config.effective import compare_settings, effective_settings
from abreast.config.load import ProjectConfig, load_config
from abreast.core.errors import ConfigError
from abreast.wiring.assembly import PLUGIN_SETTINGS

SHOP = """project: shop
services:
  web: {build: {run: npm run build, output: public}}
  api: {run: serve}
  bot: {type: worker, run: talk, strategy: recreate}
  mail: {type: worker, run: send}
environments:
  production: {strategy: blue-green}
  staging:
    strategy: recreate
    preview: true
    mail: {strategy: blue-green}
  canary: {extends: staging, mail: {instances: 1}, bot: {strategy: blue-green}}
  local: {api: {local: {app_port: 3000}}}
  cloud:
    preview: true
    strategy: recreate
    web: {netlify: {site: shop}}
    api: {huggingface: {space: me/api}}
"""


def read(folder: Path, text: str = SHOP) -> ProjectConfig:
    (folder / "abreast.yml").write_text(text)
    return load_config(folder / "abreast.yml", {}, PLUGIN_SETTINGS)


def strategies(project: ProjectConfig, environment: str) -> list[str]:
    return [str(service.strategy) for service in project.environment(environment).services]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ("production", ["blue-green", "blue-green", "recreate", "blue-green"]),
        ("staging", ["blue-green", "recreate", "recreate", "blue-green"]),
        ("staging-pr-7", ["blue-green", "recreate", "recreate", "blue-green"]),
        ("canary", ["blue-green", "recreate", "blue-green", "blue-green"]),
        ("local", ["blue-green", "blue-green", "recreate", "blue-green"]),
        ("cloud", ["blue-green", "recreate", "recreate", "recreate"]),
        ("cloud-pr-7", ["blue-green", "blue-green", "recreate", "recreate"]),
    ],
)
def test_the_nearest_word_counts_and_a_folder_has_nothing_to_stop(
    tmp_path: Path, environment: str, expected: list[str]
) -> None:
    assert strategies(read(tmp_path), environment) == expected


def test_the_default_written_out_changes_no_definition(tmp_path: Path) -> None:
    plain = SHOP.replace("  production: {strategy: blue-green}", "  production: {}")
    assert read(tmp_path, plain).environment("production") == read(tmp_path).environment("production")


def test_its_source_is_told_and_compared(tmp_path: Path) -> None:
    resolver = read(tmp_path).resolver
    staging = {each.key: (each.value, each.source) for each in effective_settings(resolver, "staging")}
    assert staging["strategy"] == ("recreate", "abreast.yml:10")
    assert staging["services.api.strategy"] == ("recreate", "abreast.yml:10")
    assert staging["services.bot.strategy"] == ("recreate", "abreast.yml:5")
    assert staging["services.mail.strategy"] == ("blue-green", "abreast.yml:12")
    assert "services.web.strategy" not in staging
    found = compare_settings(effective_settings(resolver, "staging"), effective_settings(resolver, "production"))
    differing = {each.key: (each.first and each.first.value, each.second and each.second.value) for each in found}
    assert differing["strategy"] == differing["services.api.strategy"] == ("recreate", "blue-green")
    assert "services.bot.strategy" not in differing


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "  production: {strategy: blue-green}", "  production: {strategy: rolling}",
            "8:26: environments.production.strategy: expected 'blue-green' or 'recreate', found",
        ),
        (
            "output: public}}", "output: public}, strategy: recreate}",
            "services.web.strategy: web is a folder, of which nothing runs twice; needed: blue-green, or no `strategy`",
        ),
        (
            "  local: {api: {local: {app_port: 3000}}}", "  local: {api: {strategy: blue-green, local: {app_port: 3000}}}",
            "environments.local.api.strategy: api listens on app_port 3000 in local, which one version at a time can have; needed: `api: {strategy: recreate}`, or $PORT",
        ),
        (
            "  local: {api: {local: {app_port: 3000}}}", "  local: {strategy: blue-green, api: {local: {app_port: 3000}}}",
            "environments.local.strategy: api listens on app_port 3000",
        ),
        (
            "  local: {api: {local: {app_port: 3000}}}", "  local: {api: {strategy: recreate, huggingface: {space: a/b, standby: a/c}}}",
            "environments.local.api.strategy: api has `strategy: recreate`, and huggingface has blue-green only for it; needed: api without it in this environment (`strategy: blue-green`), or on local",
        ),
        (
            "  local: {api: {local: {app_port: 3000}}}", "  local: {strategy: recreate, api: {render: {hook: HOOK, url: 'https://api.example'}}}",
            "environments.local.strategy: api has `strategy: recreate`, and render replaces versions in a way of its own for it",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_a_fault_with_its_place(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert old in SHOP
    with pytest.raises(ConfigError) as raised:
        read(tmp_path, SHOP.replace(old, new))
    assert fault in str(raised.value)
