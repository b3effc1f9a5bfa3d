"""Bills of materials as CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/), from lock files."""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

LOCK_FILE_PATTERNS = (
    "**/package-lock.json",
    "**/npm-shrinkwrap.json",
    "**/uv.lock",
    "**/poetry.lock",
    "**/requirements*.txt",
)
"""Files that pin the packages of a service."""

PackageVersion = tuple[str, str, str]
"""Ecosystem (``npm`` or ``pypi``), name, version."""


def document(service: str, version: str, moment: str, locks: Mapping[str, bytes]) -> dict[str, Any]:
    """Return a service's bill of materials, from its lock files (contents by name)."""
    found = sorted({package for name, content in locks.items() for package in _locked_packages(name, content)})
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": moment,
            "component": {"type": "application", "name": service, "version": version},
            "tools": {"components": [{"type": "application", "name": "abreast"}]},
        },
        "components": [_component(*package) for package in found],
    }


def _component(kind: str, name: str, version: str) -> dict[str, Any]:
    purl = f"pkg:{kind}/{quote(name, safe=chr(47))}@{quote(version)}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _locked_packages(name: str, content: bytes) -> Iterator[PackageVersion]:
    try:
        if name.endswith(".json"):
            yield from _npm(json.loads(content))
        elif name.endswith(".lock"):
            yield from _python(tomllib.loads(content.decode()))
        else:
            yield from _requirements(content.decode(errors="replace"))
    except (ValueError, TypeError, AttributeError, KeyError):
        return


def _npm(lock: dict[str, Any]) -> Iterator[PackageVersion]:
    for path, package in lock.get("packages", {}).items():
        name = package.get("name") or path.rpartition("node_modules/")[2]
        if path and name and package.get("version") and not package.get("link"):
            yield "npm", name, package["version"]


def _python(lock: dict[str, Any]) -> Iterator[PackageVersion]:
    for package in lock.get("package", ()):
        if not {"editable", "virtual"}.intersection(package.get("source", ())):
            yield "pypi", package["name"], package["version"]


def _requirements(text: str) -> Iterator[PackageVersion]:
    for found in re.finditer(r"^\s*([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*==\s*([^\s;#\\]+)", text, re.MULTILINE):
        yield "pypi", re.sub(r"[-_.]+", "-", found[1]).lower(), found[2]


def is_lock_file(file: str) -> bool:
    """Return whether a file pins packages."""
    name = PurePosixPath(file).name
    return any(PurePosixPath(name).match(PurePosixPath(lock).name) for lock in LOCK_FILE_PATTERNS)
