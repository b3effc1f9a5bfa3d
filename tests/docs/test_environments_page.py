"""docs/environments.md: three environments on this machine and on two clouds, flags in Vite, limits, credentials."""

import copy
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from abreast.testing.platforms import netlify, render
from abreast.testing.platforms.threaded_server import ThreadedServer
from npm import install_packages
from page_examples import Example
from sample_project import SampleProject, free_ports, get_json, get_text

SHOWS = (
    '    return 200, {name: os.environ.get(name, "-") for name in ("FLAG_NEW_CHECKOUT", "STRIPE_KEY", "LOG_LEVEL")}\n'
)
SECRETS = {"STRIPE_TEST_KEY": "sk_test_of_staging", "STRIPE_LIVE_KEY": "sk_live_of_production"}
PAGE = """mkdir dist; echo "{\\"flag\\": \\"$FLAG_NEW_CHECKOUT\\"}" > dist/index.html"""


def squeezed(text: str) -> list[str]:
    return [re.sub(r" +", " ", line).strip() for line in text.splitlines()]


@contextmanager
def two_clouds(project: SampleProject, config: dict[str, Any], folder: Path) -> Iterator[dict[str, str]]:
    """Give the page's environments the sites and services that they name. Yields the variables of a command."""
    at_netlify, on_render = netlify.NetlifyEmulator(netlify.UNLIMITED), render.RenderEmulator(folder)
    for name in ("staging", "production"):
        environment = config["environments"][name]
        at_netlify.add_site(environment["frontend"]["netlify"]["site"])
        made = on_render.add_service(name, project.folder, f"exec {sys.executable} -S app.py", "/health")
        environment["backend"]["render"]["service"] = made.id
    with ThreadedServer(at_netlify.app) as one, ThreadedServer(on_render.app) as two:
        yield {
            "NETLIFY_API_URL": one.url, "NETLIFY_AUTH_TOKEN": netlify.TOKEN,
            "RENDER_API_URL": two.url, "RENDER_API_KEY": render.TOKEN, **SECRETS,
        }  # fmt: skip
    on_render.close()


@pytest.mark.executes("docs/environments.md", 1, 2, 5)
def test_three_environments(project: SampleProject, examples: list[Example], tmp_path: Path) -> None:
    shown, settings, planned = examples
    (project.folder / "abreast.yml").write_text(shown.text)
    for command, lines in settings.steps:
        printed = squeezed(project.run(*command.split()[1:]).stdout)
        assert [line for line in squeezed("\n".join(lines)) if line not in printed] == [], command

    config = yaml.safe_load(shown.text)
    frontend, backend = config["services"]["frontend"], config["services"]["backend"]
    frontend["build"] = {"run": PAGE, "output": "dist"}
    backend["run"], backend["health"] = f"exec {sys.executable} -S app.py", {"path": "/health", "hold": "0s"}
    config["environments"]["staging"]["settle"] = "300ms"
    config["environments"]["production"]["promotion"]["soak"] = "0s"
    development = config["environments"]["development"]
    development["settle"] = "300ms"
    ports = free_ports(2)
    development["frontend"] = {"local": {"port": ports[0]}}
    development["backend"]["local"] = {"port": ports[1]}
    project.config = config

    project.commit("Begin", app_py=project.app_source(SHOWS))
    project.deploy()
    assert get_json(ports[1], "/health") | {"release": "", "commit": ""} == {
        "release": "", "commit": "", "FLAG_NEW_CHECKOUT": "true", "STRIPE_KEY": "-", "LOG_LEVEL": "debug",
    }  # fmt: skip
    development["flags"]["new_checkout"] = False
    (project.folder / "abreast.yml").write_text(yaml.safe_dump(config))
    project.commit("Off")
    assert planned.output[0] in project.run(*planned.commands[0].split()[1:]).stdout.splitlines()

    with two_clouds(project, config, tmp_path) as variables:
        project.commit("On two clouds")
        project.deploy("--env", "staging", variables=variables)
        promoted = project.run("promote", "--to", "production", "--yes", variables=variables).stdout
        assert "it was built with the flag new_checkout on, and is not built again" in promoted
        assert "render: production gets the plan standard; it had starter" in promoted
        assert "render: production was scaled to 3" in promoted
        for name, flag, key in (
            ("staging", "true", "sk_test_of_staging"),
            ("production", "false", "sk_live_of_production"),
        ):
            site = config["environments"][name]["frontend"]["netlify"]["site"]
            assert json.loads(get_text(f"{variables['NETLIFY_API_URL']}/s/{site}/")) == {"flag": "true"}
            told = json.loads(get_text(f"{variables['RENDER_API_URL']}/r/{name}/health"))
            assert (told["FLAG_NEW_CHECKOUT"], told["STRIPE_KEY"], told["LOG_LEVEL"]) == (flag, key, "info")
    project.run("down", "--env", "development", "--yes")


@pytest.mark.executes("docs/environments.md", 6, 7)
@pytest.mark.exhaustive
def test_a_bot_that_cannot_run_twice(project: SampleProject, examples: list[Example]) -> None:
    shown, planned = examples
    project.config = yaml.safe_load(shown.text)
    for name, service in project.config["services"].items():
        service["run"] = f"exec {sys.executable} -S {name}.py"
    project.config["environments"]["local"]["web"] = {"local": {"port": project.backend_port}}
    bot = "import time\ntime.sleep(1000)\n"
    project.commit("Begin", web_py=project.app_source(SHOWS), bot_py=bot)
    printed = squeezed(project.run("plan").stdout)
    assert [line for line in squeezed("\n".join(planned.output)) if line not in printed] == []
    project.deploy()
    project.commit("Bot", bot_py=f"{bot}# new\n")
    told = project.deploy().stdout
    assert re.search(r"local: bot-\w+ has stopped", told)
    settings = squeezed(project.run("config", "--env", "staging").stdout)
    assert "services.web.strategy blue-green abreast.yml:" in "\n".join(settings)
    assert "services.bot.strategy recreate abreast.yml:" in "\n".join(settings)


@pytest.mark.executes("docs/environments.md", 3, 4)
@pytest.mark.exhaustive
def test_vite_passes_flags_to_the_page(project: SampleProject, examples: list[Example]) -> None:
    vite = install_packages("vite", "vite@7.3.2") / "vite"
    web = copy.deepcopy(project.config["services"]["frontend"])
    web["build"] = {"run": f"{vite} build --logLevel error", "output": "dist"}
    project.config["services"]["frontend"] = web
    project.config["flags"] = {"new_checkout": True}
    for example in examples:
        (project.folder / example.text.partition("\n")[0].removeprefix("// ")).write_text(example.text)
    (project.folder / "index.html").write_text('<script type="module" src="/main.js"></script>')
    (project.folder / "package.json").write_text('{"type": "module"}')
    project.commit("Vite")
    project.deploy("--service", "frontend")
    assert 'title="New checkout"' in _script(project)
    project.config["flags"] = {"new_checkout": False}
    project.commit("Off")
    project.deploy("--service", "frontend")
    assert 'title="Checkout"' in _script(project)


def _script(project: SampleProject) -> str:
    """Return the script that the page loads, as users get it."""
    address = f"http://127.0.0.1:{project.frontend_port}"
    found = re.search(r'src="(/assets/[^"]+)"', get_text(f"{address}/"))
    assert found
    return get_text(address + found[1]).replace("`", '"')
