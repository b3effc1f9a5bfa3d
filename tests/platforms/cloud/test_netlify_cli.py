"""The emulator against Netlify's own command line."""

import asyncio
import json
from pathlib import Path

import pytest

from abreast.core.model import Service
from abreast.core.secrets import Secret
from abreast.platforms.cloud.api_client import ApiClient
from abreast.platforms.netlify.client import NETLIFY, NetlifyClient
from abreast.platforms.netlify.platform import NetlifyPlatform
from abreast.testing.platforms.netlify import TOKEN, UNLIMITED, NetlifyEmulator
from abreast.testing.platforms.threaded_server import ThreadedServer
from netlify_cli import deploy_with_cli
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
    with validate_emulator(emulator, "netlify", NOT_DESCRIBED) as described, ThreadedServer(emulator.app) as served:
        done = deploy_with_cli(served.url, TOKEN, folder, "--prod")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert get_text(f"{served.url}/s/shop/") == get_text(told["deploy_url"]) == "one"

        (folder / "index.html").write_text("two")
        done = deploy_with_cli(served.url, TOKEN, folder)
        assert done.returncode == 0, done.stderr
        assert get_text(json.loads(done.stdout)["deploy_url"]) == "two"
        assert get_text(f"{served.url}/s/shop/") == "one", "a draft is for nobody"

        assert _present(served.url) == told["deploy_id"], "what it published is what abreast would go back to"

        done = deploy_with_cli(served.url, TOKEN, folder, "--alias", "staging")
        assert done.returncode == 0, done.stderr
        assert get_text(f"{served.url}/d/staging--shop/") == "two"
        assert get_text(f"{served.url}/s/shop/") == "one", "a branch is not the site"

        emulator.build_error = "the site is too large"
        assert deploy_with_cli(served.url, TOKEN, folder, "--prod").returncode == 1
        assert deploy_with_cli(served.url, "wrong", folder, "--prod").returncode == 1
        assert get_text(f"{served.url}/s/shop/") == "one"
    assert described.checked_count > 20


def _present(url: str) -> str:
    async def story() -> str:
        api = ApiClient(NETLIFY, f"{url}/api/v1", Secret("T", TOKEN))
        live = await NetlifyPlatform(NetlifyClient(api), Path("unused")).live_version(
            Service("web", "netlify", {"site": "shop"})
        )
        await api.close()
        return live.handle["deploy"] if live else ""

    return asyncio.run(story())
