"""The emulator against Netlify's own command line."""

import asyncio
import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from abreast.core.model import Service
from abreast.core.secrets import Secret
from abreast.platforms.netlify.client import NETLIFY, NetlifyClient
from abreast.platforms.netlify.platform import NetlifyPlatform
from abreast.provider_api.api_client import ApiClient
from abreast.testing.platforms.netlify import TOKEN, UNLIMITED, NetlifyEmulator
from abreast.testing.platforms.threaded_server import ThreadedServer
from netlify_cli import deploy_arguments, loaded_cli
from netlify_stage import netlify_stage
from openapi_validator import validate_emulator
from sample_project import get_text

NOT_DESCRIBED = {"deploy_source", "include_upload_url", "build_version"}
"""What the command sends although the description does not have it."""


@pytest.mark.exhaustive
@pytest.mark.timeout(600)
def test_it_deploys(tmp_path: Path) -> None:
    emulator = NetlifyEmulator(UNLIMITED)
    emulator.add_site("shop")
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("one")
    (folder / "copy.html").write_text("one")
    with (
        validate_emulator(emulator, "netlify", NOT_DESCRIBED) as described,
        ThreadedServer(emulator.app) as served,
        loaded_cli(served.url, TOKEN, folder) as netlify,
    ):
        deploy = partial(netlify, *deploy_arguments(folder, TOKEN))
        done = deploy("--prod")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert get_text(f"{served.url}/s/shop/") == get_text(told["deploy_url"]) == "one"

        (folder / "index.html").write_text("two")
        done = deploy()
        assert done.returncode == 0, done.stderr
        assert get_text(json.loads(done.stdout)["deploy_url"]) == "two"
        assert get_text(f"{served.url}/s/shop/") == "one", "a draft is for nobody"

        assert _present(served.url) == told["deploy_id"], "what it published is what abreast would go back to"

        done = deploy("--alias", "staging")
        assert done.returncode == 0, done.stderr
        assert get_text(f"{served.url}/d/staging--shop/") == "two"
        assert get_text(f"{served.url}/s/shop/") == "one", "a branch is not the site"

        emulator.build_error = "the site is too large"
        assert deploy("--prod").returncode == 1
        assert netlify(*deploy_arguments(folder, "wrong"), "--prod").returncode == 1
        assert get_text(f"{served.url}/s/shop/") == "one"
    assert described.checked_count > 20


PAGE = (Path(__file__).parents[3] / "docs/netlify.md").read_text()
LIVE = "<LIVE>"
DEPLOYS = ("deploy", "deploy --prod", "deploy --alias staging")
COMMANDS: tuple[tuple[str, str], ...] = (
    ("sites:list --json", "shop"),
    ("status --json", "me@example.org"),
    ("env:set COLOUR green --context production --site shop", ""),
    ("env:get COLOUR --context production --site shop", "green"),
    ("env:list --json --context production --site shop", "green"),
    ("env:unset COLOUR --site shop", ""),
    (f'api lockDeploy --data {{"deploy_id":"{LIVE}"}}', '"locked": true'),
    (f'api unlockDeploy --data {{"deploy_id":"{LIVE}"}}', '"locked": false'),
    ('api rollbackSiteDeploy --data {"site_id":"site-shop"}', ""),
)
"""Commands that work, and what their answer contains."""

MISSING = (
    "sites:create --name other --account-slug team",
    "sites:delete site-shop --force",
    'api createSiteBuild --data {"site_id":"site-shop"}',
)


def _render_commands() -> str:
    works = [*DEPLOYS, *(command for command, _ in COMMANDS)]
    lines = ["| `netlify …` | the emulator |", "|---|---|"]
    lines += [f"| {', '.join(f'`{command}`' for command in works)} | works |"]
    lines += [f"| {', '.join(f'`{command}`' for command in MISSING)} | answers with 501, and the command fails |"]
    return "\n".join(lines)


def test_the_page_has_what_its_commands_do() -> None:
    expected = _render_commands()
    assert expected in PAGE, f"docs/netlify.md should have:\n\n{expected}"


@pytest.mark.exhaustive
@pytest.mark.timeout(600)
def test_its_other_commands(tmp_path: Path) -> None:
    emulator = NetlifyEmulator(UNLIMITED)
    emulator.add_site("shop")
    folder = tmp_path / "site"
    (folder / ".netlify").mkdir(parents=True)
    (folder / ".netlify/state.json").write_text('{"siteId": "site-shop"}')
    with ThreadedServer(emulator.app) as served, loaded_cli(served.url, TOKEN, folder) as netlify:
        for text in ("one", "two"):
            (folder / "index.html").write_text(text)
            assert netlify(*deploy_arguments(folder, TOKEN), "--prod").returncode == 0
        live = str(emulator.sites["site-shop"].live_deploy_id)
        for command, answer in COMMANDS:
            done = netlify(*command.replace(LIVE, live).split())
            assert done.returncode == 0, (command, done.stdout, done.stderr)
            assert answer in done.stdout, (command, done.stdout)
        assert get_text(f"{served.url}/s/shop/") == "one", "its api command rolls a site back"
        for command in MISSING:
            before = len(emulator.faults.requests)
            done = netlify(*command.split())
            assert done.returncode != 0, (command, done.stdout)
            assert "501" in done.stderr + done.stdout or "Not Implemented" in done.stderr + done.stdout, (command, done)
            assert len(emulator.faults.requests) > before
        assert set(emulator.sites) == {"site-shop"}


@pytest.mark.exhaustive
@pytest.mark.timeout(600)
def test_abreast_deploys_functions_as_it_does(tmp_path: Path) -> None:
    """One build of Netlify's own, deployed by both: the same functions, with the same settings."""
    folder = tmp_path / "web-1"
    (folder / "netlify/functions").mkdir(parents=True)
    (folder / "dist").mkdir()
    (folder / "dist/index.html").write_text("one")
    (folder / "netlify.toml").write_text(TOML)
    for name, source in FUNCTIONS.items():
        (folder / "netlify/functions" / name).write_text(source)
    with (
        netlify_stage(tmp_path, extra_keys=NOT_DESCRIBED) as stage,
        loaded_cli(stage.url, TOKEN, folder) as netlify,
    ):
        built = netlify("build", "--offline")
        assert built.returncode == 0, built.stdout + built.stderr
        for path, text in EDGE_FILES.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        artifact = stage.folder / "web-2"
        shutil.copytree(folder / "dist", artifact)
        shutil.copytree(folder / ".netlify", artifact / ".netlify")
        where = ("--dir", "dist", "--site", "shop", "--no-build", "--json", "--prod")
        done = netlify("deploy", *where)
        assert done.returncode == 0, done.stdout + done.stderr
        ours = stage.emulator.deploys[stage.stage("web-2").handle["deploy"]]
        theirs = stage.emulator.deploys[json.loads(done.stdout)["deploy_id"]]
        assert set(theirs.functions) == {"hello", "tick", "slow-background"}
        for name in ("functions", "functions_config", "schedules"):
            assert getattr(ours, name) == getattr(theirs, name), name
        assert theirs.schedules == [{"name": "tick", "cron": "@daily"}]
        assert (
            ours.files.keys()
            == theirs.files.keys()
            > {f".netlify/internal/edge-functions/{name}" for name in EDGE_NAMES}
        )
        differing = {path for path in ours.files if ours.files[path] != theirs.files[path]}
        assert differing == {"index.html", "netlify.toml"}, "one is of each, and it writes the other anew"
        sent = [path for method, path in stage.emulator.faults.requests if method == "PUT" and "/functions/" in path]
        assert len(sent) == 3, "what one has sent, the other need not"


EDGE_NAMES = ("manifest.json", "a.eszip")
EDGE_FILES = {
    ".netlify/edge-functions-dist/manifest.json": '{"bundles": [], "routes": []}',
    ".netlify/edge-functions-dist/a.eszip": "a bundle",
    ".netlify/deploy-config/deploy-config.json": "{}",
}
TOML = '[build]\npublish = "dist"\n[functions.tick]\nschedule = "@daily"\n'
FUNCTIONS = {
    "hello.mjs": 'export default async () => new Response("hello")\n'
    'export const config = {path: "/hello/:name", rateLimit: {windowLimit: 60, windowSize: 60, aggregateBy: ["ip"]}}\n',
    "tick.js": "exports.handler = async () => ({statusCode: 200})\n",
    "slow-background.js": "exports.handler = async () => ({statusCode: 200})\n",
}


def _present(url: str) -> str:
    async def story() -> str:
        api = ApiClient(NETLIFY, f"{url}/api/v1", Secret("T", TOKEN))
        live = await NetlifyPlatform(NetlifyClient(api), Path("unused")).live_version(
            Service("web", "netlify", {"site": "shop"})
        )
        await api.close()
        return live.handle["deploy"] if live else ""

    return asyncio.run(story())
