"""What `npm ci` leaves is kept by its lock file, and restored instead of being made again."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from kept_results import kept
from sample_project import SampleProject, get_json, require_programs
from tiny_packages import write_npm_package

BUILD = """
mkdir dist && node -e '
  const page = {commit: process.env.ABREAST_COMMIT, word: require("greeting")};
  require("fs").writeFileSync("dist/index.html", JSON.stringify(page))'
"""


class NodeProject(SampleProject):
    """A frontend in ``web`` that needs a package; ``installs`` are the runs of its install command."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.install_log = folder.parent / "installs"
        self.write(".gitignore", ".abreast\n")
        self.require("1.0.0", "hello")
        self.frontend = self.config["services"]["frontend"]
        self.frontend |= {"folder": "web", "build": {"install": self.install("npm ci"), "run": BUILD, "output": "dist"}}
        self.config["services"].pop("backend")
        self.config["environments"]["local"].pop("backend")
        self.commit()

    def install(self, command: str) -> str:
        return f"echo run >> {self.install_log} && {command} --no-audit --no-fund --offline"

    def write(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def require(self, version: str, word: str, **manifest: object) -> None:
        """Write the package, and a lock file that names this version."""
        archive = write_npm_package(self.folder / "web" / f"greeting-{version}.tgz", version, word)
        dependencies = {"greeting": f"file:{archive.name}"}
        described = json.dumps({"name": "web", "dependencies": dependencies, **manifest})
        self.write("web/package.json", described)
        self.write("web/package-lock.json", _lock_file(described, archive.name, archive.read_bytes()))

    @property
    def installs(self) -> int:
        return len(self.install_log.read_text().splitlines()) if self.install_log.exists() else 0

    @property
    def word(self) -> str:
        return str(get_json(self.frontend_port)["word"])

    @property
    def notes(self) -> list[str]:
        return [event["message"] for event in self.latest_deployment()["events"]]


def _lock_file(manifest: str, name: str, archive: bytes) -> str:
    """Return the lock file that npm writes for a package that needs an archive beside it."""
    return kept((manifest, name, archive), lambda: _lock(manifest, name, archive))


def _lock(manifest: str, name: str, archive: bytes) -> str:
    with TemporaryDirectory() as folder:
        (Path(folder) / "package.json").write_text(manifest)
        (Path(folder) / name).write_bytes(archive)
        lock = ["npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund", "--offline"]
        subprocess.run(lock, cwd=folder, check=True, capture_output=True)
        return (Path(folder) / "package-lock.json").read_text()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[NodeProject]:
    require_programs("node", "npm")
    made = NodeProject(tmp_path / "project")
    yield made
    made.down()


def test_a_change_of_code_installs_nothing_and_a_change_of_the_lock_file_does(web: NodeProject) -> None:
    web.frontend["test"] = "node -e 'require(\"greeting\")'"
    web.frontend["build"]["run"] = BUILD + "\necho 'throw 1' > node_modules/greeting/index.js"
    web.commit()
    web.deploy()
    assert (web.installs, web.word) == (1, "hello")  # the tests had what the build installed, or the other way round
    web.write("web/page.js", "// one more line")
    web.commit()
    web.deploy()
    assert (web.installs, web.word) == (1, "hello"), "what is kept, no build can spoil"
    assert "dependencies are those of an earlier build: same lock files" in web.notes
    web.require("2.0.0", "goodbye")
    web.commit()
    web.deploy()
    assert (web.installs, web.word) == (2, "goodbye")


def test_without_a_lock_file_it_runs_in_each_build_and_the_plan_says_so(web: NodeProject) -> None:
    web.frontend["build"]["install"] = web.install("npm install")
    (web.folder / "web" / "package-lock.json").unlink()
    web.commit()
    assert "runs in each build: the commit has no package-lock.json" in web.run("plan").stdout
    web.deploy()
    web.write("web/page.js", "// one more line")
    web.commit()
    web.deploy()
    assert (web.installs, web.word) == (2, "hello")


def test_a_lock_file_that_does_not_match_is_not_kept(web: NodeProject) -> None:
    web.frontend["build"]["install"] = web.install("npm install")
    manifest = json.loads((web.folder / "web" / "package.json").read_text())
    web.write("web/package.json", json.dumps({**manifest, "license": "MIT", "engines": {"node": ">=18"}}))
    web.commit()
    web.deploy()
    assert [note for note in web.notes if "it changed web/package-lock.json" in note]
    web.write("web/page.js", "// one more line")
    web.commit()
    web.deploy()
    assert web.installs == 2


def test_own_scripts_of_an_install_may_read_any_file_but_find_no_repository(web: NodeProject) -> None:
    """In a repository, they would set up hooks."""
    husky_7 = "! git rev-parse 2> /dev/null || git config core.hooksPath .husky"
    scripts = {"postinstall": "cp page.js node_modules/greeting/index.js", "prepare": husky_7}
    web.require("1.0.0", "hello", scripts=scripts)
    web.write("web/page.js", "module.exports = 'first'")
    web.commit()
    assert "package.json has a script postinstall" in web.run("plan").stdout
    web.deploy()
    assert web.word == "first"
    asked = subprocess.run(["git", "config", "core.hooksPath"], cwd=web.folder, capture_output=True, check=False)
    assert asked.stdout == b""
    web.write("web/page.js", "module.exports = 'second'")
    web.commit()
    web.deploy()
    assert (web.installs, web.word) == (2, "second")


def test_doctor_finds_npm_ci_without_a_lock_file(web: NodeProject) -> None:
    web.frontend["build"]["install"] = "npm ci"
    (web.folder / "web" / "package-lock.json").unlink()
    web.commit()
    assert "its build runs `npm ci`, and the commit has no lock file" in web.run("doctor", code=1).stdout
