"""Every example of the pages about Python and Node is deployed, as the page says it works."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from page_examples import page_examples
from page_reader import IMPORTING_APP, PROJECT, Reader
from sample_project import APP_SOURCE, get_json, require_programs
from tiny_packages import write_wheel

DOCS = Path(__file__).parents[2] / "docs"
PYTHON, NODE = (list(page_examples(DOCS / page)) for page in ("python.md", "node.md"))

BUILD_SYSTEM = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
"""
SERVER = """
const release = process.env.ABREAST_RELEASE, commit = process.env.ABREAST_COMMIT;
const ms = require("ms");
require("http").createServer((request, response) => response.end(JSON.stringify({release, commit, day: ms("1d")})))
  .listen(process.env.PORT, "127.0.0.1");
"""
BUILD_PAGE = """node -e 'require("fs").mkdirSync("dist"); require("fs").writeFileSync("dist/index.html",
JSON.stringify({commit: process.env.ABREAST_COMMIT, day: require("ms")("1d")}))'""".replace("\n", " ")


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    made = Reader(tmp_path / "project")
    yield made
    made.down()


def requirements(reader: Reader) -> None:
    reader.write("api/requirements.txt", "iniconfig==2.1.0\n")
    reader.write("api/app.py", IMPORTING_APP)
    reader.write(
        "api/test_app.py", "import unittest, iniconfig\nclass Test(unittest.TestCase):\n    def test(self): pass\n"
    )


def uv_project(reader: Reader) -> None:
    reader.write("api/pyproject.toml", PROJECT.format(name="api", dependencies=["iniconfig"]))
    reader.write("api/app.py", IMPORTING_APP)
    reader.lock("uv lock", "api")


def poetry_project(reader: Reader) -> None:
    wheel = write_wheel(reader.folder / "api" / "wheels")
    head, _, _ = PROJECT.format(name="api", dependencies=[]).partition("dependencies")
    path = f'[tool.poetry.dependencies]\ngreeting = {{path = "wheels/{wheel.name}"}}\n'
    reader.write("api/pyproject.toml", f'{head}dynamic = ["dependencies"]\n{path}')
    reader.write("api/app.py", "import greeting\n" + APP_SOURCE)
    reader.lock("uvx poetry lock", "api")


def uv_workspace(reader: Reader) -> None:
    members = {"api": ["iniconfig", "words"], "words": []}
    reader.write("pyproject.toml", '[tool.uv.workspace]\nmembers = ["packages/*"]\n')
    for name, dependencies in members.items():
        sources = "[tool.uv.sources]\nwords = {workspace = true}\n" if dependencies else ""
        text = PROJECT.format(name=name, dependencies=dependencies) + BUILD_SYSTEM + sources
        reader.write(f"packages/{name}/pyproject.toml", text)
    reader.write("packages/words/src/words/__init__.py", "")
    reader.write("packages/api/src/api/__init__.py", "")
    reader.write("packages/api/src/api/__main__.py", "import words\n" + IMPORTING_APP)
    reader.lock("uv lock")


def npm_services(reader: Reader) -> None:
    for folder in ("web", "api"):
        scripts = {"build": BUILD_PAGE, "test": "node -e 'require(\"ms\")'"}
        manifest = {"name": folder, "dependencies": {"ms": "2.1.3"}, "scripts": scripts}
        reader.write(f"{folder}/package.json", json.dumps(manifest))
        reader.lock("npm install --package-lock-only --no-audit --no-fund", folder)
    reader.write("api/server.js", SERVER)


def pnpm_service(reader: Reader) -> None:
    manifest = {"name": "web", "dependencies": {"ms": "2.1.3"}, "scripts": {"build": BUILD_PAGE}}
    reader.write("web/package.json", json.dumps({**manifest, "packageManager": "pnpm@9.15.9"}))
    reader.lock("COREPACK_INTEGRITY_KEYS=0 corepack pnpm install --lockfile-only", "web")
    reader.env["COREPACK_INTEGRITY_KEYS"] = "0"  # a mirror has packages, but not always their signatures


def npm_workspace(reader: Reader) -> None:
    reader.write("package.json", json.dumps({"name": "shop", "workspaces": ["web", "ui"]}))
    manifest = {"name": "web", "dependencies": {"ui": "*"}, "scripts": {"build": BUILD_PAGE.replace('"ms"', '"ui"')}}
    reader.write("web/package.json", json.dumps(manifest))
    reader.write("ui/package.json", json.dumps({"name": "ui", "main": "ui.js", "dependencies": {"ms": "2.1.3"}}))
    reader.write("ui/ui.js", 'module.exports = require("ms");')
    reader.lock("npm install --package-lock-only --no-audit --no-fund")


RECIPES: dict[str, tuple[Callable[[Reader], None], tuple[str, ...], str]] = {
    "python-0": (requirements, (), "api/app.py"),
    "python-2": (uv_project, (), "api/app.py"),
    "python-3": (poetry_project, (), "api/app.py"),
    "python-4": (uv_workspace, (), "packages/api/src/api/__main__.py"),
    "node-0": (npm_services, ("node", "npm"), "web/README"),
    "node-1": (pnpm_service, ("node", "corepack"), "web/README"),
    "node-2": (npm_services, ("node", "npm"), "api/README"),
    "node-3": (npm_workspace, ("node", "npm"), "web/README"),
}
"""What each example needs in the repository, the programs that it needs, and a file to change afterwards."""


def examples(page: str) -> list[str]:
    return [example.text for example in {"python": PYTHON, "node": NODE}[page] if example.language == "yaml"]


@pytest.mark.executes("docs/python.md", 1, 4, 5, 6)
@pytest.mark.executes("docs/node.md", 1, 2, 3, 4)
@pytest.mark.exhaustive
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", RECIPES)
def test_the_recipe_works_and_installs_once(reader: Reader, name: str) -> None:
    prepare, programs, changed = RECIPES[name]
    require_programs(*programs)
    prepare(reader)
    page, number = name.split("-")
    reader.write_config(examples(page)[int(number)])
    reader.deploy()
    file = reader.folder / changed
    reader.write(changed, (file.read_text() if file.exists() else "") + "\n")
    reader.commit()
    reader.deploy()
    commits = {get_json(settings["local"]["port"])["commit"] for settings in local_services(reader)}
    assert reader.git("rev-parse", "HEAD").strip() in commits
    notes = [event["message"] for event in reader.latest_deployment()["events"]]
    own_code = name == "python-4"
    assert ("dependencies are those of an earlier build: same lock files" in notes) is not own_code, notes


def local_services(reader: Reader) -> list[dict[str, Any]]:
    found = reader.config["environments"]["local"].values()
    return [settings for settings in found if isinstance(settings, dict)]


@pytest.mark.executes("docs/python.md", 2, 3)
@pytest.mark.exhaustive
def test_a_missing_python_is_told_as_the_page_says(reader: Reader) -> None:
    reader.write("app.py", "")
    reader.write_config(examples("python")[1])
    (console,) = (example for example in PYTHON if example.language == "console")
    done = reader.run(*console.commands[0].split()[1:], code=None)
    told = " ".join((done.stdout + done.stderr).split())
    for line in console.output:
        assert re.sub(r"\s+", " ", line) in told


def test_every_example_is_among_those_that_are_run() -> None:
    named = {f"{page}-{number}" for page in ("python", "node") for number in range(len(examples(page)))}
    assert named == {*RECIPES, "python-1"}
