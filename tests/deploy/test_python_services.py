"""A Python service has an environment of its own, made once for the same lock files, wherever it is used."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sample_project import APP_SOURCE, HEALTHY, SampleProject, eventually, get_json, wait_for_exit
from tiny_packages import write_wheel

VERSION = ".".join(map(str, sys.version_info[:2]))
INSTALL = "uv pip install --offline --no-index --find-links ../wheels -r requirements.txt"
"""By uv, which is quick: that pip installs the same is shown in tests/runtimes and in tests/docs."""

HEALTH = """    import greeting
    return 200, {"prefix": sys.prefix, "word": greeting.word(), "active": os.environ.get("VIRTUAL_ENV")}
"""


class PythonProject(SampleProject):
    """A backend in ``api`` that needs a package; ``installs`` are the runs of its install command."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.install_log = folder.parent / "installs"
        (folder / "app.py").unlink()
        self.write(".gitignore", ".abreast\n")
        self.write("api/app.py", APP_SOURCE.replace(HEALTHY, HEALTH))
        write_wheel(folder / "wheels")
        write_wheel(folder / "wheels", "2.0", "goodbye")
        self.require("1.0")
        self.backend = self.config["services"]["backend"]
        self.backend |= {
            "folder": "api",
            "python": VERSION,
            "build": {"install": self.install(INSTALL)},
            "run": "exec python app.py",
        }
        self.config["services"].pop("frontend")
        self.config["environments"]["local"].pop("frontend")
        self.commit()

    def install(self, command: str) -> str:
        return f"echo run >> {self.install_log} && {command}"

    def write(self, name: str, text: str) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def require(self, version: str) -> None:
        self.write("api/requirements.txt", f"greeting=={version}\n")

    @property
    def installs(self) -> int:
        return len(self.install_log.read_text().splitlines()) if self.install_log.exists() else 0

    @property
    def health(self) -> dict[str, str]:
        return get_json(self.backend_port, "/health")

    @property
    def notes(self) -> list[str]:
        return [event["message"] for event in self.latest_deployment()["events"]]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[PythonProject]:
    made = PythonProject(tmp_path / "project")
    yield made
    made.down()


def test_the_same_lock_files_are_installed_once_and_each_release_has_its_environment(api: PythonProject) -> None:
    api.deploy()
    first = api.health
    assert first["word"] == "hello"
    assert first["prefix"] == first["active"]
    assert Path(first["prefix"]).is_relative_to(api.folder / ".abreast" / "installs")

    # A change of code installs nothing; a rollback has the environment of its release.
    api.write("api/app.py", APP_SOURCE.replace(HEALTHY, HEALTH) + "# one more line\n")
    api.commit()
    api.deploy()
    assert (api.installs, api.health["prefix"]) == (1, first["prefix"])
    assert "dependencies are those of an earlier build: same lock files" in api.notes
    api.require("2.0")
    api.commit()
    api.deploy()
    assert (api.installs, api.health["word"]) == (2, "goodbye")
    api.run("rollback", "--yes", "--reason", "test")
    assert (api.installs, api.health["prefix"]) == (2, first["prefix"])

    # A release that is built needs no look for an interpreter.
    api.backend["python"] = "3.99"
    api.commit()
    api.deploy("--release", "v1")
    assert (api.installs, api.health) == (2, first)

    # An environment that is gone is made again from the commit.
    api.backend["python"] = VERSION
    api.commit()
    shutil.rmtree(api.folder / ".abreast" / "installs")
    api.run("unlock", "--release", "v3")
    api.deploy("--release", "v3")
    assert (api.installs, api.health["word"]) == (3, "goodbye")

    # Force installs again, beside the running one.
    before = api.health["prefix"]
    api.deploy("--force")
    assert api.installs == 4
    assert api.health["prefix"] != before


def test_all_commands_of_services_have_it_also_its_programs(api: PythonProject, tmp_path: Path) -> None:
    told = tmp_path / "told"
    tell = f'python -c "import sys, greeting; print(sys.prefix)" >> {told} && greet >> {told}'
    same = {**api.backend, "build": {**api.backend["build"]}}
    api.backend["build"]["run"] = tell
    api.backend |= {"test": tell, "run": f"{tell}; exec python app.py"}
    api.backend["database"] = {"url": "sqlite:///shop.db", "command": tell}
    api.write("api/worker.py", "import time, greeting\ntime.sleep(600)\n")
    here = "test -f worker.py && python -c 'import greeting, sys; assert sys.prefix != sys.base_prefix'"
    api.config["services"]["jobs"] = {
        **{key: same[key] for key in ("folder", "python", "build")},
        "type": "worker",
        "run": "exec python worker.py",
        "instances": 1,
        "release": here,
        "health": {"command": here, "within": "20s", "hold": "0s"},
    }
    api.commit()
    api.deploy()
    assert api.installs == 1
    lines = told.read_text().splitlines()
    assert set(lines) == {api.health["prefix"], "hello"}
    assert len(lines) >= 8
    finished = [event["chapter"] for event in api.latest_deployment()["events"] if event["service"] == "jobs"]
    assert {"release", "check"} <= set(finished)


def test_a_killed_install_is_begun_afresh(api: PythonProject, tmp_path: Path) -> None:
    go, command = tmp_path / "go", INSTALL
    wait = f"{command} && until test -e {go}; do sleep 0.05; done"
    api.backend["build"]["install"] = api.install(wait)
    api.commit()
    begun = api.start("deploy", "--yes")
    eventually(lambda: list((api.folder / ".abreast" / "installs").glob("*/python/bin/greet")))
    begun.kill()
    wait_for_exit(begun)
    (left,) = (api.folder / ".abreast" / "installs").glob("*/python")
    (left / "half-written").touch()
    go.touch()
    api.deploy()
    assert (api.installs, api.health["word"]) == (2, "hello")
    assert api.health["prefix"] == str(left)
    assert not (left / "half-written").exists()


def test_a_python_that_is_not_here_is_told_before_anything_is_built(api: PythonProject) -> None:
    api.backend["python"] = "3.99"
    api.commit()
    for arguments in (["plan"], ["doctor"], ["deploy", "--yes"]):
        done = api.run(*arguments, code=None)
        told = done.stdout + done.stderr
        assert done.returncode
        assert "there is no Python 3.99 on this machine" in told
        assert "uv python install '3.99'" in told
    assert api.installs == 0


def test_an_editable_install_is_refused(api: PythonProject) -> None:
    api.write("api/setup.py", "from setuptools import setup\nsetup(name='shop', version='1', py_modules=['app'])\n")
    leads = 'echo "$PWD" > "$VIRTUAL_ENV/lib/python' + VERSION + '/site-packages/__editable__.shop-1.pth"'
    api.backend["build"]["install"] = leads  # what `pip install -e .` leaves
    api.commit()
    told = api.deploy(code=1).stdout
    assert "__editable__.shop-1.pth leads to the build folder, which is removed" in told


def test_without_a_lock_file_it_is_installed_in_each_build_and_the_plan_says_so(api: PythonProject) -> None:
    api.backend["build"]["install"] = api.install("uv pip install --offline --no-index --find-links ../wheels greeting")
    api.commit()
    assert "names no requirements file of the commit" in api.run("plan").stdout
    api.deploy()
    api.commit("Again", app_py="")
    api.write("api/app.py", APP_SOURCE.replace(HEALTHY, HEALTH) + "# one more line\n")
    api.commit()
    api.deploy()
    assert (api.installs, api.health["word"]) == (2, "goodbye")
