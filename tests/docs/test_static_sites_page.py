"""The examples of docs/static-sites.md: its folder and its rules answer as its table says, on `local` and at Netlify."""

import re
from pathlib import Path

import httpx2
import pytest
import yaml

from abreast.machine.tls import ssl_context
from abreast.testing.platforms.netlify import TOKEN, UNLIMITED, NetlifyEmulator
from abreast.testing.platforms.threaded_server import ThreadedServer
from page_examples import page_examples
from sample_project import SampleProject

PAGE = Path(__file__).parents[2] / "docs/static-sites.md"
FIRST, FOLDER, *RULES = page_examples(PAGE)
ROWS = re.findall(r"^\| `(/\S*)` \| (\d+) (?:to )?`(\S+)` \|$", PAGE.read_text(), re.MULTILINE)


def answers(client: httpx2.Client) -> list[tuple[str, str, str]]:
    """Return the page's table, as a server answers it."""
    got = ((path, client.get(path)) for path, _, _ in ROWS)
    return [(path, str(answer.status_code), answer.headers.get("location") or answer.text) for path, answer in got]


@pytest.mark.executes("docs/static-sites.md", 1, 2, 3, 4)
@pytest.mark.exhaustive
@pytest.mark.parametrize("environment", ["local", "production"])
def test_the_folder_answers_as_the_page_says(project: SampleProject, environment: str) -> None:
    config = yaml.safe_load(FIRST.text)
    rules = {example.file: example.text for example in RULES}
    build = "mkdir dist && cp -r site/. dist"
    for name in [*FOLDER.text.split(), ".env"]:
        file = project.folder / "site" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(rules.get(name, name))
    assert set(rules) == {"_redirects", "_headers"}
    services = project.config["services"]
    services["frontend"] = {
        **services["frontend"],
        **config["services"]["frontend"],
        "build": {"run": build, "output": "dist"},
    }
    local = project.config["environments"].pop("local")
    netlify = config["environments"]["production"]["frontend"]
    project.config["environments"][environment] = local if environment == "local" else {**local, "frontend": netlify}
    project.commit()
    emulator = NetlifyEmulator(UNLIMITED)
    emulator.add_site("storefront")
    with ThreadedServer(emulator.app) as served:
        project.deploy(variables={"NETLIFY_API_URL": served.url, "NETLIFY_AUTH_TOKEN": TOKEN})
        port = project.frontend_port if environment == "local" else int(served.url.rpartition(":")[2])
        headers = {"Host": f"storefront.localhost:{port}", "Accept-Encoding": "identity"}
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, verify=ssl_context()) as client:
            assert answers(client) == ROWS
            assert client.get("/").headers["x-frame-options"] == "DENY"
            assert client.get("/docs/").headers["cache-control"] == "public, max-age=60"
            assert client.get("/hallo", headers={"Accept-Language": "de"}).headers["location"] == "/de"
            assert set(client.get("/api/anything").json()) == {"release", "commit"}
            assert "x-frame-options" not in client.get("/api/anything").headers
