"""The first command: write abreast.yml or render.yaml for this repository, to be reviewed and committed."""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import yaml

from abreast.cli.lazy import load
from abreast.cli.working_directory import working_directory
from abreast.config.files import CONFIG_FILE
from abreast.core.errors import ConfigError, UsageError
from abreast.detection.detect import draft_config
from abreast.detection.draft import LOCAL, Draft, Question
from abreast.detection.repository import YAML_LOADER
from abreast.detection.yaml_text import comment_out, write_value, write_yaml
from abreast.gates.scanner_program import find_program

SCANNER = "kingfisher"


def init(
    environment: str | None, action: str | None, *, for_render: bool, for_github: bool, for_gitlab: bool, yes: bool
) -> int:
    """Write abreast.yml; or from it a render.yaml for one environment, or the workflows of a CI provider."""
    if for_render:
        return _write_render_blueprint(environment)
    if for_github or for_gitlab:
        write_workflows = load("abreast.cli.commands.init_workflows:init_workflows")
        return int(write_workflows("gitlab" if for_gitlab else "github", action, yes=yes))
    return _write_config(working_directory(), yes=yes)


def _write_config(folder: Path, *, yes: bool) -> int:
    """Write an abreast.yml for the services that are found in ``folder``."""
    draft = draft_config(folder)
    if not draft.services:
        raise UsageError(
            "; ".join([f"found no service in {folder}", *(note.text for note in draft.notes[:3])]),
            need="a package.json, requirements.txt, pyproject.toml, go.mod, Procfile, render.yaml or index.html",
            next=f"write {CONFIG_FILE} by hand: abreast docs",
        )
    if sys.stdin.isatty() and not yes:
        for question in list(draft.questions()):
            _ask(draft, question)
    _add_gates(draft, folder)
    text = without_faults(write_yaml(draft))
    if not put_in_place(folder, {CONFIG_FILE: text}, yes=yes):
        return 0
    print(text, end="")
    print(f"# written to {CONFIG_FILE}: please review it, and commit it.")
    if unset := list(_unset_variables(draft)):
        print("# the first deployment to this machine needs:", *unset, sep="\n")
    print("# next: abreast doctor")
    return 0


def without_faults(text: str) -> str:
    """Return the text of an abreast.yml, with what makes it invalid as a comment.

    One fault at a time, the last one first: of two services that cannot have the same, the first one has it.
    """
    from abreast.config.load import load_config  # noqa: PLC0415 (imports much)
    from abreast.wiring.assembly import PLUGIN_SETTINGS  # noqa: PLC0415 (imports much)

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / CONFIG_FILE
        while True:
            file.write_text(text)
            try:
                project = load_config(file, {}, PLUGIN_SETTINGS)
                for name in project.environments:
                    project.environment(name, needs_values=False)
            except ConfigError as error:
                fault = max(error.faults, key=lambda fault: fault.line)
                shorter = comment_out(text, fault.line, fault.message)
                if yaml.load(shorter, Loader=YAML_LOADER) == yaml.load(text, Loader=YAML_LOADER):  # noqa: S506 (safe)
                    return shorter
                text = shorter
            else:
                return text


def _ask(draft: Draft, question: Question) -> None:
    """Let a person choose between values that are equally good."""
    print(f"{question.service}: {question.key}?")
    for number, choice in enumerate(question.choices, 1):
        print(f"  {number}  {write_value(choice.value)}  ({choice.source})")
    number = click.prompt("Which one", type=click.IntRange(1, len(question.choices)), default=1)
    draft.answer(question, question.choices[number - 1])


def _add_gates(draft: Draft, folder: Path) -> None:
    """Add the gates that cost nothing: the scan for secrets, where its scanner is installed.

    What was committed before does not block, as with the baseline of other scanners: to refuse a deployment takes
    nothing back, and most of it are made-up tokens.
    """
    program = find_program(SCANNER)
    if program is None:
        return
    commit = _last_commit(folder)
    known = f"; what was there at {commit[:7]} is reported and does not block" if commit else ""
    draft.gates["secrets"] = ({"since": commit} if commit else "block", f"{Path(program).name} is installed{known}")


def _last_commit(folder: Path) -> str:
    """Return the id of the last commit, "" if there is none."""
    command = ["git", "rev-parse", "--verify", "--quiet", "HEAD"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout.strip()


def put_in_place(folder: Path, texts: Mapping[str, str], *, yes: bool) -> bool:
    """Write files, by their paths in ``folder``. Those that exist are replaced only after their difference was shown.

    Returns whether any changed. Raises UsageError, with nothing written, if consent is needed and nobody can be asked.
    """
    changed = {name: text for name, text in texts.items() if _text(folder / name) != text}
    existing = [name for name in changed if (folder / name).exists()]
    for name in texts.keys() - changed.keys():
        print(f"{name} is as it would be written: nothing to do")
    for name in existing:
        _print_difference(name, _text(folder / name) or "", changed[name])
    if existing and not yes and not sys.stdin.isatty():
        raise UsageError(
            f"{', '.join(existing)} already exist{'s' if len(existing) == 1 else ''}",
            need="your consent to replace what is there",
            next="the same command with --yes",
        )
    if existing and not yes:
        click.confirm(f"Replace {', '.join(existing)}?", abort=True)
    for name, text in changed.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return bool(changed)


def _text(file: Path) -> str | None:
    return file.read_text() if file.exists() else None


def _print_difference(name: str, before: str, after: str) -> None:
    import difflib  # noqa: PLC0415 (only here)

    lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), name, "init")
    sys.stdout.writelines(lines)


def _unset_variables(draft: Draft) -> Iterator[str]:
    """Yield the commands that set what the first deployment on this machine needs."""
    values = [
        str(chosen.value)
        for service in draft.services
        for key in service.proposals
        if (chosen := service.chosen(key)) and not service.chosen(LOCAL + key)
    ]
    for name in dict.fromkeys(re.findall(r"\$\{(\w+)\}", "\n".join(values))):
        if name not in os.environ:
            yield f"export {name}=…"


def _write_render_blueprint(requested: str | None) -> int:
    """Write a render.yaml for the services that an environment runs on Render."""
    from abreast.cli.selection import choose_environment, locate_workspace  # noqa: PLC0415 (imports much)
    from abreast.config import render_blueprint  # noqa: PLC0415 (only here)
    from abreast.wiring.assembly import Assembly  # noqa: PLC0415 (imports much)

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
