"""A first abreast.yml, guessed from what lies in a repository."""

import json
import re
import shlex
from pathlib import Path

import yaml

from abreast.config.blueprint import blueprints

OUTPUTS = {"vite": "dist", "react-scripts": "build", "@angular/cli": "dist", "astro": "dist", "parcel": "dist"}
"""Where builds leave a site, by the package that builds it."""

MADE = frozenset({"node_modules", "dist", "build", "out", "target", "vendor", "coverage", "htmlcov", "site-packages"})
"""Folders that commands leave behind, which hold no service of the project's."""

Guess = dict[str, object]


def guessed(root: Path) -> str:
    """Return the text of an abreast.yml with the services that the folder seems to hold; "" if none was found."""
    found: dict[str, Guess] = {}
    for folder in (root, *sorted(path for path in root.iterdir() if path.is_dir() and not _is_made(path.name))):
        below = "" if folder == root else f"{folder.name}/"
        for name, service in _services(folder, below).items():
            found.setdefault(name, service)
    for name, blueprint in blueprints(root).items():
        if blueprint.start:
            health = {"health": blueprint.health} if blueprint.health else {}
            found.setdefault(_name(name), {"run": blueprint.start, **health})
    if not found:
        return ""
    said = {"project": _name(root.name), "services": found, "environments": {"local": None}}
    return yaml.safe_dump(said, sort_keys=False).replace("local: null", "local: {}")


def _services(folder: Path, below: str) -> dict[str, Guess]:
    return {**_of_package(folder, below), **_of_procfile(folder, below), **_of_page(folder, below)}


def _of_package(folder: Path, below: str) -> dict[str, Guess]:
    try:
        package = json.loads((folder / "package.json").read_text())
        scripts = dict(package.get("scripts", {}))
        packages = {**package.get("dependencies", {}), **package.get("devDependencies", {})}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    watch, into = [f"{below}**"], _into(below)
    output = next((folder_ for name, folder_ in OUTPUTS.items() if name in packages), None)
    if output and "build" in scripts:
        build = {"run": f"{into}npm ci && npm run build", "output": f"{below}{output}"}
        return {_name(below or "frontend"): {"watch": watch, "build": build}}
    if "start" in scripts:
        return {_name(below or "backend"): {"watch": watch, "build": f"{into}npm ci", "run": f"{into}npm start"}}
    return {}


def _of_procfile(folder: Path, below: str) -> dict[str, Guess]:
    try:
        lines = (folder / "Procfile").read_text().splitlines()
    except OSError:
        return {}
    web = next((line.removeprefix("web:").strip() for line in lines if line.startswith("web:")), None)
    return {_name(below or "backend"): {"watch": [f"{below}**"], "run": f"{_into(below)}{web}"}} if web else {}


def _of_page(folder: Path, below: str) -> dict[str, Guess]:
    """Return a folder of pages that nothing builds; the repository's top is none, since it holds all the rest."""
    if not below or not (folder / "index.html").is_file() or (folder / "package.json").exists():
        return {}
    return {_name(below): {"watch": [f"{below}**"], "build": {"output": below.rstrip("/")}}}


def _is_made(folder: str) -> bool:
    return folder.startswith(".") or folder in MADE


def _into(below: str) -> str:
    return f"cd {shlex.quote(below)} && " if below else ""


def _name(text: str) -> str:
    """Return a text as a name that abreast.yml takes."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return (name if re.match(r"[a-z]", name) else f"p-{name}")[:40].rstrip("-")
