"""Procfile and app.json, as Heroku reads them."""

import re
from collections.abc import Iterator

from abreast.detection.draft import Authority, Kind, Note, ServiceDraft
from abreast.detection.repository import Repository, path_in

_PROCESS = re.compile(r"^([\w-]+):\s*(.+)$", re.MULTILINE)
_HELPERS = frozenset({"css", "js", "scss", "assets", "vite", "webpack", "tailwind", "release", "tailwindcss", "build"})


def declare(repository: Repository) -> tuple[list[ServiceDraft], list[Note]]:
    """Return the processes of every Procfile; of Procfile.dev, its workers only."""
    drafts: list[ServiceDraft] = []
    for folder in repository.folders:
        names = repository.names(folder)
        if "Procfile" in names:
            drafts += _processes(repository, folder, path_in(folder, "Procfile"))
        elif "Procfile.dev" in names:
            file = path_in(folder, "Procfile.dev")
            drafts += [draft for draft in _processes(repository, folder, file) if draft.kind is Kind.WORKER]
    return [*drafts, *_app_manifest(repository)], []


def _processes(repository: Repository, folder: str, file: str) -> list[ServiceDraft]:
    processes = dict(_PROCESS.findall(repository.text(file)))
    drafts = []
    for name, command in processes.items():
        if name in _HELPERS:
            continue
        draft = ServiceDraft("" if name == "web" else name, folder, Kind.WEB if name == "web" else Kind.WORKER)
        draft.propose("run", command.strip(), f"{file}: {name}", Authority.PLATFORM)
        if name == "web" and "release" in processes:
            draft.propose("release", processes["release"].strip(), f"{file}: release", Authority.PLATFORM)
        drafts.append(draft)
    return drafts


def _app_manifest(repository: Repository) -> Iterator[ServiceDraft]:
    """Yield what app.json says of the root's service: its variables, its tests, what runs once."""
    manifest = repository.json("app.json")
    draft = ServiceDraft("", "", Kind.WEB)
    variables = manifest.get("env")
    for name, said in variables.items() if isinstance(variables, dict) else ():
        value = said.get("value") if isinstance(said, dict) else said
        optional = isinstance(said, dict) and said.get("required") is False
        template = f"${{{name}:-{value}}}" if isinstance(value, str) and value else f"${{{name}}}"
        draft.propose(
            f"env.{name}",
            {"required": False} if optional else template,
            "app.json: env",
            Authority.PLATFORM,
            is_made_up=isinstance(said, dict) and said.get("generator") == "secret",
        )
    scripts = manifest.get("scripts")
    if isinstance(scripts, dict) and isinstance(scripts.get("postdeploy"), str):
        draft.remarks.append(f"app.json: scripts.postdeploy runs once for a new app: {scripts['postdeploy']}")
    environments = manifest.get("environments")
    test = (
        ((environments.get("test") or {}).get("scripts") or {}).get("test") if isinstance(environments, dict) else None
    )
    if isinstance(test, str):
        command = re.sub(r"^\./manage\.py", "python manage.py", test)
        draft.propose("test", command, "app.json: environments.test", Authority.PLATFORM)
    yield draft
