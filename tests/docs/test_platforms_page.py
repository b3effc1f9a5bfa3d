"""The plug-in of docs/platforms.md is installed and deploys by the page's abreast.yml; its code is what the page shows."""

import shlex
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from page_examples import Example
from sample_project import SampleProject, get_text

ROOT = Path(__file__).parents[2]


@pytest.mark.executes("docs/platforms.md", 3, 4, 5, 6)
def test_its_code_is_that_of_the_example(examples: list[Example]) -> None:
    """The example is deployed below, and runs the contract by its own test, as the page says."""
    entry_points, platform, contract, gate = (example.text for example in examples)
    plugin = ROOT / "examples" / "plugin"
    assert entry_points in (plugin / "pyproject.toml").read_text()
    assert contract in (plugin / "test_shelf.py").read_text()
    for text in (platform, gate):
        assert text in (plugin / "abreast_shelf.py").read_text()


@pytest.mark.executes("docs/platforms.md", 1, 2)
@pytest.mark.exhaustive
def test_it_is_installed_and_deploys(project: SampleProject, examples: list[Example], tmp_path: Path) -> None:
    install, config = examples
    (command,) = install.commands
    packages = tmp_path / "packages"
    here = ["--target", str(packages), "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", *shlex.split(command), *here], cwd=ROOT, check=True)
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "shop" / "current"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        shown = yaml.safe_load(
            config.text.replace("/srv/shop", f"{tmp_path}/shop").replace("https://shop.example", url)
        )
        local = project.config["environments"]["local"]
        project.config["gates"] = shown["gates"]
        project.config["environments"] = {"production": {**local, **shown["environments"]["production"]}}
        commit = project.commit()
        project.deploy(variables={"PYTHONPATH": str(packages)})
        assert commit in get_text(url)
        (project.folder / "photo.jpg").write_bytes(bytes(513 * 1024))
        project.commit()
        told = project.deploy(code=3, variables={"PYTHONPATH": str(packages)})
        assert "photo.jpg" in told.stdout
        assert commit in get_text(url)
        project.run("down", "--yes", variables={"PYTHONPATH": str(packages)})
        server.shutdown()
