"""What a commit's files mean for a Space: what becomes public, what is missing, and where the application listens."""

import re
from collections.abc import Iterator

import yaml

from abreast.core.diagnostics import Diagnostic, DiagnosticSeverity
from abreast.core.model import Service
from abreast.core.wording import counted
from abreast.platforms.huggingface.client import STATIC, Card, Space
from abreast.platforms.huggingface.container_port import port_conflict
from abreast.platforms.huggingface.repository import CARD_FILE
from abreast.platforms.interface import SourceFiles

_HEADER = re.compile(rb"\A---\r?\n(.*?)^---\s*$", re.DOTALL | re.MULTILINE)


def inspect_files(service: Service, space: Space, files: SourceFiles) -> list[Diagnostic]:
    """Return what users should know of the files that a deployment would send to a Space."""
    top = service.build.output or service.artifact_folder
    folder = f"{top.strip('/')}/" if top else ""
    card = _card(files.read(folder + CARD_FILE) or b"") or space.card
    return [*_public(service, space, files), *_missing(service, space, files, folder, card),
            *_port(space, files, folder, card)]  # fmt: skip


def _public(service: Service, space: Space, files: SourceFiles) -> Iterator[Diagnostic]:
    if space.private:
        return
    yield Diagnostic(DiagnosticSeverity.OK, "", f"{_sent(service, files)} becomes public in the Space {space.id}")


def _sent(service: Service, files: SourceFiles) -> str:
    """Return what a Space gets, in words."""
    if service.build.output:
        return f"its build output, {service.build.output},"
    folder = service.artifact_folder
    count = counted(sum(path.startswith(f"{folder}/") for path in files.paths) if folder else len(files.paths), "file")
    return f"its folder {folder} ({count})" if folder else f"its whole checkout ({count})"


def _missing(service: Service, space: Space, files: SourceFiles, folder: str, card: Card) -> Iterator[Diagnostic]:
    """Yield a fault if the Space's first file is missing, and no build could still make it."""
    defaults = {"docker": "Dockerfile", STATIC: "index.html", "gradio": "app.py", "streamlit": "app.py"}
    name = defaults[space.sdk or ""] if space.sdk == "docker" else card.app_file or defaults[space.sdk or ""]
    if service.build.run is None and folder + name not in files.paths:
        yield Diagnostic(
            DiagnosticSeverity.FAULT, "", f"the commit has no {folder}{name}, so the Space {space.id} cannot build it",
            f"{folder}{name}, committed",
        )  # fmt: skip


def _port(space: Space, files: SourceFiles, folder: str, card: Card) -> Iterator[Diagnostic]:
    """Yield a warning if a Dockerfile says that its application listens elsewhere."""
    dockerfile = files.read(f"{folder}Dockerfile") if space.sdk == "docker" else None
    conflict = port_conflict(dockerfile.decode(errors="replace"), card.app_port) if dockerfile else ""
    if conflict:
        yield Diagnostic(
            DiagnosticSeverity.WARNING, "",
            f"{conflict}, and the Space {space.id} sends requests to port {card.app_port} (app_port)",
            f"the application on port {card.app_port} (`ENV PORT={card.app_port}` in the Dockerfile), or `app_port` in "
            f"the header of {CARD_FILE}",
        )  # fmt: skip


def _card(readme: bytes) -> Card | None:
    """Return the settings of a README's header; None without one, or where it cannot be read."""
    header = _HEADER.match(readme)
    try:
        settings = yaml.safe_load(header[1]) if header else None
        return Card.model_validate(settings) if settings else None
    except (yaml.YAMLError, ValueError):
        return None
