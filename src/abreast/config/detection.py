"""Draft an abreast.yml from the files of a repository, for ``abreast init``."""

import json
import re
import shlex
from pathlib import Path

import yaml

from abreast.config.render_blueprint import read_blueprint

BUILD_OUTPUTS = {"vite": "dist", "react-scripts": "build", "@angular/cli": "dist", "astro": "dist", "parcel": "dist"}
"""Default output folders, by the npm package that builds."""

GENERATED_FOLDERS = frozenset(
    {"node_modules", "dist", "build", "out", "target", "vendor", "coverage", "htmlcov", "site-packages"}
)
"""Folders of generated files, which are not searched for services."""

ServiceDraft = dict[str, object]


def detect_config(root: Path) -> str:
    """Return an abreast.yml with the services detected in the folder, "" if there are none."""
    services: dict[str, ServiceDraft] = {}
    for folder in (root, *sorted(path for path in root.iterdir() if path.is_dir() and not _is_generated(path.name))):
        prefix = "" if folder == root else f"{folder.name}/"
        for name, service in _detect_services(folder, prefix).items():
            services.setdefault(name, service)
    for name, blueprint in read_blueprint(root).items():
        if blueprint.start_command:
            health = {"health": blueprint.health_path} if blueprint.health_path else {}
            services.setdefault(_valid_name(name), {"run": blueprint.start_command, **health})
    if not services:
        return ""
    draft = {"project": _valid_name(root.name), "services": services, "environments": {"local": None}}
    return yaml.safe_dump(draft, sort_keys=False).replace("local: null", "local: {}")


def _detect_services(folder: Path, prefix: str) -> dict[str, ServiceDraft]:
    return {**_from_package_json(folder, prefix), **_from_procfile(folder, prefix), **_from_static_page(folder, prefix)}


def _from_package_json(folder: Path, prefix: str) -> dict[str, ServiceDraft]:
    try:
        package = json.loads((folder / "package.json").read_text())
        scripts = dict(package.get("scripts", {}))
        packages = {**package.get("dependencies", {}), **package.get("devDependencies", {})}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    watch, cd_command = [f"{prefix}**"], _cd_command(prefix)
    output = next((default for name, default in BUILD_OUTPUTS.items() if name in packages), None)
    if output and "build" in scripts:
        build = {"run": f"{cd_command}npm ci && npm run build", "output": f"{prefix}{output}"}
        return {_valid_name(prefix or "frontend"): {"watch": watch, "build": build}}
    if "start" in scripts:
        return {
            _valid_name(prefix or "backend"): {
                "watch": watch,
                "build": f"{cd_command}npm ci",
                "run": f"{cd_command}npm start",
            }
        }
    return {}


def _from_procfile(folder: Path, prefix: str) -> dict[str, ServiceDraft]:
    try:
        lines = (folder / "Procfile").read_text().splitlines()
    except OSError:
        return {}
    web = next((line.removeprefix("web:").strip() for line in lines if line.startswith("web:")), None)
    return (
        {_valid_name(prefix or "backend"): {"watch": [f"{prefix}**"], "run": f"{_cd_command(prefix)}{web}"}}
        if web
        else {}
    )


def _from_static_page(folder: Path, prefix: str) -> dict[str, ServiceDraft]:
    """Detect a folder with an index.html and no build. The repository's root never counts as one."""
    if not prefix or not (folder / "index.html").is_file() or (folder / "package.json").exists():
        return {}
    return {_valid_name(prefix): {"watch": [f"{prefix}**"], "build": {"output": prefix.rstrip("/")}}}


def _is_generated(folder: str) -> bool:
    return folder.startswith(".") or folder in GENERATED_FOLDERS


def _cd_command(prefix: str) -> str:
    return f"cd {shlex.quote(prefix)} && " if prefix else ""


def _valid_name(text: str) -> str:
    """Return the text as a valid name for abreast.yml."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return (name if re.match(r"[a-z]", name) else f"p-{name}")[:40].rstrip("-")
