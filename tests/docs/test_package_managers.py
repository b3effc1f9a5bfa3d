"""Every package manager of the pages about Python and Node installs a real lock file, once, as `abreast init` says too."""

import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from npm import install_packages
from page_reader import IMPORTING_APP, PROJECT, Reader
from sample_project import get_json

DOCS = Path(__file__).parents[2] / "docs"
ROW = re.compile(r"^\| (`[^|]+) \| `([^`]+)` \|$", re.MULTILINE)
YARN, BERRY, BUN = "yarn@1.22.22", "@yarnpkg/cli-dist@4.18.1", "bun@1.4.5"

SERVER = """
const day = require("ms")("1d"), commit = process.env.ABREAST_COMMIT;
require("http").createServer((request, response) => response.end(JSON.stringify({commit, day})))
  .listen(process.env.PORT, "127.0.0.1");
"""


def recipes() -> dict[str, str]:
    """Return what the tables of the pages say: the install command by the lock file."""
    text = "".join((DOCS / page).read_text() for page in ("python.md", "node.md"))
    return {lock.split(",")[0].replace("`", ""): command for lock, command in ROW.findall(text) if "." in lock}


def python_app(reader: Reader) -> None:
    reader.write("pyproject.toml", PROJECT.format(name="api", dependencies=["iniconfig"]))
    reader.write("app.py", IMPORTING_APP)
    reader.write("Procfile", "web: python app.py\n")


def pylock(reader: Reader) -> None:
    python_app(reader)
    reader.lock("uv pip compile --quiet pyproject.toml --output-file pylock.toml")


def hatch(reader: Reader) -> None:
    python_app(reader)
    reader.write("pyproject.toml", (reader.folder / "pyproject.toml").read_text() + HATCH)
    reader.lock("uvx hatch lock || test -s pylock.toml")  # it locks, and then fails to apply that by pip


HATCH = """[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[tool.hatch.build.targets.wheel]
include = ["app.py"]
[tool.hatch.envs.default]
locked = true
"""


def pdm(reader: Reader) -> None:
    python_app(reader)
    reader.lock("uvx 'pdm[locked]' lock && rm -rf .venv .pdm-python")


def pipenv(reader: Reader) -> None:
    python_app(reader)
    (reader.folder / "pyproject.toml").unlink()
    reader.write("Pipfile", '[packages]\niniconfig = "*"\n')
    reader.lock("uvx pipenv lock")


def requirements(reader: Reader) -> None:
    python_app(reader)
    (reader.folder / "pyproject.toml").unlink()
    reader.write("requirements.txt", "iniconfig==2.1.0\n")


def requirements_folder(reader: Reader) -> None:
    requirements(reader)
    (reader.folder / "requirements").mkdir()
    (reader.folder / "requirements.txt").rename(reader.folder / "requirements" / "base.txt")
    reader.write("requirements/production.txt", "-r base.txt\n")


def node_app(reader: Reader, node: str = "node") -> None:
    scripts = {"build": "node -e 'require(\"ms\")'", "start": "node server.js"}
    reader.write("package.json", json.dumps({"name": "web", "dependencies": {"ms": "2.1.3"}, "scripts": scripts}))
    reader.write("server.js", SERVER)
    reader.write("Procfile", f"web: {node} server.js\n")


def yarn_classic(reader: Reader) -> None:
    node_app(reader)
    reader.lock("yarn install && rm -r node_modules", programs=programs(reader, YARN))


def yarn_berry(reader: Reader, linker: str = "node-modules", node: str = "node") -> None:
    node_app(reader, node)
    release = install_packages("yarn-berry", BERRY).parent / "@yarnpkg" / "cli-dist" / "bin" / "yarn.js"
    reader.write(".yarn/releases/yarn.cjs", release.read_text())
    reader.write(".yarnrc.yml", f"yarnPath: .yarn/releases/yarn.cjs\nnodeLinker: {linker}\n")
    ignored = ".abreast\nnode_modules\n.pnp.*\n.yarn/*\n!.yarn/releases\n"
    reader.write(".gitignore", ignored)
    reader.lock("yarn install --mode=update-lockfile", programs=programs(reader, YARN))


def yarn_pnp(reader: Reader) -> None:
    yarn_berry(reader, "pnp", "yarn node")


def bun(reader: Reader) -> None:
    node_app(reader, "bun")
    reader.lock("bun install --lockfile-only", programs=programs(reader, BUN))


def programs(reader: Reader, package: str) -> Path:
    """Return a folder with a package manager alone, which comes first on the PATH of abreast from now on."""
    installed = install_packages(package.partition("@")[0], package)
    brought = next((installed.parent / "@oven").glob("*/bin"), installed) if package == BUN else installed
    reader.path = os.pathsep.join((str(brought), os.environ["PATH"]))
    return brought


@dataclass(frozen=True)
class Manager:
    """How a project with a lock file is made, the row of the page, and whether abreast installs without ``install``."""

    prepare: Callable[[Reader], None]
    row: str
    is_default: bool = False


MANAGERS = {
    "pylock": Manager(pylock, "pylock.toml", is_default=True),
    "hatch": Manager(hatch, "pylock.toml"),
    "pip": Manager(requirements, "requirements.txt", is_default=True),
    "requirements-folder": Manager(requirements_folder, "requirements/production.txt"),
    "pdm": Manager(pdm, "pdm.lock"),
    "pipenv": Manager(pipenv, "Pipfile.lock"),
    "yarn-1": Manager(yarn_classic, "yarn.lock of Yarn 1"),
    "yarn": Manager(yarn_berry, "yarn.lock"),
    "yarn-pnp": Manager(yarn_pnp, "yarn.lock"),
    "bun": Manager(bun, "bun.lock"),
}
EXAMPLES = {"uv.lock", "poetry.lock", "package-lock.json", "pnpm-lock.yaml"}
"""Those of which the pages have an example, which is deployed too."""


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    made = Reader(tmp_path / "project")
    yield made
    made.down()


@pytest.mark.exhaustive
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", MANAGERS)
def test_it_installs_once_by_what_init_writes(reader: Reader, name: str) -> None:
    manager = MANAGERS[name]
    manager.prepare(reader)
    (reader.folder / "abreast.yml").unlink()
    variables = {"PATH": reader.path}
    reader.run("init", "--yes", variables=variables)
    config = yaml.safe_load((reader.folder / "abreast.yml").read_text())
    (service,) = config["services"].values()
    assert service["build"]["install"].removeprefix("uv ") == recipes()[manager.row].removeprefix("uv ")
    config.pop("gates")  # to scan for secrets takes longer than to install
    if manager.is_default:
        del service["build"]["install"]
    reader.use_config(config)
    reader.deploy(variables=variables)
    code = next(reader.folder / name for name in ("app.py", "server.js") if (reader.folder / name).exists())
    code.write_text(code.read_text() + "\n")
    reader.commit()
    reader.deploy(variables=variables)
    assert get_json(reader.frontend_port)["commit"] == reader.git("rev-parse", "HEAD").strip()
    notes = [event["message"] for event in reader.latest_deployment()["events"]]
    assert "dependencies are those of an earlier build: same lock files" in notes, notes


def test_every_row_is_among_those_that_are_run() -> None:
    assert {manager.row for manager in MANAGERS.values()} | EXAMPLES == set(recipes())
