"""The first command: write abreast.yml or render.yaml for this repository, to be reviewed and committed."""

from pathlib import Path

from abreast.cli.selection import choose_environment, locate_workspace, working_directory
from abreast.config import render_blueprint
from abreast.config.detection import detect_config
from abreast.config.files import CONFIG_FILE
from abreast.core.errors import UsageError
from abreast.wiring.assembly import Assembly


def init(environment: str | None, *, for_render: bool) -> int:
    """Write abreast.yml; with ``for_render``, a render.yaml for one environment."""
    return _write_render_blueprint(environment) if for_render else _write_config(working_directory())


def _write_config(folder: Path) -> int:
    """Write an abreast.yml for the services that are found in ``folder``."""
    text = detect_config(folder)
    if not text:
        raise UsageError(
            f"found no service in {folder}",
            need="a package.json, a Procfile, a render.yaml, or a folder with an index.html",
            next=f"write {CONFIG_FILE} by hand: abreast docs",
        )
    _write_new_file(folder / CONFIG_FILE, text, "abreast doctor")
    return 0


def _write_render_blueprint(requested: str | None) -> int:
    """Write a render.yaml for the services that an environment runs on Render."""
    workspace = locate_workspace()
    project = Assembly(workspace).project
    environment = project.environment(choose_environment(project.environments, requested))
    text = render_blueprint.generate_blueprint(environment, workspace.root)
    if not text:
        raise UsageError(
            f"{environment.name} has no service on Render", need="one with `render: {service: srv-…}`",
            next="abreast init --render --env …",
        )  # fmt: skip
    next_step = "commit it, and sync the blueprint at Render"
    _write_new_file(workspace.root / render_blueprint.BLUEPRINT_FILE, text, next_step)
    return 0


def _write_new_file(file: Path, text: str, next_step: str) -> None:
    """Write a new file and print it. Raises UsageError if it exists."""
    try:
        with file.open("x") as opened:
            opened.write(text)
    except FileExistsError as error:
        raise UsageError(
            f"{file.name} already exists", need="a folder without one", next=f"mv {file.name} …"
        ) from error
    print(text, end="")
    print(f"# written to {file.name}: please review it. next: {next_step}")
