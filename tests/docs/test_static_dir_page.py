"""The example of docs/static-dir.md is deployed to a real SSH server; the folder holds in each chapter what the page says."""

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from page_examples import Example
from sample_project import SampleProject, get_text, require_programs
from ssh_server import ssh_server

FILES = "; cp app.py dist/same; mkdir dist/.well-known; touch dist/.env dist/.htaccess dist/.well-known/x"


@pytest.fixture
def web_server(tmp_path: Path) -> Iterator[str]:
    """A web server as the page wants it: it serves ``current``."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "shop" / "current"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.executes("docs/static-dir.md", 1)
@pytest.mark.exhaustive
def test_the_folder_changes_as_the_page_says(
    project: SampleProject, examples: list[Example], web_server: str, tmp_path: Path
) -> None:
    require_programs("rsync")
    shop = tmp_path / "shop"
    shop.mkdir()
    shown = examples[0].text.replace("/srv/www/shop", str(shop)).replace("https://shop.example", web_server)
    frontend = yaml.safe_load(shown)["environments"]["production"]["frontend"]
    assert frontend["static-dir"]["to"] == f"deploy@web1:{shop}"
    project.config["services"]["frontend"]["build"]["run"] += FILES
    with ssh_server(tmp_path / "ssh") as server:
        user, _, _ = server.host.partition("@")
        frontend["static-dir"]["ssh"] = f"{server.command} -o User={user} -o HostName=127.0.0.1"  # web1 is here
        here = project.config["environments"]["local"]
        project.config["environments"] = {"production": {**here, "frontend": frontend}}
        first = project.commit()
        assert "is checked after traffic switches" in project.deploy().stdout
        before = (shop / "current").resolve()
        assert before.parent == shop / "releases"
        assert first in get_text(web_server)
        files = {
            path.relative_to(before).as_posix(): path.stat().st_ino for path in before.rglob("*") if path.is_file()
        }
        assert files.keys() == {"index.html", "same", ".htaccess", ".well-known/x"}

        project.config["services"]["frontend"]["health"] = {"path": "/missing", "start": "1s"}
        project.commit()
        project.deploy(code=1)
        assert (shop / "current").resolve() == before
        assert first in get_text(web_server)

        project.run("unlock")
        project.config["services"]["frontend"]["health"] = {"hold": "0s"}
        second = project.commit()
        project.deploy()
        assert second in get_text(web_server)
        assert [*(shop / "releases").iterdir()] == [(shop / "current").resolve()] != [before]
        assert (shop / "current" / "same").stat().st_ino == files["same"], "linked, not sent"
        project.run("rollback", "--yes", "--reason", "orders fail")
        assert first in get_text(web_server)
