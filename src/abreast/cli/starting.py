"""The first command: files that describe the repository at hand, to be looked over and committed."""

import os
from pathlib import Path

from abreast.cli.choosing import choose_environment
from abreast.config import blueprint
from abreast.config.guess import guessed
from abreast.config.load import FILE
from abreast.core.errors import UsageError
from abreast.wiring.workspace import Place


def init(here: Path) -> int:
    """Write an abreast.yml for what lies here."""
    text = guessed(here)
    if not text:
        raise UsageError(
            f"nothing in {here} looks like a service",
            need="a package.json, a Procfile, a render.yaml, or a folder with an index.html",
            next=f"write {FILE} by hand: abreast docs",
        )
    _write(here / FILE, text, "abreast doctor")
    return 0


def init_render(here: Path, name: str | None) -> int:
    """Write a render.yaml for the services that an environment has on Render."""
    place = Place.at(here, os.environ)
    project = place.project()
    environment = project.environment(choose_environment(project.environments, name))
    text = blueprint.written(environment, place.root)
    if not text:
        raise UsageError(
            f"{environment.name} has no service on Render", need="one with `render: {service: srv-…}`",
            next="abreast init --render --env …",
        )  # fmt: skip
    _write(place.root / blueprint.FILE, text, "git add, and sync the blueprint at Render")
    return 0


def _write(file: Path, text: str, then: str) -> None:
    """Write a new file and show it; one that is there is left as it is."""
    try:
        with file.open("x") as opened:
            opened.write(text)
    except FileExistsError as error:
        raise UsageError(
            f"{file.name} is there already", need="a folder without one", next=f"mv {file.name} …"
        ) from error
    print(text, end="")
    print(f"# written to {file.name}; look it over. next: {then}")
