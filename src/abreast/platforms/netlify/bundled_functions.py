"""Functions that a build has bundled, as `netlify build` leaves them in the folder ``.netlify``."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, Field, ValidationError

from abreast.core.errors import PlatformError

FUNCTIONS = ".netlify/functions"
"""Archives of functions, and their ``manifest.json``."""

CONFIG = ".netlify/netlify.toml"
"""``netlify.toml`` with what plug-ins of the build added. It takes the place of the repository's."""

EDGE_FUNCTIONS = ".netlify/edge-functions-dist"
"""Bundles of edge functions."""

PUBLISHED_FOLDERS = {
    EDGE_FUNCTIONS: ".netlify/internal/edge-functions",
    ".netlify/deploy-config": ".netlify/deploy-config",
}
"""Folders that are deployed as files under another path, as Netlify's command line does."""

SOURCES = {
    ".netlify/functions-internal": FUNCTIONS,
    ".netlify/v1/functions": FUNCTIONS,
    ".netlify/edge-functions": EDGE_FUNCTIONS,
    ".netlify/v1/edge-functions": EDGE_FUNCTIONS,
}
"""Where a framework writes functions, and where `netlify build` puts them when it has bundled them."""

UNSUPPORTED_FOLDERS = {
    ".netlify/blobs/deploy": "blobs of a deploy",
    ".netlify/deploy/v1/blobs/deploy": "blobs of a deploy",
    ".netlify/v1/blobs/deploy": "blobs of a deploy",
    ".netlify/internal/db/migrations": "migrations of a Netlify database",
}
"""What `netlify build` can make and abreast cannot deploy."""

BUILD_FILES = (FUNCTIONS, CONFIG, *PUBLISHED_FOLDERS, *SOURCES, *UNSUPPORTED_FOLDERS)
"""What a build leaves beside its output."""

_SERVER_MARKERS = {("BUILD_ID", "server"): "Next.js", ("nitro.json", "server"): "Nuxt or Nitro"}
"""Files and folders by which the output of a framework's server is known."""

BUNDLE_ADVICE = "a build with `netlify build --offline`, and `functions: bundled` under netlify in abreast.yml"
_STATIC = "a static export of the framework, or a site that Netlify builds itself"
_CHANGE = "change the build, commit, then: abreast deploy"


class _Function(BaseModel):
    """An entry of the manifest. ``path`` is where the archive was on the machine that built it."""

    name: str
    path: str
    runtime: str
    runtime_version: str | None = Field(None, alias="runtimeVersion")
    invocation_mode: str | None = Field(None, alias="invocationMode")
    timeout: int | None = None
    schedule: str | None = None
    display_name: str | None = Field(None, alias="displayName")
    generator: str | None = None
    memory: int | None = None
    region: str | None = None
    routes: list[dict[str, object]] | None = None
    excluded_routes: list[dict[str, object]] | None = Field(None, alias="excludedRoutes")
    build_data: dict[str, object] | None = Field(None, alias="buildData")
    priority: int | None = None
    traffic_rules: dict[str, object] | None = Field(None, alias="trafficRules")
    vcpu: float | None = None
    event_subscriptions: list[str] | None = Field(None, alias="eventSubscriptions")


class _Manifest(BaseModel):
    functions: list[_Function]


_SENT_ELSEWHERE = frozenset({"name", "path", "runtime", "runtime_version", "invocation_mode", "timeout", "schedule"})


@dataclass(frozen=True, slots=True)
class FunctionArchive:
    """A bundled function. ``options`` go with its upload: the runtime, the invocation mode, the time limit."""

    name: str
    file: Path
    digest: str
    options: Mapping[str, object]
    schedule: str
    config: Mapping[str, object]


def read_functions(artifact: Path) -> list[FunctionArchive]:
    """Return the functions of an artifact. Raises PlatformError if it has an unreadable manifest."""
    manifest = artifact / FUNCTIONS / "manifest.json"
    if not manifest.is_file():
        return []
    try:
        return [
            _archive(manifest.parent, function)
            for function in _Manifest.model_validate_json(manifest.read_bytes()).functions
        ]
    except (ValidationError, FileNotFoundError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise PlatformError(
            f"{FUNCTIONS}/manifest.json cannot be used: {reason}", need=BUNDLE_ADVICE, next=_CHANGE
        ) from error


def published_files(artifact: Path) -> dict[str, Path]:
    """Return the edge functions and the configuration of a bundle, by their path in the deploy."""
    files = {
        f"{target}/{file.relative_to(artifact / folder).as_posix()}": file
        for folder, target in PUBLISHED_FOLDERS.items()
        for file in sorted((artifact / folder).rglob("*"))
        if file.is_file()
    }
    if (artifact / CONFIG).is_file():
        files["netlify.toml"] = artifact / CONFIG
    return files


def require_complete_bundle(artifact: Path, *, expected: bool) -> None:
    """Raise PlatformError if an artifact has parts that would be left out, or lacks functions that are ``expected``."""
    for folder, what in UNSUPPORTED_FOLDERS.items():
        if _has_files(artifact / folder):
            raise PlatformError(
                f"the build made {what} ({folder}), which abreast cannot deploy", need=_STATIC, next=_CHANGE
            )
    for markers, framework in _SERVER_MARKERS.items():
        if all((artifact / marker).exists() for marker in markers):
            raise PlatformError(
                f"the build's output is a server of {framework}, not a folder of files", need=_STATIC, next=_CHANGE
            )
    for source, bundle in SOURCES.items():
        if _has_files(artifact / source) and not _has_files(artifact / bundle):
            raise PlatformError(
                f"the build made functions and did not bundle them ({source})", need=BUNDLE_ADVICE, next=_CHANGE
            )
    if expected and not any(_has_files(artifact / bundle) for bundle in (FUNCTIONS, EDGE_FUNCTIONS)):
        raise PlatformError(
            f"the build bundled no functions: there is no {FUNCTIONS}", need=BUNDLE_ADVICE, next=_CHANGE
        )


def _archive(folder: Path, function: _Function) -> FunctionArchive:
    file = folder / Path(function.path).name
    options = {
        "runtime": function.runtime_version or function.runtime,
        "invocation_mode": function.invocation_mode,
        "timeout": function.timeout,
    }
    config = function.model_dump(exclude_none=True, exclude=set(_SENT_ELSEWHERE))
    if "traffic_rules" in config:
        config["traffic_rules"] = _snake_case(config["traffic_rules"])
    config = {name: _without_empty(value) for name, value in config.items()}
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return FunctionArchive(function.name, file, digest, options, function.schedule or "", config)


def _snake_case(value: object) -> object:
    """Return a value of the manifest with keys as the API has them: ``windowSize`` becomes ``window_size``."""
    if isinstance(value, list):
        return [_snake_case(part) for part in value]
    if not isinstance(value, dict):
        return value
    return {
        "".join(f"_{c.lower()}" if c.isupper() else c for c in key): _snake_case(part) for key, part in value.items()
    }


def _without_empty(value: object) -> object:
    """Return a value without empty lists, as Netlify's command line sends it: no ``methods`` means all of them."""
    if isinstance(value, list):
        return [_without_empty(part) for part in value]
    if not isinstance(value, dict):
        return value
    return {key: _without_empty(part) for key, part in value.items() if part not in ([], {}, None)}


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(file.is_file() for file in folder.rglob("*"))
