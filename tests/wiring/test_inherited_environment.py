"""What commands of the project inherit: never the Python that abreast itself runs in."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from abreast.wiring.inherited_environment import inherited_environment
from sample_project import SampleProject

ACTIVATED = {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "VIRTUAL_ENV": sys.prefix,
}
"""What `activate` sets for the virtual environment of the tests, which is abreast's own."""

PRINT_PYTHON = """import json, os, sys
print(json.dumps([sys.prefix, os.environ.get("VIRTUAL_ENV")]))
"""


def python_by(variables: dict[str, str], folder: Path) -> list[str | None]:
    (folder / "told.py").write_text(PRINT_PYTHON)
    told = subprocess.run(
        ["/bin/sh", "-c", "python3 told.py"], cwd=folder, env=variables, check=True, capture_output=True
    )
    found: list[str | None] = json.loads(told.stdout)
    return found


def test_it_is_not_abreasts_python(tmp_path: Path) -> None:
    assert python_by(ACTIVATED, tmp_path) == [sys.prefix, sys.prefix]
    prefix, active = python_by(inherited_environment(ACTIVATED), tmp_path)
    assert prefix != sys.prefix
    assert active is None


def test_an_environment_of_the_projects_own_stays(tmp_path: Path) -> None:
    venv.create(tmp_path / "theirs", symlinks=True)
    theirs = str(tmp_path / "theirs")
    variables = {"PATH": f"{theirs}/bin{os.pathsep}{ACTIVATED['PATH']}", "VIRTUAL_ENV": theirs}
    assert python_by(inherited_environment(variables), tmp_path) == [theirs, theirs]


def test_a_link_to_it_is_it_too(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(sys.prefix)
    variables = {"PATH": f"{tmp_path}/link/bin{os.pathsep}/usr/bin", "VIRTUAL_ENV": str(tmp_path / "link")}
    assert inherited_environment(variables) == {"PATH": "/usr/bin"}


@pytest.mark.exhaustive
def test_builds_tests_and_services_are_without_it(project: SampleProject, tmp_path: Path) -> None:
    told = tmp_path / "told"
    tell = f"echo $(command -v python3) $VIRTUAL_ENV >> {told}"
    backend = project.config["services"]["backend"]
    backend |= {"build": tell, "test": tell, "run": f"{tell}; {backend['run']}"}
    backend["database"] = {"url": "sqlite:///shop.db", "command": tell}
    project.commit()
    project.deploy(variables=ACTIVATED)
    lines = told.read_text().splitlines()
    assert len(lines) >= 4
    assert not [line for line in lines if sys.prefix in line]
