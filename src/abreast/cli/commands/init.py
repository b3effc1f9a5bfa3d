"""The first command: files that describe the repository at hand, to be looked over and committed."""

import os
from pathlib import Path

from abreast.cli.target_selection import choose_environment
from abreast.config import render_blueprint
from abreast.config.detection import detect_config
from abreast.config.load import CONFIG_FILE
from abreast.core.errors import UsageError
from abreast.wiring.workspace import Workspace


def write_config(cwd: Path) -> int:
    """Write an abreast.yml for what lies here."""
    text = detect_config(cwd)
    if not text:
        raise UsageError(
            f"nothing in {cwd} looks like a service",
            need="a package.json, a Procfile, a render.yaml, or a folder with an index.html",
            next=f"write {CONFIG_FILE} by hand: abreast docs",
        )
    _write_new_file(cwd / CONFIG_FILE, text, "abreast doctor")
    return 0


def write_render_blueprint(cwd: Path, environment_name: str | None) -> int:
    """Write a render.yaml for the services that an environment has on Render."""
    workspace = Workspace.locate(cwd, os.environ)
    project = workspace.load_project()
    environment = project.environment(choose_environment(project.environments, environment_name))
    text = render_blueprint.generate_blueprint(environment, workspace.root)
    if not text:
        raise UsageError(
            f"{environment.name} has no service on Render", need="one with `render: {service: srv-…}`",
            next="abreast init --render --env …",
        )  # fmt: skip
    _write_new_file(workspace.root / render_blueprint.BLUEPRINT_FILE, text, "git add, and sync the blueprint at Render")
    return 0


def _write_new_file(file: Path, text: str, next_step: str) -> None:
    """Write a new file and show it; one that is there is left as it is."""
    try:
        with file.open("x") as opened:
            opened.write(text)
    except FileExistsError as error:
        raise UsageError(
            f"{file.name} is there already", need="a folder without one", next=f"mv {file.name} …"
        ) from error
    print(text, end="")
    print(f"# written to {file.name}; look it over. next: {next_step}")
