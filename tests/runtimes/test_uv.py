"""Interpreters and environments, by the real uv."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from abreast.core.errors import UsageError
from abreast.runtimes.interface import Interpreter
from abreast.runtimes.uv import UvPythonProvider
from abreast.wiring.brought_programs import find_uv, with_brought_programs
from abreast.wiring.inherited_environment import inherited_environment
from tiny_packages import write_wheel

VERSION = ".".join(map(str, sys.version_info[:2]))
INHERITED = inherited_environment(os.environ)


@pytest.fixture(scope="module")
def provider() -> UvPythonProvider:
    return UvPythonProvider(find_uv(INHERITED), INHERITED)


@pytest.mark.parametrize("request_", [VERSION, f"=={VERSION}.*", f">={VERSION},<3.99"])
def test_an_interpreter_is_found_that_is_not_abreasts(provider: UvPythonProvider, request_: str) -> None:
    found = provider.find(request_)
    assert found.version.startswith("CPython 3.")
    assert not Path(found.path).is_relative_to(sys.prefix)


@pytest.mark.parametrize("request_", ["3.99", ">=3.99"])
def test_one_that_is_not_here_is_told_with_those_that_are(provider: UvPythonProvider, request_: str) -> None:
    with pytest.raises(UsageError, match=f"there is no Python {request_} on this machine.*3\\.") as caught:
        provider.find(request_)
    assert caught.value.next == f"uv python install '{request_}'"


def test_without_uv_it_says_where_to_get_it() -> None:
    with pytest.raises(UsageError, match="uv is not installed") as caught:
        UvPythonProvider(None, INHERITED).find(VERSION)
    assert caught.value.next == "pip install 'abreast[python]'"


def variables(provider: UvPythonProvider, folder: Path, home: Path) -> dict[str, str]:
    return {**INHERITED, **provider.variables(folder, INHERITED["PATH"]), "HOME": str(home)}


def run(command: str, env: dict[str, str], cwd: Path) -> str:
    done = subprocess.run(command, shell=True, env=env, cwd=cwd, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.exhaustive
@pytest.mark.parametrize("command", ["pip install --no-index", "uv pip install --offline --no-index"])
def test_pip_and_uv_install_into_it_without_a_network(provider: UvPythonProvider, tmp_path: Path, command: str) -> None:
    offline = UvPythonProvider(provider.uv, {**INHERITED, "HOME": str(tmp_path), "UV_OFFLINE": "1"})
    folder = tmp_path / "python"
    offline.create(provider.find(VERSION), folder)
    env = dict(with_brought_programs(variables(provider, folder, tmp_path), tmp_path / "programs"))
    wheel = write_wheel(tmp_path / "wheels")
    run(f"{command} --find-links {wheel.parent} greeting", env, tmp_path)
    assert run("greet && python -c 'import sys; print(sys.prefix)'", env, Path("/")) == f"hello\n{folder}"


def test_the_pip_of_an_old_python_installs_from_sources(provider: UvPythonProvider, tmp_path: Path) -> None:
    try:
        old = provider.find(">=3.5,<3.7")
    except UsageError:
        pytest.skip("this machine has no Python 3.6")
    (tmp_path / "setup.py").write_text("from setuptools import setup\nsetup(name='words', py_modules=['words'])\n")
    (tmp_path / "words.py").write_text("HELLO = 'hello'\n")
    provider.create(old, tmp_path / "python")
    env = variables(provider, tmp_path / "python", tmp_path)
    run(f"pip install --no-index {tmp_path}", env, tmp_path)
    assert run("python -c 'import words; print(words.HELLO)'", env, Path("/")) == "hello"


def test_an_interpreter_without_venv_is_told(provider: UvPythonProvider, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no environment could be made"):
        provider.create(Interpreter("/bin/false", "none"), tmp_path / "python")


PROJECT = """[project]
name = "shop"
version = "1.0"
requires-python = ">=3.9"
dependencies = ["greeting"]
[tool.uv]
no-index = true
find-links = ["../wheels"]
"""


def test_uv_sync_fills_it_and_uv_run_leaves_it_alone(provider: UvPythonProvider, tmp_path: Path) -> None:
    write_wheel(tmp_path / "wheels")
    project, folder = tmp_path / "shop", tmp_path / "python"
    project.mkdir()
    (project / "pyproject.toml").write_text(PROJECT)
    provider.create(provider.find(VERSION), folder)
    env = dict(with_brought_programs(variables(provider, folder, tmp_path), tmp_path / "programs"))
    run("uv lock", env, project)
    run("uv sync --frozen", env, project)
    assert run("greet && python -c 'import sys; print(sys.prefix)'", env, project) == f"hello\n{folder}"
    assert not (project / ".venv").exists()
    (project / "pyproject.toml").write_text(PROJECT.replace('["greeting"]', "[]"))
    assert run("uv run greet", env, project) == "hello"
