"""The tutorial and the README, typed by a newcomer: each command does what the page shows."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from page_examples import Example, page_examples
from sample_project import free_ports
from shown_output import first_difference
from typed_command import type_command

ROOT = Path(__file__).parents[2]


class Newcomer:
    """Types commands in an empty folder. Reports what was printed otherwise than shown."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = dict(zip(free_ports(2), (8080, 8081), strict=True))
        programs = folder.parent / "bin"
        programs.mkdir()
        (programs / "abreast").write_text(f'#!/bin/sh\nexec {sys.executable} -m abreast "$@"\n')
        (programs / "abreast").chmod(0o755)
        identity = {
            f"GIT_{who}_{what}": value
            for who in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", "Ada"), ("EMAIL", "ada@localhost"))
        }
        self._variables = {**os.environ, **identity, "PATH": f"{programs}:{os.environ['PATH']}"}

    def type(self, command: str) -> list[str]:
        for used, shown in self.ports.items():
            command = command.replace(f":{shown}", f":{used}")
        return type_command(self.folder, command, self._variables)[1].splitlines()

    def follow(self, example: Example) -> None:
        for command, shown in example.steps:
            printed = self.type(command)
            assert first_difference(shown, printed, self.ports) == "", f"$ {command}\n" + "\n".join(printed)


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    (tmp_path / "shop").mkdir()
    made = Newcomer(tmp_path / "shop")
    yield made
    made.type("abreast down --yes")


@pytest.mark.executes("docs/tutorial.md", 1, 2, 3, 4, 5, 6, 7, 8)
@pytest.mark.exhaustive
@pytest.mark.timeout(240)
def test_the_tutorial(newcomer: Newcomer) -> None:
    examples = [*page_examples(ROOT / "docs" / "tutorial.md")]
    app, config = (next(one.text for one in examples if one.language == kind) for kind in ("python", "yaml"))
    frontend, backend = newcomer.ports
    free = (
        f"local: {{settle: 300ms, frontend: {{local: {{port: {frontend}}}}}, backend: {{local: {{port: {backend}}}}}}}"
    )
    newcomer.type("git init -q && git config user.name Ada")
    (newcomer.folder / "app.py").write_text(app)
    (newcomer.folder / "abreast.yml").write_text(config.replace("local: {settle: 5s}", free))
    shown = [example for example in examples if example.language == "console"]
    assert len(shown) > 5
    for example in shown:
        newcomer.follow(example)


@pytest.mark.executes("README.md", 2)
@pytest.mark.exhaustive
@pytest.mark.timeout(240)
def test_the_readme(newcomer: Newcomer) -> None:
    subprocess.run(["cp", "-r", f"{ROOT}/examples/storefront/.", newcomer.folder], check=True)
    config = newcomer.folder / "abreast.yml"
    text = config.read_text()
    for used, shown in newcomer.ports.items():
        text = text.replace(f"port: {shown}", f"port: {used}")
    config.write_text(text.replace("settle: 3s", "settle: 300ms"))
    newcomer.type('git init -q && git add -A && git commit -qm "Open the shop"')
    (example,) = (example for example in page_examples(ROOT / "README.md") if example.language == "console")
    newcomer.follow(example)
