"""Procfile and app.json, as Heroku reads them."""

import re

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
    _add_app_manifest(repository, drafts)
    return drafts, []


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


def _add_app_manifest(repository: Repository, drafts: list[ServiceDraft]) -> None:
    manifest = repository.json("app.json")
    scripts, environments = manifest.get("scripts"), manifest.get("environments")
    web = next((draft for draft in drafts if draft.kind is Kind.WEB and not draft.folder), None)
    if not web:
        return
    if isinstance(scripts, dict) and isinstance(scripts.get("postdeploy"), str):
        web.remarks.append(f"app.json: scripts.postdeploy runs once for a new app: {scripts['postdeploy']}")
    test = ((environments or {}).get("test") or {}).get("scripts") if isinstance(environments, dict) else None
    if isinstance(test, dict) and isinstance(test.get("test"), str):
        web.propose(
            "test",
            re.sub(r"^\./manage\.py", "python manage.py", test["test"]),
            "app.json: environments.test",
            Authority.PLATFORM,
        )
