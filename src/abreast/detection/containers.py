"""What the Dockerfile of a service says of its command, its health and its port."""

import re

from abreast.detection.commands import is_development, steps, unwrap
from abreast.detection.declarations.compose import health_path
from abreast.detection.dockerfiles import Dockerfile, parse_dockerfile
from abreast.detection.draft import Authority, Kind, ServiceDraft
from abreast.detection.repository import Repository, path_in

_MODULE_SERVERS = frozenset(
    {"gunicorn", "uvicorn", "hypercorn", "fastapi", "litestar", "granian", "daphne", "streamlit", "celery", "rq",
     "dramatiq", "chainlit", "sanic", "bundle", "waitress-serve"}
)  # fmt: skip
_CHOICES = frozenset({"FLASK_APP", "FLASK_CONFIG", "APP_SETTINGS"})
"""Variables by which an application in Flask chooses its module and its configuration."""


def read_container(repository: Repository, draft: ServiceDraft) -> Dockerfile | None:
    """Return the Dockerfile of a service, None if it has none."""
    file = container_file(repository, draft)
    return parse_dockerfile(repository.text(file)) if file else None


def container_file(repository: Repository, draft: ServiceDraft) -> str:
    """Return the path of a service's Dockerfile, "" if it has none."""
    places = [draft.text("dockerfile"), path_in(draft.folder, "Dockerfile"), path_in(draft.folder, "Dockerfile.prod")]
    if not draft.folder:
        places += ["docker/Dockerfile", "deploy/Dockerfile", "tools/deploy/docker/Dockerfile"]
    return repository.has(*filter(None, places))


def propose_container(repository: Repository, draft: ServiceDraft) -> None:
    """Propose what a service's Dockerfile says."""
    container, file = read_container(repository, draft), container_file(repository, draft)
    if container is None:
        return
    command = usable_command(repository, draft, container.start)
    if command and draft.kind is not Kind.SITE:
        draft.propose("run", command, f"{file}: CMD", Authority.CONTAINER)
    for name in _CHOICES & container.variables.keys():
        draft.propose(f"env.{name}", container.variables[name], f"{file}: ENV", Authority.CONTAINER)
    if draft.kind is Kind.WEB and (health := health_path(container.health)):
        draft.propose("health", health, f"{file}: HEALTHCHECK", Authority.CONTAINER)


def usable_command(repository: Repository, draft: ServiceDraft, command: str) -> str:
    """Return the command of a container if it means the same outside of one, "" otherwise: paths can differ."""
    if not command:
        return ""
    command = unwrap(re.sub(r"\s*(--reload|--workers?[ =]1)\b", "", steps(command)[-1]))
    words = command.split()
    name = words[0].rpartition("/")[2] if words else ""
    if is_development(command) or not words:
        return ""
    if name in _MODULE_SERVERS and not re.search(r"\s/(app|code|src|srv|usr)/", command):
        return command.replace(words[0], name, 1)
    files = [word for word in words[1:] if not word.startswith("-")]
    if (
        name in {"node", "python", "python3"}
        and files
        and repository.has(path_in(draft.folder, files[0]), path_in(draft.folder, f"{files[0]}/index.js"))
    ):
        return command
    return ""
